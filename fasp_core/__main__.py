"""`python -m fasp_core …`, the same as the command `fasp`."""

from __future__ import annotations

from fasp_core.cli.app import app

app(prog_name="python -m fasp_core")
