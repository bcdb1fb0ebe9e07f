"""`make bench`: every benchmark is in its list or says why not, and the results name no machine and no path."""

from __future__ import annotations

import platform
from pathlib import Path

from benchmarks.__main__ import BENCHMARKS, LEFT_OUT, Run, results

FOLDER = Path(__file__).resolve().parent.parent / "benchmarks"


def test_every_benchmark_is_run_or_says_why_not():
    modules = {path.stem for path in FOLDER.glob("[a-z]*.py")} | {
        path.parent.name for path in FOLDER.glob("*/__main__.py")
    }
    assert BENCHMARKS.keys() | LEFT_OUT.keys() == modules
    assert not BENCHMARKS.keys() & LEFT_OUT.keys()


def test_what_is_run_has_a_way_to_be_called_and_says_it():
    for name in BENCHMARKS:
        module = FOLDER / name / "__main__.py" if (FOLDER / name).is_dir() else FOLDER / f"{name}.py"
        text = module.read_text("utf-8")
        assert f"python -m benchmarks.{name}" in text
        assert 'if __name__ == "__main__":' in text


def test_results_hold_what_was_printed_and_nothing_of_whose_machine_it_is():
    made = [Run("one", ("--few", "3"), "bias 0.1", 61.0, 0), Run("two", (), "", 2.0, 1)]
    text = results(made)
    assert "## one\n\n`python -m benchmarks.one --few 3`, 1 min 1 s.\n\n```text\nbias 0.1\n```\n" in text
    assert "## two\n\n`python -m benchmarks.two`, 2 s. It ended with exit status 1.\n" in text
    assert " cores, " in text
    assert "numpy " in text
    assert platform.node() not in text
    assert str(Path.home()) not in text
    assert str(FOLDER) not in text
