"""The Compare page under AppTest, and its charts: with a comparison, without, damaged, imported, without a study.

Covers `points` and `results`.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qs

import numpy as np
import pytest
from helpers.app_pages import keep
from helpers.made_comparison import METHODS, make_comparison
from helpers.made_study import make_study
from helpers.scored_both_ways import score_both_ways
from streamlit.testing.v1 import AppTest

from fasp_core.comparison.table import comparison_file
from fasp_core.jobs.jobs import Job
from fasp_core.progress import Progress
from fasp_core.selection.select_heads import select_heads
from fasp_core.study.importing import import_scores
from fasp_core.words.numbers import format_fixed
from ui import words as words_
from ui.address import read_view, write_view
from ui.compare import runs as compare_runs
from ui.compare.points import prune_query
from ui.text import plain

PROJECT = Path(__file__).resolve().parents[2]
AXIS = "gender_and_sex"


@pytest.fixture
def jobs(monkeypatch) -> SimpleNamespace:
    """No process is started: what would be, is noted; `listed` are the jobs there are."""
    noted = SimpleNamespace(started=[], cancelled=[], listed=[])
    monkeypatch.setattr(compare_runs, "start_job", lambda command, **more: noted.started.append((command, more)))
    monkeypatch.setattr(compare_runs, "list_jobs", lambda: noted.listed)
    monkeypatch.setattr(compare_runs, "cancel_job", noted.cancelled.append)
    return noted


def open_page(**address: str) -> AppTest:
    app = AppTest.from_file(str(PROJECT / "app.py"), default_timeout=60)
    app.query_params.update(address)
    app.run()
    app.switch_page("pages/compare.py").run()
    assert not app.exception
    return app


def words(app: AppTest) -> str:
    kinds = (app.title, app.caption, app.markdown, app.error, app.info, app.warning)
    return "\n".join(str(element.value) for kind in kinds for element in kind)


def job(state: str, progress: Progress | None = None, message: str = "") -> Job:
    return Job(
        "20260101-000000-00000000",
        "compare default compare",
        "Compare methods",
        ("compare",),
        0.0,
        state,
        (progress,) if progress else (),
        message,
        Path("."),
    )


# -- states ---------------------------------------------------------------------------------------------------------


def shown_methods(app) -> list[str]:
    """The methods of the summary, in order; those that chose the same heads as another one are said to be left out."""
    shown = [method.replace("\\_", "_") for method in app.table[0].value["method"]]  # cells are Markdown
    assert shown == [method for method in METHODS if method in shown]
    assert len(shown) + words(app).count("and is left out") == len(METHODS)
    return shown


def points(app):
    """The table of all points, which leads to the Prune page."""
    (found,) = [each.value for each in app.dataframe if "open" in each.value]
    return found


def test_with_a_comparison_tables_lead_to_the_prune_page(cache):
    study = make_study(cache)
    table = make_comparison(study)
    app = open_page()
    assert "5 methods" in words(app)
    summary, rows = app.table[0].value, points(app)
    shown = shown_methods(app)
    assert summary.columns[2:].tolist() == ["at most 5 % more perplexity", "at most 10 % more perplexity"]
    assert len(rows) == len(shown) * 3
    line = rows[(rows["method"] == "fasp") & (rows["α"] == 0.2)].iloc[0]
    query = {name: values[0] for name, values in parse_qs(line["open"].removeprefix("prune?")).items()}
    chosen = select_heads(
        study.scores(), query["method"], axis=query["axis"], gamma=float(query["gamma"]), alpha=float(query["alpha"])
    )
    assert "-".join(f"{layer}.{head}" for layer, head in chosen.pruned) in set(table.frame["heads"])


def test_points_name_measure_axis_and_what_takes_the_heads_place(cache):
    study = make_study(cache)
    make_comparison(study, methods=("fasp", "random"), alphas=(0.0, 0.2), compensations=("none", "least_squares"))
    app = open_page()
    told = words(app).replace("\\", "")
    assert "Bias of gender and sex by toxicity: 2 methods" in told
    assert "Change of bias of gender and sex by toxicity within a perplexity budget" in told
    assert "Bias of gender and sex by toxicity against α" in told
    summary, rows = app.table[0].value, points(app)
    ways = ["nothing", "the remaining heads take over"]
    assert list(summary["in their place"]) == ways * 2
    assert list(summary["method"]) == ["fasp", "fasp", "random", "random"]
    fasp = rows[rows["method"] == "fasp"]
    assert list(zip(fasp["α"], fasp["in their place"], strict=True)) == [(0.0, ways[0]), (0.2, ways[0]), (0.2, ways[1])]
    assert fasp["open"].str.contains("compensate=least_squares").tolist() == [False, False, True]
    assert fasp["open"].str.contains("metric=toxicity").all()
    app.button_group(key=next(g.key for g in app.button_group if (g.key or "").startswith("ways."))).set_value(
        ["least_squares"]
    ).run()
    assert set(app.table[0].value["in their place"]) == {ways[1]}


def test_models_are_compared_with_a_baseline_that_can_be_chosen(cache):
    ways = ("none", "least_squares")
    table = make_comparison(make_study(cache), methods=("fasp", "random"), alphas=(0.1, 0.2), compensations=ways)
    app = open_page()
    assert words_.DIFFERENCES in words(app)
    others = app.button_group(key=f"against.{table.name}")
    assert others.options == [
        "fasp",
        "fasp, the remaining heads take over",
        "random",
        "random, the remaining heads take over",
    ]
    shown = differences(app)
    assert list(zip(shown["α"], shown["method"], strict=True)) == [
        (alpha, method) for alpha in (0.1, 0.2) for method in ("fasp", "random", "random")
    ]
    row = table.differences.query(
        "method == 'random' and compensate == 'none' and alpha == 0.2 and against == 'fasp' and metric == 'ppl'"
    ).iloc[0]
    told = shown[(shown["α"] == 0.2) & (shown["in their place"] == "nothing")].iloc[0]
    assert told["perplexity"].startswith(format_fixed(100 * row["change"] / row["before"], 1, signed=True))
    others.set_value("random.least_squares").run()
    assert set(differences(app)["method"]) == {"fasp"}


def test_a_budget_that_no_set_fits_is_said(cache):
    make_comparison(make_study(cache), methods=("random",), alphas=(0.0, 1.0))
    summary = open_page().table[0].value
    assert set(summary.iloc[:, 2:].to_numpy().ravel()) == {words_.NO_SET_FITS}


def test_a_comparison_without_differences_says_what_it_would_need(cache):
    table = make_comparison(study := make_study(cache), methods=("fasp", "random"), alphas=(0.2,))
    table.differences = table.differences.iloc[:0]
    table.save(study)
    assert words_.NO_DIFFERENCES in words(open_page())


def differences(app):
    """The table of one model against another."""
    (found,) = [each.value for each in app.dataframe if "open" not in each.value]
    return found


def test_which_scores_chose_is_said_where_they_are_under_compensation(cache):
    ways = ("none", "least_squares")
    table = make_comparison(study := make_study(cache), methods=("fasp",), alphas=(0.2,), compensations=ways)
    assert "scores under compensation" not in words(open_page())
    table.meta["scores_under"] = {"none": "none", "least_squares": "least_squares"}
    table.save(study)
    assert "heads were chosen by their scores under compensation" in words(open_page())


def test_a_comparison_by_likelihood_opens_from_its_table_alone(cache, tiny_llama):
    study = score_both_ways(tiny_llama, cache, toxicity=False)
    make_comparison(study, axes=(AXIS,), methods=("fasp", "random"), alphas=(0.25,), metric="likelihood")
    (cache / "evaluations.sqlite").unlink(missing_ok=True)
    app = open_page()
    assert "Change of bias of gender and sex by likelihood within" in words(app)
    assert points(app)["open"].str.contains("metric=likelihood").all()


def test_several_comparisons_can_be_chosen_and_the_choice_is_in_the_address(cache):
    study = make_study(cache)
    first, second = make_comparison(study), make_comparison(study, methods=("fasp", "random"))
    app = open_page(comparison=first.name)
    picker = app.selectbox(key="widget.comparison")
    assert picker.value == first.name
    picker.select(second.name).run()
    assert second.name in app.query_params["comparison"]
    assert list(app.table[0].value["method"]) == ["fasp", "random"]


def test_the_comparison_on_the_shown_axis_comes_first(cache):
    study = make_study(cache)
    made = [make_comparison(study, axes=(axis,), methods=("fasp", "random")) for axis in ("religion", AXIS)]
    for axis, expected in (("religion", made[0]), (AXIS, made[1]), ("toxicity", made[1])):
        assert open_page(axis=axis).selectbox(key="widget.comparison").value == expected.name


def test_methods_can_be_left_out(cache):
    make_comparison(make_study(cache))
    app = open_page()
    pills = next(group for group in app.button_group if group.label == "Methods")
    pills.set_value(["fasp", "random"]).run()
    assert list(app.table[0].value["method"]) == ["fasp", "random"]


def test_one_axis_has_no_side_effects_to_show(cache):
    make_comparison(make_study(cache), axes=(AXIS,))
    assert "Only one bias was measured" in words(open_page())


def test_what_the_chosen_blocks_could_tell_is_said(cache):
    study = make_study(cache)
    app = open_page()
    assert "With 450 texts a change of bias of ±" in words(app)
    keep(study, ((2, 2),))  # a standard error of 0.006 with 500 texts
    app.number_input(key="compare.blocks").set_value(50).run()
    app.number_input(key="compare.seeds").set_value(2).run()
    told = words(app).replace("\\", "")
    assert (
        "With 1,800 texts a change of bias of ±0.0089 could be told from none." in told
    )  # 2.8016 · 0.006 · √(500/1800)


def test_nothing_compared_yet(cache):
    make_study(cache)
    assert "Nothing has been compared yet" in words(open_page())


def test_a_damaged_comparison_is_named_and_the_others_are_shown(cache):
    study = make_study(cache)
    good, bad = make_comparison(study), make_comparison(study, methods=("random",))
    comparison_file(study, bad.name).write_bytes(b"PAR1")
    app = open_page()
    assert "not a whole Parquet file" in app.warning[0].value
    shown_methods(app)
    assert good.complete


def test_an_incomplete_comparison_says_so(cache):
    study = make_study(cache)
    table = make_comparison(study)
    table.meta["complete"] = False
    table.save(study)
    assert "not complete" in words(open_page())
    table.frame = table.frame[table.frame["split"] == "valid"]
    table.save(study)
    assert "still being chosen on valid" in words(open_page())


def test_imported_scores_have_no_model_to_compare_on(cache, tmp_path):
    make_study(cache, "scored").scores().to_csv(tmp_path / "table.csv")
    import_scores(tmp_path / "table.csv", name="imported", root=cache)
    app = open_page(study="imported")
    assert "imported without their model" in words(app)
    assert not app.expander


def test_without_any_study():
    assert "There is no study yet" in words(open_page())


# -- runs -----------------------------------------------------------------------------------------------------------


def test_a_run_is_started_as_a_job(cache, jobs):
    make_study(cache)
    app = open_page()
    app.multiselect(key="compare.methods").set_value(["fasp", "random"])
    app.text_input(key="compare.alphas").set_value("0.1:0.2:0.05")
    app.button[0].click().run()
    assert not app.exception
    ((command, more),) = jobs.started
    assert command[:6] == ["compare", "default", "--axis", AXIS, "--metric", "toxicity"]
    assert command[6:12] == ["--methods", "fasp,random", "--compensate", "none", "--alphas", "0.1,0.15,0.2"]
    assert command[-2:] == ["--axes", AXIS]  # the one pruned for, as the empty field says
    assert more["key"].startswith("compare default ")
    assert more["title"] == "Compare methods, gender and sex by toxicity"


def test_the_measure_decides_which_axes_and_methods_there_are(cache, jobs, tiny_llama):
    score_both_ways(tiny_llama, cache)  # one axis by likelihood alone, the other by both
    app = open_page(metric="toxicity")
    axis, methods = app.selectbox(key="compare.axis"), app.multiselect(key="compare.methods")
    assert axis.options == ["Religion", "Mean toxicity"]
    assert methods.value == ["fasp", "fasp_joint", "random"]  # what takes minutes
    assert len(methods.options) == 11
    methods.set_value(["fasp", "fasp_iterative"])
    app.button_group(key="compare.metric").set_value("likelihood").run()
    assert app.selectbox(key="compare.axis").options == ["Gender and sex", "Religion"]
    assert "readings a change of bias of ±" in words(app)
    assert "fasp\\_iterative scores heads again in up to 6 stages" in words(app)  # for 3 γ, 2 of 12 heads, one a stage
    app.selectbox(key="compare.axis").set_value(AXIS)
    app.button_group(key="compare.compensate").set_value(["none", "least_squares"])
    app.button[0].click().run()
    assert "under compensation, and study 'default' has none" in app.error[0].value.replace("\\", "")
    app.multiselect(key="compare.methods").set_value(["fasp"])
    app.button[0].click().run()
    assert not app.exception
    ((command, more),) = jobs.started
    assert command[2:10] == [
        *("--axis", AXIS, "--metric", "likelihood", "--methods", "fasp", "--compensate", "none,least_squares")
    ]
    assert more["title"] == "Compare methods, gender and sex by likelihood"
    app.button_group(key="compare.compensate").set_value([]).run()
    app.button[0].click().run()
    assert "one or more" in app.error[0].value


@pytest.mark.parametrize(
    ("field", "text", "words_"),
    [("alphas", "many", "first:last:step"), ("gammas", "1.5", "from 0 to 1"), ("gammas", "", "at least one γ")],
)
def test_bad_input_starts_nothing_and_says_why(cache, jobs, field, text, words_):
    make_study(cache)
    app = open_page()
    app.text_input(key=f"compare.{field}").set_value(text)
    app.button[0].click().run()
    assert jobs.started == []
    assert words_ in app.error[0].value.replace("\\", "")


def test_a_run_is_watched_and_stopped(cache, jobs):
    make_study(cache)
    jobs.listed = [job("running", Progress("measuring on test", 30, 120, "blocks", 60.0, 180.0))]
    app = open_page()
    shown = next(iter(app.get("progress"))).proto
    assert shown.value == 25
    assert "30 of 120 blocks" in shown.text
    assert "3 min 0 s left" in shown.text
    app.button(key="stop.20260101-000000-00000000").click().run()
    assert jobs.cancelled == ["20260101-000000-00000000"]


def test_a_failed_run_says_why_until_it_is_dismissed(cache, jobs, monkeypatch):
    make_study(cache)
    jobs.listed = [job("failed", message="no room <b>left</b>")]
    monkeypatch.setattr(compare_runs, "remove_job", lambda _: jobs.listed.clear())
    app = open_page()
    assert f"failed. {plain('no room <b>left</b>')}" in words(app)
    app.button(key="dismiss.20260101-000000-00000000").click().run()
    assert "no room" not in words(app)


# -- links --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "gamma", "compensate", "expected"),
    [
        ("fasp", 0.5, "none", {"method": "fasp", "gamma": "0.50", "alpha": "0.1", "seed": "2"}),
        ("random", np.nan, "mean", {"method": "random", "alpha": "0.1", "seed": "2", "compensate": "mean"}),
        ("fasp_iterative", 0.5, "least_squares", {"compensate": "least_squares"}),
        (
            "fasp_multi",
            0.5,
            "none",
            {"method": "fasp_multi", "gamma": "0.50", "alpha": "0.1", "seed": "2", "weights": "a:1~b:0.5"},
        ),
    ],
)
def test_a_point_s_address(method, gamma, compensate, expected):
    row = SimpleNamespace(
        method=method, gamma=gamma, alpha=0.1, compensate=compensate, seed=2, heads="0.3-5.1", n_pruned=2
    )
    table = SimpleNamespace(axis=AXIS, metric="likelihood", meta={"settings": {"weights": {"a": 1.0, "b": 0.5}}})
    query = prune_query("s", table, row)
    assert query == {"study": "s", "axis": AXIS, "metric": "likelihood", "heads": "0.3-5.1", **expected}
    assert write_view(read_view(query)).items() <= query.items()  # the page understands every part
