"""What the Heads, Correlations and Continuations pages say, under AppTest: against the numbers behind them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from app_pages import PROJECT, all_text, made_import, open_page
from made_study import make_study

from fasp_core.budgets import Budget
from fasp_core.correlations import axis_correlations
from fasp_core.evaluation import evaluate_study
from fasp_core.evaluation_plan import EvaluationSettings
from fasp_core.head_detail import summed_bias
from fasp_core.history import measured_sets, paired_texts
from fasp_core.jobs import EvaluationClient
from fasp_core.numbers import format_estimate, format_fixed
from fasp_core.results import axis_samples
from fasp_core.scoring import score_heads
from fasp_core.selection import select_heads
from fasp_core.shards import StudySettings
from fasp_core.store import EvaluationStore
from fasp_core.study import open_study
from fasp_core.text_pairs import align, changed_share
from ui.text import plain

AXIS = "gender_and_sex"
HEADS, CORRELATIONS, CONTINUATIONS = (f"pages/{name}.py" for name in ("heads", "correlations", "continuations"))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """An empty folder of studies, and no worker process."""
    monkeypatch.setenv("FASP_CACHE", str(tmp_path))
    monkeypatch.setattr(EvaluationClient, "_ensure_worker", lambda self: False)
    return tmp_path


# -- heads ---------------------------------------------------------------------------------------------------------


def test_the_panel_of_a_head_gives_its_score_rank_groups_and_how_it_came_about(cache):
    scores = make_study(cache).scores()
    app = open_page(HEADS, head="2.1")
    flat = 2 * 4 + 1
    z, se = scores.z_bias(AXIS)[flat], scores.z_bias_se(AXIS)[flat]
    text = all_text(app)
    assert format_estimate(z, se, signed=True) in text
    assert f"rank {1 + int((scores.z_bias(AXIS) > z).sum())}" in text
    assert "How it was scored: gradient" in text
    assert "Effective sample size" in text
    assert "Without it the bias would be" in text


def test_several_heads_are_summed_with_the_error_of_the_sum(cache):
    study = make_study(cache)
    app = open_page(HEADS, several="1", chosen="0.3-2.1-5.2")
    total = summed_bias(axis_samples(study, AXIS), [3, 9, 22])
    assert format_estimate(total.value, total.se, signed=True) in all_text(app)
    assert app.multiselect[0].value == [(0, 3), (2, 1), (5, 2)]
    app.multiselect[0].set_value([(5, 2), (0, 3)]).run()
    assert app.query_params["chosen"] == "0.3-5.2"


def test_the_table_can_be_cut_down_to_the_pruned_heads(cache):
    scores = make_study(cache).scores()
    app = open_page(HEADS, show="pruned", alpha="0.25")
    shown = app.dataframe[-1].value
    expected = select_heads(scores, axis=AXIS, gamma=0.3, alpha=0.25).pruned
    assert set(zip(shown["layer"], shown["head"], strict=True)) == set(expected)


def test_what_alpha_cannot_be_is_shown_as_far_as_gamma_leaves_room(cache):
    make_study(cache)
    app = open_page(HEADS, gamma="0.75", alpha="0.50")
    assert "6 of 24 heads pruned, 18 protected" in all_text(app)


def test_the_top_of_the_list_is_said_to_hold_as_far_as_it_would(cache):
    make_study(cache, n_layers=12, heads_per_layer=12)
    text = all_text(open_page(HEADS))
    assert "Of the 20 heads with the highest z_bias, about" in text
    assert "luck alone gives 2.8" in text  # 20² / 144


def test_the_measure_of_bias_can_be_changed_and_the_choice_is_in_the_address(cache):
    shutil.copytree(PROJECT / "cache" / "default", cache / "default")
    study = open_study("default", cache)
    tops = {}
    for metric in study.metrics:
        z = study.scores(metric=metric).z_bias(AXIS)
        tops[metric] = divmod(int(z.argmax()), 9)
    assert len({*tops.values()}) == 2
    app = open_page(HEADS)
    assert app.main.selectbox[0].value == tops["toxicity"]
    next(group for group in app.get("button_group") if group.value == "toxicity").set_value("likelihood").run()
    assert app.query_params["metric"] == "likelihood"
    assert app.main.selectbox[0].value == tops["likelihood"]
    assert "choose toxicity as the measure above" in all_text(app)


def test_sampling_on_starts_one_job_for_the_axis_that_is_shown(cache, monkeypatch):
    make_study(cache)
    started = []
    monkeypatch.setattr("ui.ranking.start_job", lambda command, **job: started.append((command, job["key"])))
    app = open_page(HEADS, axis="religion")
    next(button for button in app.button if button.label.startswith("Sample on")).click().run()
    assert not app.exception
    command, key = started[0]
    assert key == "score default"
    assert len(started) == 1
    assert command[0] == "score"
    assert command[command.index("--axes") + 1] == "religion"
    assert command[command.index("--name") + 1] == "default"


def test_imported_scores_say_what_a_model_would_add_and_sum_without_an_error(cache):
    made_import(cache)
    text = all_text(open_page(HEADS))
    assert "there are no samples to look into" in text
    assert "python -m fasp_core score MODEL" in text
    text = all_text(open_page(HEADS, several="1", chosen="1.0-1.1"))
    assert "error of a sum is known only where there are sampled texts" in text


def test_texts_are_hidden_until_asked_for_and_then_on_every_page(cache):
    make_study(cache)
    app = open_page(HEADS)
    assert "text hidden" in all_text(app)
    assert "continuation 1" not in all_text(app)
    app.toggle(key="reveal.head").set_value(True).run()
    assert "continuation " in all_text(app)
    app.switch_page(CONTINUATIONS).run()
    assert "text hidden" not in all_text(app)
    assert "revealed" not in "".join(app.query_params)  # a link never reveals


# -- correlations --------------------------------------------------------------------------------------------------


def test_the_sentence_tells_what_the_protected_heads_do_to_the_correlations(cache):
    scores = made_import(cache).scores()
    app = open_page(CORRELATIONS, gamma="0.10")
    every, free = (axis_correlations(scores, heads=heads, gamma=0.1) for heads in ("all", "unprotected"))
    pairs = np.triu_indices(3, 1)
    assert np.median(every.r[pairs]) > 0.7 > 0.4 > np.median(free.r[pairs])
    text = all_text(app)
    assert f"over all 48 heads: {format_fixed(np.median(every.r[pairs]), 2)}" in text
    assert f"without the 4 protected heads: {format_fixed(np.median(free.r[pairs]), 2)}" in text
    assert "48 of 48 heads" in text


def test_the_switches_change_the_table(cache):
    scores = made_import(cache).scores()
    app = open_page(CORRELATIONS, gamma="0.10", among="unprotected", correlation="spearman", corrected="1")
    found = axis_correlations(scores, method="spearman", heads="unprotected", gamma=0.1, disattenuate=True)
    assert app.dataframe[0].value["r"][0] == format_fixed(found.r[0, 1], 2)
    assert "44 of 48 heads" in all_text(app)


def test_two_studies_stand_side_by_side(cache):
    made_import(cache)
    make_study(cache, "measured")
    app = open_page(CORRELATIONS, beside="measured")
    assert len(app.dataframe) == 2
    assert "measured** · 24 of 24 heads" in all_text(app)


def test_one_axis_has_nothing_to_go_together_with(cache):
    make_study(cache, axes=(AXIS,))
    assert "at least two axes" in all_text(open_page(CORRELATIONS))


# -- continuations -------------------------------------------------------------------------------------------------


def captions(app) -> list[str]:
    return [caption.value for caption in app.caption if "toxicity" in caption.value and "scorer" not in caption.value]


def test_texts_are_filtered_by_group_and_toxicity_and_sorted(cache):
    frame = make_study(cache).samples(AXIS)
    app = open_page(CONTINUATIONS, group="male", least="0.10")
    expected = frame[(frame["group"] == "male") & (frame["toxicity"] >= 0.1)]["toxicity"].sort_values(ascending=False)
    assert f"{len(expected)} of {len(frame)} texts" in all_text(app)
    assert captions(app)[0] == f"male · toxicity {format_fixed(expected.iloc[0], 2)}"


def test_search_finds_texts_and_says_when_there_are_none(cache):
    make_study(cache)
    app = open_page(CONTINUATIONS, search="continuation 200")
    assert "1 of 256 texts" in all_text(app)
    app = open_page(CONTINUATIONS, search="no such words")
    assert "No text fits" in all_text(app)


def test_only_one_page_of_texts_is_sent(cache):
    make_study(cache)
    app = open_page(CONTINUATIONS)
    assert len(captions(app)) == 20
    next(button for button in app.button if button.label == "Next").click().run()
    assert app.query_params["from"] == "2"
    app = open_page(CONTINUATIONS, **{"from": "99"})
    assert len(captions(app)) == 256 % 20


def test_of_a_hundred_thousand_texts_one_page_is_sent(cache, monkeypatch):
    frame = make_study(cache).samples(AXIS)
    many = pd.concat([frame] * 400, ignore_index=True)
    many["continuation"] = [f"{text} {n}" for n, text in enumerate(many["continuation"])]
    monkeypatch.setattr("ui.details._texts", lambda *key: many)
    app = open_page(CONTINUATIONS, search=str(len(many) - 1))
    assert f"1 of {len(many):,} texts" in all_text(app)
    app = open_page(CONTINUATIONS)
    assert f"{len(many):,} texts" in all_text(app)
    assert len(captions(app)) == 20


def test_without_a_measured_set_one_is_led_to_where_sets_are_measured(cache):
    make_study(cache)
    assert "No pruned set of heads has been measured" in all_text(open_page(CONTINUATIONS, texts="pairs"))


def test_texts_before_and_after_pruning_stand_side_by_side_cut_where_they_part(cache, tiny_llama, monkeypatch):
    small = EvaluationSettings(max_new_tokens=3, blocks=1, texts_per_block=12, windows_per_block=1, window_tokens=24)
    monkeypatch.setattr("fasp_core.evaluation.study_settings", lambda study: small)
    study = score_heads(
        tiny_llama, axes=[AXIS], budget=Budget(samples=12, windows=2, knockout_windows=0), name="default", root=cache,
        settings=StudySettings(max_new_tokens=3, window_tokens=24, samples_per_shard=12, windows_per_shard=4),
    )  # fmt: skip
    list(evaluate_study(study, tiny_llama, [(2, 3)], [AXIS], store=EvaluationStore(cache)))
    (measured,) = measured_sets(study)
    frame = paired_texts(measured.plan, measured.pruned, cache)
    assert 0 < changed_share(frame) < 1
    app = open_page(CONTINUATIONS, texts="pairs", order="drawn")
    text = all_text(app)
    assert f"{format_fixed(100 * changed_share(frame), 0)}\u00a0% of the texts changed" in text
    assert text.count("The pruned model says the same.") == round((1 - changed_share(frame)) * len(frame))
    app.toggle(key="reveal.continuations").set_value(True).run()
    shown = [markdown.value for markdown in app.markdown]
    changed = frame[frame["continuation_before"] != frame["continuation_after"]].iloc[0]
    pair = align(changed["continuation_before"], changed["continuation_after"])
    for rest in (pair.before, pair.after):
        assert any(plain(rest) in value for value in shown)


def test_imported_scores_have_no_texts(cache):
    made_import(cache)
    assert "there are no texts" in all_text(open_page(CONTINUATIONS))
