"""The public names: all there, and imported only when used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import fasp_core
from fasp_core.files.paths import PROJECT


@pytest.mark.parametrize("name", fasp_core.__all__)
def test_every_public_name_is_there(name):
    assert getattr(fasp_core, name).__name__ == name
    assert name in dir(fasp_core)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'open_modle'"):
        fasp_core.open_modle  # noqa: B018


@pytest.mark.parametrize(
    ("use", "unwanted"),
    [("fasp_core", "numpy pandas torch"), ("fasp_core.select_heads, fasp_core.read_head_scores", "torch streamlit")],
)
def test_a_name_brings_only_what_it_needs(use, unwanted):
    code = f"import sys, fasp_core; {use}; sys.exit(any(m in sys.modules for m in {unwanted.split()}))"
    assert subprocess.run([sys.executable, "-c", code], cwd=PROJECT, timeout=120).returncode == 0
