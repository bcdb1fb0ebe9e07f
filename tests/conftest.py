"""Fixtures that several test files share, and the surroundings of every test: no hub, one thread."""

from __future__ import annotations

import os

# Before anything imports them: no test talks to a hub or reports its use.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["STREAMLIT_BROWSER_GATHER_USAGE_STATS"] = "false"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
# Tests run beside each other, and so do the apps and workers that they start: threads that wait for a core slow all.
os.environ["OMP_NUM_THREADS"] = "1"

import platform
import shutil
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from helpers import tiny
from hypothesis import settings

from fasp_core.data.calibration import calibration_windows
from fasp_core.evaluation import compensation
from fasp_core.models import self_check
from fasp_core.models.open_model import open_model

PROJECT = Path(__file__).resolve().parent.parent
# No test depends on how busy the machine is.
settings.register_profile("no_deadline", deadline=None)
settings.load_profile("no_deadline")
torch.set_num_threads(1)


def pytest_report_header() -> str:
    names = ("torch", "transformers", "streamlit", "plotly", "numpy", "pandas")
    return f"python {platform.python_version()}, " + ", ".join(f"{name} {version(name)}" for name in names)


@pytest.fixture(scope="session", autouse=True)
def checked_once(tmp_path_factory):
    """A model that passed its self-check passes it for the whole run, whatever cache folder a test has."""
    record, folder = self_check._record, tmp_path_factory.mktemp("checked")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(self_check, "_record", lambda lm, root: record(lm, folder if root is None else root))
        yield


@pytest.fixture(scope="session")
def make_language_model():
    """`tiny.make_language_model`; a test that changes weights makes its own model."""
    return tiny.make_language_model


@pytest.fixture(scope="session")
def tiny_llama():
    """3 layers × 4 query heads of width 8, two to a key/value head. Shared: not to be changed."""
    return tiny.make_language_model(tiny.LLAMA)


@pytest.fixture(scope="session")
def tiny_gpt2():
    """3 layers × 4 heads of width 8, with GPT-2's transposed projections. Shared: not to be changed."""
    return tiny.make_language_model(tiny.GPT2)


@pytest.fixture(scope="session")
def default_model():
    """The packaged model. Shared: not to be changed."""
    return open_model("default", device="cpu")


@pytest.fixture(scope="module")
def short_calibration_text():
    """The first windows of the calibration text are enough for so small a model."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compensation, "calibration_windows", lambda *_: calibration_windows(*_)[:8])
        yield


@pytest.fixture
def own_scorer(tmp_path, monkeypatch):
    """Write a file of the working directory and give the reference of a function in it."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def write(source: str, function: str = "rate", module: str = "mine") -> str:
        (folder / f"{module}.py").write_text(source, "utf-8")
        return f"{module}:{function}"

    return write


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Published files that are not part of the project: HolisticBias, FASP's scores, WikiText-2."""
    folder = PROJECT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("published data not found beside the project (../shared/data)")
    return folder


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """The browser for tests/browser: absent, they are skipped, but under CI=true they fail."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    missing = "no browser found: install chromium (Debian: apt-get install chromium)"
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(missing)
    pytest.skip(missing)
