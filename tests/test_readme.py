"""The figures of README and docs/experiments.md are the shipped study's, the citation is CITATION.cff's.

tests/app opens the README's links.

PYTHONPATH=.:tests python tests/test_readme.py      # writes the tables of the default study anew
"""

from __future__ import annotations

import re
import shlex

import pytest
from helpers.shipped_comparison import differences_written_out, side_effects_written_out, written_out
from typer.testing import CliRunner

from fasp_core.cli.app import app
from fasp_core.files.paths import PROJECT
from fasp_core.selection.description import BiasVerdict
from fasp_core.stats.sample_size import CLEAR
from fasp_core.study.study import open_study
from fasp_core.words.numbers import UNITS, axis_label, format_estimate, format_fixed, format_interval, format_number

README = PROJECT / "README.md"
EXPERIMENTS = PROJECT / "docs" / "experiments.md"
ESTIMATORS = PROJECT / "docs" / "estimators.md"
QUOTED = re.compile(r"(```text\n\$ (fasp scores [^\n]+)\n)(.*?)(?=```)", re.S)
TABLE = re.compile(r"(?<=<!-- default study -->\n).*?(?=<!-- end -->)", re.S)
COMPARED = re.compile(
    r"(<!-- (comparison|differences|side effects) on (\w+) of ([\w,]+) -->\n)(.*?)(?=<!-- end -->)", re.S
)
WRITE = {
    "comparison": written_out,
    "differences": differences_written_out,
    "side effects": side_effects_written_out,
}
HEAD = ("axis", "measured by", "bias of the intact model", "is there a bias?", "reliability of the ranking")
MEASURED_BY = {"likelihood": "likelihood, {:,} readings", "toxicity": "toxicity, {:,} continuations"}


def table_of_the_default_study() -> str:
    """A row for every axis and measure of the study that comes with the project."""
    study = open_study("default", PROJECT / "cache")
    rows = [HEAD, ("---",) * len(HEAD)]
    for metric, measured_by in MEASURED_BY.items():
        scores, unit = study.scores(metric=metric), UNITS[metric]
        for axis in scores.targets:
            bias, verdict, n = scores.base_bias(axis), scores.verdict(axis), scores.intact[axis].n_samples
            rows.append(
                (
                    axis_label(axis),
                    measured_by.format(n),
                    f"{format_estimate(bias.value, bias.se)}{unit}",
                    "a level, not a difference" if verdict is None else told(verdict, unit),
                    format_fixed(scores.reliability(axis), 2),
                )
            )
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def told(verdict: BiasVerdict, unit: str) -> str:
    """Whether there is a bias, of what size, and how sure that is."""
    low, high = verdict.low, verdict.high
    size = format_interval(low, high) if low else f"at most {format_number(high, high / 10)}"
    return f"{'yes' if verdict.state == CLEAR else verdict.state}: {size}{unit}, p = {verdict.p_value:.2g}"


def test_the_table_holds_what_the_shipped_study_gives():
    written = TABLE.search(README.read_text("utf-8"))[0]
    assert written == table_of_the_default_study(), "run: PYTHONPATH=.:tests python tests/test_readme.py"


def printed(command: str) -> str:
    """What `fasp scores` says of the default study before the table of heads, one sentence or two a line."""
    result = CliRunner().invoke(app, shlex.split(command)[1:])
    assert result.exit_code == 0, result.output
    said = result.stdout.partition("\nThe 20 of ")[0]
    return "".join(f"{line}\n" for line in said.splitlines())


def test_what_a_command_says_of_the_default_study_is_quoted(monkeypatch):
    monkeypatch.setenv("FASP_CACHE", str(PROJECT / "cache"))
    found = QUOTED.findall(ESTIMATORS.read_text("utf-8"))
    assert len(found) == 3
    for _, command, written in found:
        assert written == printed(command), "run: PYTHONPATH=.:tests python tests/test_readme.py"


@pytest.mark.parametrize("page", [README, EXPERIMENTS], ids=["README", "experiments"])
def test_what_pruning_changed_is_what_the_shipped_comparisons_hold(page):
    found = COMPARED.findall(page.read_text("utf-8"))
    assert found
    for _, what, axis, methods, written in found:
        assert written == WRITE[what](axis, methods.split(",")), "run: PYTHONPATH=.:tests python tests/test_readme.py"


def test_the_perplexity_is_the_shipped_study_s():
    ppl = open_study("default", PROJECT / "cache").scores(metric="likelihood").base_ppl
    said = f"perplexity on the *valid* half of the built-in text is {format_estimate(ppl.value, ppl.se)}."
    assert said in " ".join(README.read_text("utf-8").split())


def test_the_bias_of_the_prompts_alone_is_the_shipped_study_s():
    echo = open_study("default", PROJECT / "cache").scores(metric="toxicity").prompt_echo["gender_and_sex"]
    assert f"have a bias of {format_estimate(echo.value, echo.se)} by" in README.read_text("utf-8")


@pytest.mark.parametrize("field", ["title", "year", "booktitle", "url"])
def test_the_citation_is_that_of_the_citation_file(field):
    ours = re.search(rf"^  {field}\s+= {{(.*)}},?$", README.read_text("utf-8"), re.M)[1]
    key = {"booktitle": "collection-title"}.get(field, field)
    preferred = (PROJECT / "CITATION.cff").read_text("utf-8").split("preferred-citation:")[1]
    assert re.search(rf"^  {key}: (.*)$", preferred, re.M)[1] == ours


def test_the_authors_are_those_of_the_citation_file():
    preferred = (PROJECT / "CITATION.cff").read_text("utf-8").split("preferred-citation:")[1]
    names = zip(re.findall(r"family-names: (.*)", preferred), re.findall(r"given-names: (.*)", preferred), strict=True)
    authors = re.search(r"^  author\s+= {(.*)},$", README.read_text("utf-8"), re.M)[1]
    assert authors == " and ".join(f"{family}, {given}" for family, given in names)


if __name__ == "__main__":
    for document in (README, EXPERIMENTS):
        text = TABLE.sub(lambda _: table_of_the_default_study(), document.read_text("utf-8"))
        document.write_text(
            COMPARED.sub(lambda found: found[1] + WRITE[found[2]](found[3], found[4].split(",")), text), "utf-8"
        )
    text = QUOTED.sub(lambda found: found[1] + printed(found[2]), ESTIMATORS.read_text("utf-8"))
    ESTIMATORS.write_text(text, "utf-8")
