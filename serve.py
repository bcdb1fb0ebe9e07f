"""The app behind its guards (see `ui/guard.py`), for `fasp app` and `streamlit run serve.py`.

What the first page computes and draws with is imported once the server is there, while the browser fetches the app.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from threading import Thread

from streamlit.starlette import App

from fasp_core.access import SCORERS
from ui.guard import guards

AHEAD = ("ui.words", "ui.charts", "ui.job_notice", "ui.page")  # in the order in which app.py asks for them

os.environ.setdefault(SCORERS, "")  # no scorer of somebody's own, unless the operator listed it


def import_ahead() -> None:
    """Import what the pages share."""
    for name in AHEAD:
        import_module(name)


@asynccontextmanager
async def lifespan(_: App) -> AsyncIterator[None]:
    """The time in which the server runs; imports go on beside it."""
    Thread(target=import_ahead, daemon=True).start()
    yield


app = App("app.py", middleware=guards(), lifespan=lifespan)
