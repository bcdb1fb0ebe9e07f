"""The fuzzer: a short run over every format, and that it finds what does not hold.

The long run: `python -m benchmarks.fuzz`.
"""

from __future__ import annotations

import json

import pytest

from benchmarks.fuzz import Format, fuzz
from fasp_core.errors import InputError


def test_nothing_that_reads_fails_on_damaged_input(tmp_path):
    told, problems = fuzz(720, 1, tmp_path)
    assert problems == []
    assert all(counts.total() == 30 and counts["read"] for counts in told.values())


def strict(folder):
    """Lets through what json raises for bytes that are no UTF-8, and refuses the rest."""
    data = (folder / "x.json").read_bytes()
    try:
        return json.loads(data.decode())
    except json.JSONDecodeError as error:
        raise InputError(str(error)) from error


def test_uncaught_errors_are_found(tmp_path):
    told, problems = fuzz(200, 0, tmp_path, {"strict": Format("x.json", json.dumps({"a": [1, 2]}).encode(), strict)})
    assert told["strict"]["uncaught"] > 0
    assert any("UnicodeDecodeError" in problem for problem in problems)
    assert told["strict"]["uncaught"] + told["strict"]["refused"] + told["strict"]["read"] == 200


def test_a_whole_file_that_is_refused_tests_nothing(tmp_path):
    with pytest.raises(ValueError, match="strict: the whole file is refused"):
        fuzz(10, 0, tmp_path, {"strict": Format("x.json", b"{", strict)})
