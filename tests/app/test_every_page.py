"""Every page under streamlit's AppTest: with a study, without any, with a damaged one; no model, no browser."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from app_pages import PAGES, all_text, made_import, open_page, shown_value
from hypothesis import given
from hypothesis import strategies as st
from made_study import made_evaluation, make_study

from fasp_core.errors import InputError
from fasp_core.jobs import EvaluationClient
from fasp_core.prompts import load_prompts
from fasp_core.selection import select_heads
from fasp_core.store import EvaluationStore
from ui.text import plain
from ui.view_parts import PARTS, read_view, write_view

ABOUT_A_STUDY = [page for page in PAGES if page != "pages/studies.py"]
AXIS = "gender_and_sex"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """An empty folder of studies, and no worker process: tests answer requests themselves."""
    monkeypatch.setenv("FASP_CACHE", str(tmp_path))
    monkeypatch.setattr(EvaluationClient, "_ensure_worker", lambda self: False)
    monkeypatch.setattr(EvaluationClient, "_model_ready", lambda self: True)
    return tmp_path


def answer(cache: Path, state: str, *, fraction: float | None = None, message: str = "", pruned=None) -> None:
    """Do the worker's part for all open requests."""
    store = EvaluationStore(cache)
    groups = sorted(load_prompts().select(axes=[AXIS]).group_shares(AXIS).index)
    for request in store.open_requests(60):
        result = made_evaluation(pruned or request.pruned, AXIS, groups, fraction).to_dict() if fraction else None
        store.answer(request, state, message=message, result=result)


def the_request(cache: Path):
    (request,) = EvaluationStore(cache).open_requests(60)
    return request


# -- every page, every state of the studies ----------------------------------------------------------------------


@pytest.mark.parametrize("page", ABOUT_A_STUDY)
def test_a_page_opens_with_a_study(page, cache):
    make_study(cache)
    app = open_page(page)
    assert not app.error
    assert "6 layers × 4 heads" in all_text(app)
    assert "embedded scorer" in all_text(app)


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


# -- heads ---------------------------------------------------------------------------------------------------------


def test_the_heads_page_shows_base_values_with_errors_and_the_reliability_in_words(cache):
    scores = make_study(cache).scores()
    text = all_text(open_page("pages/heads.py"))
    assert "Perplexity 2" in text
    assert " ± " in text
    assert "Measured again" in text or "Mostly noise" in text
    assert f"Based on {scores.meta['n_samples'][AXIS]} continuations" in text


def test_the_head_of_a_link_is_the_chosen_one_and_one_outside_the_model_is_not(cache):
    scores = make_study(cache).scores()
    app = open_page("pages/heads.py", head="4.2")
    assert app.main.selectbox[0].value == (4, 2)
    app = open_page("pages/heads.py", head="60.2")
    assert app.main.selectbox[0].value == divmod(int(scores.z_bias(AXIS).argmax()), 4)


def test_choosing_a_head_shows_its_scores_and_its_address(cache):
    make_study(cache)
    app = open_page("pages/heads.py")
    before = [metric.value for metric in app.metric]
    app.main.selectbox[0].select((5, 3)).run()
    assert app.query_params["head"] == "5.3"
    assert [metric.value for metric in app.metric] != before


# -- prune ---------------------------------------------------------------------------------------------------------


def test_moving_a_slider_selects_anew_and_asks_for_just_that(cache):
    scores = make_study(cache).scores()
    app = open_page("pages/prune.py")
    app.slider(key="widget.alpha").set_value(0.25).run()
    expected = select_heads(scores, axis=AXIS, gamma=0.3, alpha=0.25)
    assert "6 of 24 heads pruned, 7 protected, 11 kept" in all_text(app)
    request = the_request(cache)
    assert (request.pruned, request.axes, request.split) == (expected.pruned, (AXIS, "religion"), "valid")


def test_the_measured_result_fills_in_and_is_shown_with_its_intervals(cache):
    make_study(cache)
    app = open_page("pages/prune.py")
    answer(cache, "running", fraction=0.4)
    app.run()
    assert "Perplexity 24.0 → 25.5 +1.5 ± 0.5" in all_text(app)
    answer(cache, "done", fraction=1.0)
    app.run()
    text = all_text(app)
    assert "measured on 500 texts, 50 text windows" in text
    assert "Bias · Gender and sex 0.200 → 0.140 -0.060 ± 0.006" in text
    assert "Bias fell by 0.048 to 0.072" in text
    assert "Perplexity rose by" in text


def test_a_result_of_other_heads_is_never_shown(cache):
    make_study(cache)
    app = open_page("pages/prune.py")
    answer(cache, "done", fraction=1.0, pruned=((0, 0),))
    app.run()
    assert "Perplexity 2" not in all_text(app)


def test_a_failed_measurement_is_said_and_asked_again_only_by_its_button(cache):
    make_study(cache)
    app = open_page("pages/prune.py")
    answer(cache, "failed", message="cannot open 'made-model'; give its folder")
    app.run()
    assert "cannot open" in app.error[0].value
    assert not EvaluationStore(cache).open_requests(60)
    app.button(key="again_valid").click().run()
    assert the_request(cache).state == "queued"


