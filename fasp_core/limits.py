"""Every limit of the program, in one place; docs/limits.md is the table of them (compared by tests/test_limits.py)."""

from __future__ import annotations

MIB = 2**20

# Files from outside. `.streamlit/config.toml` has the first one too (compared by tests/files/test_reading.py).
MAX_BYTES = 64 * MIB  # of a file that is read, or uploaded
MAX_JSON_BYTES = 16 * MIB  # less, because a list takes 3 bytes of JSON and 60 of memory
MAX_LINES = 1_000_000  # of a CSV; told before it is taken apart
MAX_ROWS = 500_000  # of a CSV: all of HolisticBias has 472,991
MAX_CELLS = 10_000_000  # of any table
MAX_COLUMNS = 1000
MAX_SENTENCE = 2000  # characters of one sentence of a pair
MAX_ERROR = 1000  # characters of one error line

# Models.
MAX_HEADS = 1_000_000
MAX_LAYERS = 1000

# Names and what is typed on a page.
MAX_STUDY_NAME = 100
MAX_SET_NAME = 60
MAX_TYPED = 500  # characters of a path, a hub id, a scorer
MAX_OWN_PROMPT = 2000  # characters of a prompt of one's own that is continued
MAX_OWN_DRAWS = 20  # times that it is

# The app.
MAX_READ_ON_PAGE = 4 * MIB  # of a file of scores; a job reads a larger one
MAX_JOBS_SHOWN = 50  # of those that have ended
MAX_DOWNLOAD_BYTES = 2 * 10**9  # the server holds a download in memory while it is sent
VIEWER_EVALUATIONS = 20  # sets that a visitor may have measured in an hour, in viewer mode
VIEWER_EVALUATIONS_TOGETHER = 100  # all visitors together
