"""Every term on a page explains itself on hover: a label, number, heading or column that names one has its help.

Covers `columns`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from helpers.app_pages import AXIS, PAGES, PROJECT, keep, open_page
from helpers.made_comparison import make_comparison
from helpers.made_study import make_study
from helpers.scored_both_ways import score_both_ways
from streamlit.testing.v1 import AppTest

from fasp_core.selection.select_heads import select_heads
from fasp_core.study.study import open_study
from ui import words

TERM = re.compile(
    r"[γαΣ]|\bz_|\bhow to read|perplexity|bias|toxic|reliab|nats|interval|rank|\bheads?\b|\bax[ei]s|protect|prun|split|"
    r"\bprompts$|verdict|compared|place|correlation|checkpoint|budget|method|study|\br$|role|shape",
    re.I,
)
LABELLED = {
    "metric",
    "slider",
    "selectbox",
    "multiselect",
    "number_input",
    "text_input",
    "toggle",
    "button",
    "button_group",
}
NAMES = {  # labels that hold a term's word but name a thing beside it, or whose sentence stands right below
    "title": {"Heads", "Prune", "Compare", "Correlations", "Continuations", "Export", "Studies"},
    "header": {"All heads", "Measured sets", "Start or extend a study", *(f"What layer {i}" for i in range(40))},
    "button": {"Find the best set", "Make the checkpoint"},
    "selectbox": {"Compare", "with", "Study"},  # of Studies: to rename, to delete
    "markdown": {"**Configuration (JSON)**", "**Report (HTML)**"},
    "column": {"layer", "study", "model"},
    "text_input": {"Name of this set"},
}


def leaves(node: object) -> Iterator[object]:
    children = getattr(node, "children", None)
    if not children:
        yield node
    for child in (children or {}).values():
        yield from leaves(child)


def named(app: AppTest) -> Iterator[tuple[str, str, str]]:
    """What a page calls things: kind of element, label, help; of markdown only headings and numbers in bold."""
    for element in leaves(app._tree):
        proto, kind = getattr(element, "proto", None), element.type
        if kind == "dataframe":
            columns = json.loads(proto.columns or "{}")
            yield from (("column", str(name), columns.get(name, {}).get("help", "")) for name in element.value.columns)
        elif (kind == "markdown" and proto.body.startswith("**")) or kind in ("title", "header"):
            yield kind, proto.body, proto.help
        elif kind in LABELLED:
            yield kind, proto.label, proto.help


def unexplained(app: AppTest) -> list[tuple[str, str]]:
    return [
        (kind, label)
        for kind, label, said in named(app)
        if TERM.search(label) and not said and not any(label.startswith(name) for name in NAMES.get(kind, ()))
    ]


@pytest.mark.parametrize("page", PAGES)
def test_every_term_on_a_page_has_its_sentence(page, cache):
    study = make_study(cache)
    chosen = select_heads(study.scores(), axis=AXIS).pruned
    for split in ("valid", "test"):
        keep(study, chosen, split=split)
    keep(study, chosen[:1])
    make_comparison(study)
    app = open_page(page)
    assert not app.error
    assert len([*named(app)]) > 5
    assert unexplained(app) == []


@pytest.fixture(scope="module")
def by_likelihood(tiny_llama, tmp_path_factory):
    return score_both_ways(tiny_llama, tmp_path_factory.mktemp("both"), toxicity=False).folder.parent


@pytest.mark.parametrize("page", ["pages/heads.py", "pages/prune.py"])
def test_so_it_is_by_likelihood(page, by_likelihood, monkeypatch):
    monkeypatch.setenv("FASP_CACHE", str(by_likelihood))
    assert open_study("default").metrics == ["likelihood"]
    app = open_page(page, anyway="1", several="1", chosen="0.0-1.1")
    assert unexplained(app) == []


@pytest.mark.parametrize("page", ["pages/heads.py", "pages/prune.py", "pages/export.py"])
def test_so_it_is_for_the_mean_toxicity(page, cache):
    make_study(cache)
    app = open_page(page, axis="toxicity", anyway="1", several="1", chosen="0.0-1.1")
    assert not app.error
    assert unexplained(app) == []


def test_a_missing_sentence_is_found(cache, monkeypatch):
    make_study(cache)
    monkeypatch.setitem(words.TERMS, "reliability", "")
    monkeypatch.delitem(words.COLUMNS, "rank")
    assert unexplained(open_page("pages/heads.py")) == [("metric", "Reliability of the ranking"), ("column", "rank")]


def test_every_term_of_the_glossary_is_used():
    code = "\n".join(path.read_text("utf-8") for folder in ("ui", "pages") for path in (PROJECT / folder).rglob("*.py"))
    by_name = {"z_ppl", "z_bias", "z_toxicity", "mean_toxicity", "p", "interval", "nats"}  # chosen by what is shown
    unused = [key for key in words.TERMS if not re.search(rf"TERMS\[['\"]{key}['\"]\]", code) and key not in by_name]
    assert unused == []
