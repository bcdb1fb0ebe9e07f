"""The app behind its guards (see `ui/guard.py`), for `fasp app` and `streamlit run serve.py`.

What the first page computes and draws with is imported once the server is there, and its scores are computed, while the
browser fetches the app.
"""

import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from threading import Thread

from streamlit.starlette import App

from fasp_core.access import SCORERS
from ui.guard import guards

AHEAD = ("ui.words", "ui.charts", "ui.job_notice", "ui.page")  # in the order in which app.py asks for them

# What is computed ahead belongs to no session, which streamlit would warn of.
logging.getLogger("streamlit.runtime.scriptrunner_utils.script_run_context").setLevel(logging.ERROR)
os.environ.setdefault(SCORERS, "")  # no scorer of somebody's own, unless the operator listed it


def prepare() -> None:
    """Import what the pages share, and compute what the first one shows."""
    for name in AHEAD:
        import_module(name)
    import_module("ui.page").read_ahead()


@asynccontextmanager
async def lifespan(_: App) -> AsyncIterator[None]:
    """The time in which the server runs; preparing goes on beside it."""
    Thread(target=prepare, daemon=True).start()
    yield


app = App("app.py", middleware=guards(), lifespan=lifespan)
