"""The app behind its guards (see `ui/guard.py`), for `fasp app` and `streamlit run serve.py`."""

import os

from streamlit.starlette import App

from fasp_core.access import SCORERS
from ui.guard import guards

os.environ.setdefault(SCORERS, "")  # no scorer of somebody's own, unless the operator listed it
app = App("app.py", middleware=guards())
