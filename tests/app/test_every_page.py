"""Every page under streamlit's AppTest: with a study, without any, with a damaged one; no model, no browser.

Covers `charts`, `reveal`, `text_list` and `copy_link`.
"""

from __future__ import annotations

import ast
import json
import pkgutil
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from helpers.app_pages import AXIS, PAGES, all_text, made_import, open_page
from helpers.made_study import make_study

import ui.page
from fasp_core.files.paths import PROJECT
from fasp_core.words.unlinked import JOINER
from ui import caches
from ui.text import plain

ABOUT_A_STUDY = [page for page in PAGES if page != "pages/studies.py"]


# -- every page, every state of the studies ----------------------------------------------------------------------


@pytest.mark.parametrize("page", ABOUT_A_STUDY)
def test_a_page_opens_with_a_study_and_says_when_it_is_gone(page, cache):
    study = make_study(cache)
    app = open_page(page)
    assert not app.error
    assert "6 layers × 4 heads" in all_text(app)
    assert "embedded scorer" in all_text(app)
    shutil.rmtree(study.folder)
    app.run()
    assert not app.exception
    assert "There is no study yet" in all_text(app)


def test_a_page_whose_study_is_deleted_while_it_is_drawn_ends_with_one_line(cache, monkeypatch):
    study = make_study(cache)

    def deleted_meanwhile(*_):
        shutil.rmtree(study.folder)
        study.read_shard(next(iter(study.manifest.shards)))

    monkeypatch.setattr("fasp_core.export.report.html_report", deleted_meanwhile)
    app = open_page("pages/export.py")
    assert not app.exception
    (line,) = (error.value for error in app.error)
    assert "is missing; score again" in line.replace("\\", "")


def test_a_file_that_vanishes_while_a_page_is_drawn_is_named(cache, monkeypatch):
    study = make_study(cache)

    def deleted_meanwhile(*_):
        shutil.rmtree(study.folder)
        caches.study_key(study)

    monkeypatch.setattr("fasp_core.export.report.html_report", deleted_meanwhile)
    app = open_page("pages/export.py")
    assert not app.exception
    (line,) = (error.value for error in app.error)
    assert "Deleted while this page was drawn: manifest" in line


@pytest.mark.parametrize("page", ABOUT_A_STUDY)
def test_a_page_opens_with_imported_scores_that_have_no_model(page, cache):
    made_import(cache)
    app = open_page(page)
    assert not app.error
    text = all_text(app)
    assert "12 layers × 4 heads" in text
    assert "imported from theirs\\.csv" in text


@pytest.mark.parametrize("page", ABOUT_A_STUDY)
def test_without_any_study_a_page_tells_the_command_that_makes_one(page):
    app = open_page(page)
    assert "There is no study yet" in all_text(app)
    assert "python -m fasp_core score default" in app.code[0].value
    assert len(app.metric) == 0


@pytest.mark.parametrize("page", ABOUT_A_STUDY)
@pytest.mark.parametrize("damage", ["manifest", "shard", "no scores"])
def test_a_damaged_study_is_one_clear_line(page, damage, cache):
    study = make_study(cache)
    if damage == "manifest":
        (study.folder / "manifest.json").write_text("{ not json")
    elif damage == "shard":
        (study.folder / f"gradient.{AXIS}.00000.parquet").write_bytes(b"nonsense")
    else:
        manifest = json.loads((study.folder / "manifest.json").read_text())
        manifest["shards"] = {k: v for k, v in manifest["shards"].items() if not k.startswith("gradient")}
        del manifest["checksum"]
        (study.folder / "manifest.json").write_text(json.dumps(manifest))
    app = open_page(page)
    (error,) = app.error
    assert "\n" not in error.value
    assert {"manifest": "damaged", "shard": "damaged", "no scores": "no scores yet"}[damage] in error.value


