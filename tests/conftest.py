"""Fixtures that several test files share, and the surroundings of every test: no hub, few threads."""

from __future__ import annotations

import os

# Before anything imports them: no test talks to a hub or reports its use.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["STREAMLIT_BROWSER_GATHER_USAGE_STATS"] = "false"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import platform
import shutil
from importlib.metadata import version
from pathlib import Path

import pytest
import tiny
import torch
from hypothesis import settings

from fasp_core.models import open_model

PROJECT = Path(__file__).resolve().parent.parent
# No test depends on how busy the machine is.
settings.register_profile("no_deadline", deadline=None)
settings.load_profile("no_deadline")
# Tiny tensors are slower on many threads; the default model is faster on two.
torch.set_num_threads(1)


def pytest_report_header() -> str:
    names = ("torch", "transformers", "streamlit", "plotly", "numpy", "pandas")
    return f"python {platform.python_version()}, " + ", ".join(f"{name} {version(name)}" for name in names)


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
def opened_default_model():
    return open_model("default", device="cpu")


@pytest.fixture
def default_model(opened_default_model):
    """The packaged model, on two threads. Shared: not to be changed."""
    torch.set_num_threads(2)
    yield opened_default_model
    torch.set_num_threads(1)


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
