"""An empty folder of studies for every test of the app, and no worker process."""

from __future__ import annotations

from pathlib import Path

import pytest

from fasp_core.jobs.client import EvaluationClient


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """An empty folder of studies, and no worker process: tests answer requests themselves."""
    monkeypatch.setenv("FASP_CACHE", str(tmp_path))
    monkeypatch.setattr(EvaluationClient, "_ensure_worker", lambda self: False)
    monkeypatch.setattr(EvaluationClient, "_model_ready", lambda self: True)
    return tmp_path