def test_a_service_that_cannot_work_is_one_clear_line(cache, monkeypatch):
    def refuse(*_: object) -> None:
        raise InputError("evaluations.sqlite cannot be used; delete it")

    make_study(cache)
    monkeypatch.setattr(EvaluationClient, "request", refuse)
    app = open_page("pages/prune.py")
    assert "evaluations\\.sqlite cannot be used; delete it" in app.error[0].value
    assert "predicted" in all_text(app)


def test_a_forgotten_request_is_asked_again(cache):
    make_study(cache)
    app = open_page("pages/prune.py")
    for path in cache.glob("evaluations.sqlite*"):
        path.unlink()
    EvaluationStore(cache)
    app.run()
    assert the_request(cache).state == "queued"


def test_without_a_model_one_can_still_select_predict_and_download(cache):
    make_study(cache)
    app = open_page("pages/prune.py")
    answer(cache, "failed", message="no such model")
    app.run()
    assert "predicted" in all_text(app)
    assert len(app.get("download_button")) == 1


def test_alpha_above_one_minus_gamma_is_explained_with_a_way_out(cache):
    make_study(cache)
    app = open_page("pages/prune.py", gamma="0.80", alpha="0.50")
    assert "α can be at most 0.20, not 0.50" in app.error[0].value
    assert not EvaluationStore(cache).open_requests(60)
    app.button[0].click().run()
    assert not app.error
    assert shown_value(app.slider, "alpha") == 0.2


@pytest.mark.parametrize(("gamma", "alpha"), [("0.00", "1.00"), ("1.00", "0.00"), ("0.00", "0.00"), ("0.29", "0.71")])
def test_the_ends_of_the_sliders_work(gamma, alpha, cache):
    make_study(cache)
    app = open_page("pages/prune.py", gamma=gamma, alpha=alpha)
    assert not app.error
    if alpha == "0.00":
        assert "nothing to measure" in app.info[0].value


# -- the view ------------------------------------------------------------------------------------------------------


def test_the_view_survives_a_change_of_page_and_is_in_the_address(cache):
    make_study(cache)
    app = open_page("pages/prune.py")
    app.slider(key="widget.gamma").set_value(0.5).run()
    app.get("button_group")[0].set_value("religion").run()
    app.switch_page("pages/heads.py").run()
    assert app.get("button_group")[0].value == "religion"
    app.switch_page("pages/prune.py").run()
    assert app.get("button_group")[0].value == "religion"
    assert app.slider(key="widget.gamma").value == 0.5
    assert app.query_params["gamma"] == "0.50"


def test_a_link_opens_the_same_view(cache):
    make_study(cache)
    app = open_page("pages/prune.py", study="default", axis="religion", gamma="0.45", alpha="0.20")
    assert (shown_value(app.slider, "gamma"), shown_value(app.slider, "alpha")) == (0.45, 0.2)
    assert the_request(cache).axes == ("religion", AXIS)


DEFAULTS = read_view({})
a_name = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1)
a_head = st.tuples(st.integers(0, 99), st.integers(0, 99))
a_share = st.integers(0, 100).map(lambda percent: percent / 100)
VALUES = {"study": a_name, "axis": a_name, "gamma": a_share, "alpha": a_share, "head": a_head}


@given(st.fixed_dictionaries({}, optional=VALUES))
def test_an_address_is_read_back_as_it_was_written_and_holds_only_what_was_chosen(chosen):
    view = {**DEFAULTS, **chosen}
    assert read_view(write_view(view)) == view
    assert set(write_view(view)) == {name for name, value in view.items() if value != DEFAULTS[name]}


@pytest.mark.parametrize(
    "address",
    [
        {"gamma": "1.5"},
        {"alpha": "nan"},
        {"alpha": "x"},
        {"head": "3"},
        {"head": "a.b"},
        {"head": "-1.2"},
        {"metric": "fame"},
        {"other": "1"},
    ],
)
def test_what_cannot_be_read_from_an_address_is_at_its_default(address):
    assert read_view(address) == DEFAULTS


def test_every_part_of_the_view_says_how_it_is_read_and_written():
    for part in PARTS.values():
        assert part.default is None or part.read(part.write(part.default)) == part.default


# -- data is never markup ------------------------------------------------------------------------------------------


def test_names_from_a_study_are_shown_as_text(cache):
    make_study(cache, model_name="<img src=x onerror=alert(1)> **bold** [link](http://x) $x$ :smile:")
    caption = open_page("pages/heads.py").caption[0].value
    for markup in ("<img", "**bold", "[link]", "(http", "$x$", ":smile:"):
        assert caption.count(markup) == caption.count("\\" + markup)
    assert "\\<img" in caption


@pytest.mark.parametrize("text", ["a_b_c", "1. x", "# x", "a\nb", "`x`", "~x~", "http://x.y"])
def test_plain_escapes_every_mark(text):
    escaped = plain(text)
    assert "\n" not in escaped
    assert escaped.replace("\\", "") == text.replace("\n", " ")
