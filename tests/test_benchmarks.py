"""`make bench`: every benchmark is in its list or says why not; one that fails costs no figures; entries stay."""

from __future__ import annotations

import platform
import re
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

import pytest

import benchmarks
from benchmarks import __main__ as runner
from benchmarks import results
from benchmarks.__main__ import BENCHMARKS, LEFT_OUT, Benchmark
from benchmarks.results import Run, machine, read_results, seconds_of, written

FOLDER = Path(__file__).resolve().parent.parent / "benchmarks"
WHEN = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
STUBS = {
    "first": "print('bias 0.1')",
    "fails": "print('half of it'); raise SystemExit('no such study')",
    "last": "import sys; print(*sys.argv[1:]); print('## first'); print('```')",
    "browser": "print('never')",
    "hours": "print('at last')",
}


def test_every_benchmark_is_run_or_says_why_not():
    modules = {path.stem for path in FOLDER.glob("[a-z]*.py")} | {
        path.parent.name for path in FOLDER.glob("*/__main__.py")
    }
    assert BENCHMARKS.keys() | LEFT_OUT.keys() == modules
    assert not BENCHMARKS.keys() & LEFT_OUT.keys()
    assert {benchmark.needs for benchmark in BENCHMARKS.values()} == {"", *runner.MISSING}


@pytest.mark.parametrize("module", [found.name for found in walk_packages(benchmarks.__path__, "benchmarks.")])
def test_what_a_benchmark_imports_is_there(module):
    if not module.endswith(".__main__") or module == "benchmarks.__main__":
        import_module(module)


def test_what_is_run_has_a_way_to_be_called_and_says_it():
    for name in BENCHMARKS:
        module = FOLDER / name / "__main__.py" if (FOLDER / name).is_dir() else FOLDER / f"{name}.py"
        text = module.read_text("utf-8")
        assert f"python -m benchmarks.{name}" in text
        assert 'if __name__ == "__main__":' in text


def test_results_hold_what_was_printed_and_nothing_of_whose_machine_it_is():
    entries = {
        "one": Run("one", ("--few", "3"), "bias 0.1", WHEN, 61.0, 0).entry("Linux, 2 cores."),
        "two": Run("two", (), "", WHEN, 7325.0, 1).entry(machine()),
    }
    text = written(entries, {"three": "needs Ray"})
    command = "`python -m benchmarks.one --few 3`, 2026-01-02 03:04 UTC, took 1 min 1 s."
    assert f"## one\n\n{command}\nLinux, 2 cores.\n\n```text\nbias 0.1\n```\n" in text
    assert "took 2 h 2 min. **It ended with exit status 1.**\n" in text
    assert "took 2 h 3 min together" in text
    assert "* `three` needs Ray.\n" in text
    assert re.search(r" cores, .* of memory, .*commit [0-9a-f]+.*, python .*numpy ", text)
    for private in (platform.node(), str(Path.home()), str(FOLDER)):
        assert private not in text


@pytest.mark.parametrize("seconds", [0, 45, 61, 3599, 7320])
def test_how_long_an_entry_took_is_read_back(seconds):
    assert seconds_of(Run("one", (), "took 9 h.", WHEN, seconds, 0).entry("Linux")) == seconds


@pytest.fixture
def stubs(tmp_path, monkeypatch) -> Path:
    """A folder with benchmarks of one line in the place of the real ones; gives the file of results."""
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "__init__.py").touch()
    for name, source in STUBS.items():
        (tmp_path / "benchmarks" / f"{name}.py").write_text(source, "utf-8")
    made = {name: Benchmark() for name in STUBS}
    made |= {"last": Benchmark(("--few", "3")), "browser": Benchmark(needs="Chromium"), "hours": Benchmark(long=True)}
    monkeypatch.setattr(results, "PROJECT", tmp_path)
    monkeypatch.setattr(runner, "BENCHMARKS", made)
    monkeypatch.setattr(runner, "MISSING", {"Chromium": lambda: True})
    return tmp_path / "RESULTS.md"


def test_one_that_fails_or_cannot_run_costs_no_other_its_figures(stubs, capsys):
    assert runner.main(["--to", str(stubs)]) == 1
    entries = read_results(stubs)
    assert list(entries) == ["first", "fails", "last"]
    assert "```text\nbias 0.1\n```" in entries["first"]
    assert "**It ended with exit status 1.**" in entries["fails"]
    assert "half of it\nno such study\n```" in entries["fails"]
    assert entries["last"].startswith("`python -m benchmarks.last --few 3`, ")
    assert entries["last"].endswith("--few 3\n## first\n'''\n```")
    text, told = stubs.read_text("utf-8"), capsys.readouterr().out
    assert "* `browser` needs Chromium.\n* `hours` runs with --long.\n" in text
    assert "left out: it needs Chromium" in told
    assert told.endswith("in all; failed: fails\n")


def test_named_ones_are_renewed_and_the_others_stay(stubs, monkeypatch):
    runner.main(["--to", str(stubs)])
    before = read_results(stubs)
    (stubs.parent / "benchmarks" / "first.py").write_text("print('bias 0.2')", "utf-8")
    assert runner.main(["first", "--to", str(stubs)]) == 0
    after = read_results(stubs)
    assert list(after) == list(before)
    assert after["first"].endswith("```text\nbias 0.2\n```")
    assert {**after, "first": ""} == {**before, "first": ""}
    assert runner.main(["browser", "--to", str(stubs)]) == 1  # it was asked for
    assert read_results(stubs) == after


def test_long_ones_run_when_asked_for(stubs):
    runner.main(["hours", "--to", str(stubs)])
    assert list(read_results(stubs)) == ["hours"]
    runner.main(["--long", "--to", str(stubs)])
    assert list(read_results(stubs)) == ["first", "fails", "last", "hours"]


def test_an_unknown_name_is_refused_before_anything_runs(stubs, capsys):
    with pytest.raises(SystemExit):
        runner.main(["firts", "--to", str(stubs)])
    assert "no benchmark firts here; known: first, " in capsys.readouterr().err
    assert not stubs.exists()
