"""Where studies and converted models are kept."""

from __future__ import annotations

import os
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent


def cache_root(root: str | Path | None = None) -> Path:
    """The folder of studies and models: the argument, else `FASP_CACHE`, else `cache/` of the project."""
    return Path(root or os.environ.get("FASP_CACHE") or PROJECT / "cache").expanduser().absolute()
