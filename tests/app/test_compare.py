"""The Compare page under AppTest, and its charts: with a comparison, without, damaged, imported, without a study."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qs

import numpy as np
import pandas as pd
import pytest
from made_comparison import METHODS, make_comparison
from made_study import make_study
from streamlit.testing.v1 import AppTest

from fasp_core import rules
from fasp_core.background import Job
from fasp_core.comparison_table import comparison_file, pool
from fasp_core.figures import comparison_curves, predicted_measured, side_effects, trade_off
from fasp_core.figures.comparison import STYLES, axis_end
from fasp_core.importing import import_scores
from fasp_core.progress import Progress
from fasp_core.selection import select_heads
from ui import compare_runs
from ui.compare_results import prune_query
from ui.text import plain
from ui.view_parts import read_view, write_view

PROJECT = Path(__file__).resolve().parent.parent
AXIS = "gender_and_sex"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("FASP_CACHE", str(tmp_path))
    return tmp_path


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
    return Job("20260101-000000-00000000", "compare default compare", "Compare methods", ("compare",), 0.0, state,
               (progress,) if progress else (), message, Path("."))  # fmt: skip


# -- states ---------------------------------------------------------------------------------------------------------


def test_with_a_comparison_tables_lead_to_the_prune_page(cache):
    study = make_study(cache)
    table = make_comparison(study)
    app = open_page()
    assert "5 methods" in words(app)
    summary, points = app.table[0].value, app.dataframe[0].value
    assert list(summary["method"]) == list(METHODS)
    assert summary.columns[1:].tolist() == ["at most 5 % more perplexity", "at most 10 % more perplexity"]
    assert len(points) == len(METHODS) * 3
    line = points[(points["method"] == "fasp") & (points["α"] == 0.2)].iloc[0]
    query = {name: values[0] for name, values in parse_qs(line["open"].removeprefix("prune?")).items()}
    chosen = select_heads(study.scores(), query["method"], axis=query["axis"], gamma=float(query["gamma"]),
                          alpha=float(query["alpha"]))  # fmt: skip
    assert "-".join(f"{layer}.{head}" for layer, head in chosen.pruned) in set(table.frame["heads"])


def test_several_comparisons_can_be_chosen_and_the_choice_is_in_the_address(cache):
    study = make_study(cache)
    first, second = make_comparison(study), make_comparison(study, methods=("fasp", "random"))
    app = open_page(comparison=first.name)
    picker = app.selectbox(key="widget.comparison")
    assert picker.value == first.name
    picker.select(second.name).run()
    assert second.name in app.query_params["comparison"]
    assert list(app.table[0].value["method"]) == ["fasp", "random"]


def test_methods_can_be_left_out(cache):
    make_comparison(make_study(cache))
    app = open_page()
    pills = next(group for group in app.button_group if group.label == "Methods")
    pills.set_value(["fasp", "random"]).run()
    assert list(app.table[0].value["method"]) == ["fasp", "random"]


def test_one_axis_has_no_side_effects_to_show(cache):
    make_comparison(make_study(cache), axes=(AXIS,))
    assert "Only one bias was measured" in words(open_page())


def test_nothing_compared_yet(cache):
    make_study(cache)
    assert "Nothing has been compared yet" in words(open_page())


def test_a_damaged_comparison_is_named_and_the_others_are_shown(cache):
    study = make_study(cache)
    good, bad = make_comparison(study), make_comparison(study, methods=("random",))
    comparison_file(study, bad.name).write_bytes(b"PAR1")
    app = open_page()
    assert "not a whole Parquet file" in app.warning[0].value
    assert list(app.table[0].value["method"]) == list(METHODS)
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
    assert command[:8] == ["compare", "default", "--axis", AXIS, "--methods", "fasp,random", "--alphas", "0.1,0.15,0.2"]
    assert more["key"].startswith("compare default ")


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


# -- charts and links -----------------------------------------------------------------------------------------------


@pytest.fixture
def pooled(cache) -> pd.DataFrame:
    table = make_comparison(make_study(cache), seeds=2)
    return pool(table.frame[table.frame["split"] == "test"])


def test_curves_hold_the_numbers_of_the_table(pooled):
    figure = comparison_curves(pooled, f"bias.{AXIS}")
    lines = {trace.name: trace for trace in figure.data if "markers" in trace.mode}
    assert set(lines) == set(METHODS)
    rows = pooled.query(f"method == 'fasp' and metric == 'bias.{AXIS}'").sort_values("alpha")
    assert list(lines["fasp"].y) == pytest.approx(100 * rows["relative"])
    assert lines["fasp"].error_y.array == pytest.approx(100 * (rows["relative_high"] - rows["relative"]))
    assert [point[2] for point in lines["fasp"].customdata] == ["0.05", "0.1", "0.2"]


def test_few_methods_have_bands_and_many_whiskers(pooled):
    few = comparison_curves(pooled[pooled["method"].isin(["fasp", "random"])], "ppl")
    many = comparison_curves(pooled, "ppl")
    assert sum(trace.fill == "toself" for trace in few.data) == 2
    assert sum(trace.fill == "toself" for trace in many.data) == 0
    assert all(trace.error_y.array is None for trace in few.data)


def test_a_ruined_model_does_not_flatten_the_others():
    assert axis_end(pd.Series([0.01, 0.05, 0.1, 0.2])) is None
    end = axis_end(pd.Series([*np.linspace(0, 0.2, 30), 4.7]))
    assert 0.2 < end < 0.6


def test_the_front_has_only_points_that_none_beats(pooled):
    figure = trade_off(pooled, AXIS)
    front = list(zip(figure.data[0].x, figure.data[0].y, strict=True))
    points = [p for trace in figure.data[1:] for p in zip(trace.x, trace.y, strict=True)]
    for x, y in front:
        assert not any((px <= x and py <= y) and (px < x or py < y) for px, py in points)
    assert set(front) <= set(points)


def test_side_effects_and_predictions_name_every_axis_and_method(pooled):
    effects = side_effects(pooled[pooled["alpha"] == 0.2], AXIS)
    assert list(effects.layout.yaxis.ticktext) == ["gender and sex", "religion"]
    assert {trace.name for trace in effects.data} == set(METHODS)
    predicted = predicted_measured(pooled, "ppl")
    fasp = next(trace for trace in predicted.data if trace.name == "fasp")
    rows = pooled.query("method == 'fasp' and metric == 'ppl'").sort_values("alpha")
    assert list(fasp.x) == pytest.approx(100 * rows["predicted"] / rows["before"])


def test_methods_differ_by_more_than_hue():
    assert set(STYLES) == set(rules.METHODS)
    assert len({style[3] for style in STYLES.values()}) == len(STYLES)  # no marker twice
    assert all(len({style[side] for style in STYLES.values()}) == len(STYLES) for side in (0, 1))


@pytest.mark.parametrize(
    ("method", "gamma", "expected"),
    [
        ("fasp", 0.5, {"method": "fasp", "gamma": "0.50", "alpha": "0.1", "seed": "2"}),
        ("random", np.nan, {"method": "random", "alpha": "0.1", "seed": "2"}),
        ("fasp_iterative", 0.5, {"heads": "0.3-5.1"}),
        (
            "fasp_multi",
            0.5,
            {"method": "fasp_multi", "gamma": "0.50", "alpha": "0.1", "seed": "2", "weights": "a:1-b:0.5"},
        ),
    ],
)
def test_a_point_s_address(method, gamma, expected):
    row = SimpleNamespace(method=method, gamma=gamma, alpha=0.1, seed=2, heads="0.3-5.1")
    table = SimpleNamespace(axis=AXIS, meta={"settings": {"weights": {"a": 1.0, "b": 0.5}}})
    query = prune_query("s", table, row)
    assert query == {"study": "s", "axis": AXIS, **expected}
    assert write_view(read_view(query)).items() <= query.items()  # the page understands every part