@pytest.mark.parametrize("page", ABOUT_A_STUDY)
def test_one_damaged_study_does_not_hide_the_others(page, cache):
    make_study(cache, "good")
    (make_study(cache, "broken").folder / "manifest.json").write_text("")
    app = open_page(page, study="broken")
    assert app.error
    app.sidebar.selectbox[0].select("good").run()
    assert not app.error
    assert "made" in all_text(app)


def test_an_unknown_study_in_a_link_is_said_and_another_one_shown(cache):
    make_study(cache)
    app = open_page("pages/heads.py", study="gone")
    assert "There is no study gone here" in app.warning[0].value
    assert app.sidebar.selectbox[0].value == "default"


# -- data is never markup ------------------------------------------------------------------------------------------


def test_names_from_a_study_are_shown_as_text(cache):
    make_study(cache, model_name="<img src=x onerror=alert(1)> **bold** [link](http://x) $x$ :smile:")
    caption = open_page("pages/heads.py").caption[0].value
    for markup in ("<img", "**bold", "[link]", "(http", "$x$", ":smile:"):
        assert caption.count(markup) == caption.count("\\" + markup)
    assert "\\<img" in caption


# -- what a click waits for ----------------------------------------------------------------------------------------


def loaded_by(modules: Iterable[str], *first: str) -> set[str]:
    """What a new process of Python has loaded after `modules`, less what it had after `first`."""
    code = (
        f"import sys, importlib; [importlib.import_module(name) for name in {list(first)}]; before = set(sys.modules);"
        f"[importlib.import_module(name) for name in {sorted(modules)}]; print(*set(sys.modules) - before)"
    )
    project = Path(ui.__path__[0]).parent
    run = subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True, text=True, check=True)
    return set(run.stdout.splitlines()[-1].split())


def asked_for(*files: str) -> set[str]:
    """The modules that files of the app import from."""
    trees = (ast.parse((Path(ui.__path__[0]).parent / file).read_text("utf-8")) for file in files)
    return {node.module for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}


def test_no_page_brings_torch_or_all_of_scipys_distributions_into_the_server():
    """They would be imported in the path of somebody's first click, for seconds."""
    modules = asked_for(*PAGES) | {module.name for module in pkgutil.walk_packages(ui.__path__, "ui.")}
    assert {"ui.compare.runs", "fasp_core.export.report"} <= modules
    loaded = loaded_by(modules)
    assert "plotly" in loaded
    assert not loaded & {"torch", "scipy.stats"}


def test_nothing_large_is_left_to_import_when_a_browser_asks_for_the_first_page():
    (ahead,) = (
        ast.literal_eval(node.value)
        for node in ast.parse((PROJECT / "serve.py").read_text("utf-8")).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "AHEAD"
    )
    left = loaded_by(asked_for("app.py", "pages/heads.py"), "streamlit", *ahead)
    assert not {name.split(".")[0] for name in left} & {"scipy", "pandas", "numpy", "pyarrow", "plotly", "pydantic"}


def test_the_title_of_the_tab_waits_for_no_scores(cache, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("scores were computed")

    monkeypatch.setattr(caches, "kept_scores", refuse)
    monkeypatch.setattr(ui.page, "shown_study", lambda: "default")
    make_study(cache, model_name="made")
    assert ui.page.shown_title() == "made · default"


@pytest.fixture
def computed(monkeypatch):
    """The metrics by which scores were computed, one entry each time."""
    asked, found = caches.kept_scores, []

    def counted(study, axis, **how):
        found.append(how["metric"])
        return asked(study, axis, **how)

    monkeypatch.setattr(caches, "kept_scores", counted)
    return found


def test_scores_are_computed_once_for_all_pages(cache, computed):
    make_study(cache)
    for page in ABOUT_A_STUDY:
        assert not open_page(page).exception
    assert computed == ["toxicity"]


@pytest.mark.parametrize("text", ["a_b_c", "1. x", "# x", "a\nb", "`x`", "~x~", "http://x.y"])
def test_plain_escapes_every_mark(text):
    escaped = plain(text)
    assert "\n" not in escaped
    assert escaped.replace("\\", "").replace(JOINER, "") == text.replace("\n", " ")
