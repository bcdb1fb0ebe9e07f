"""An empty folder of studies for every test of the app, no worker process, and one look at the installed packages."""

from __future__ import annotations

from functools import cache as cached
from pathlib import Path

import pytest
from streamlit.components.v2 import manifest_scanner

from fasp_core.jobs.client import EvaluationClient


@pytest.fixture(scope="session", autouse=True)
def packages_seen_once():
    """Every app that starts, here in every test, has streamlit read through all installed packages for components."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest_scanner, "scan_component_manifests", cached(manifest_scanner.scan_component_manifests))
        yield


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """An empty folder of studies, and no worker process: tests answer requests themselves."""
    monkeypatch.setenv("FASP_CACHE", str(tmp_path))
    monkeypatch.setattr(EvaluationClient, "_ensure_worker", lambda self: False)
    monkeypatch.setattr(EvaluationClient, "_model_ready", lambda self: True)
    return tmp_path
