"""`python -m fasp_core …`: see `cli`."""

from __future__ import annotations

from .cli import app

app(prog_name="python -m fasp_core")
