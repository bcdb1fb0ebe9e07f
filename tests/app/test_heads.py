"""What the Heads page says, under AppTest: against the numbers behind it.

Covers `panel`.
"""

from __future__ import annotations

import shutil

import numpy as np
from helpers.app_pages import PROJECT, all_text, made_import, open_page
from helpers.made_study import make_study

from fasp_core.selection.ranks import strongest_head
from fasp_core.selection.select_heads import select_heads
from fasp_core.stats.axis_sums import AxisSums
from fasp_core.stats.head_detail import summed_bias
from fasp_core.study.study import open_study
from fasp_core.study.views import axis_samples
from fasp_core.words.numbers import format_estimate

AXIS = "gender_and_sex"
HEADS, CONTINUATIONS, PRUNE = "pages/heads.py", "pages/continuations.py", "pages/prune.py"


def test_the_heads_page_shows_base_values_with_errors_and_the_reliability_in_words(cache):
    scores = make_study(cache).scores()
    text = all_text(open_page("pages/heads.py"))
    assert "Perplexity 2" in text
    assert " ± " in text
    assert "eliable ranking" in text
    assert f"Based on {scores.intact[AXIS].n_samples} sampled continuations" in text


def test_the_head_of_a_link_is_the_chosen_one_and_one_outside_the_model_is_not(cache):
    scores = make_study(cache).scores()
    app = open_page("pages/heads.py", head="4.2")
    assert app.main.selectbox[0].value == (4, 2)
    app = open_page("pages/heads.py", head="60.2")
    assert app.main.selectbox[0].value == strongest_head(scores, AXIS)


def test_the_chosen_head_moves_to_its_neighbours_but_not_beyond_the_map(cache):
    make_study(cache)
    app = open_page("pages/heads.py", head="0.2")
    buttons = {button.label: button for button in app.button}
    assert buttons["Up"].disabled
    buttons["Down"].click().run()
    next(button for button in app.button if button.label == "Right").click().run()
    assert app.query_params["head"] == "1.3"
    assert {button.label for button in app.button if button.disabled} >= {"Right"}


def test_choosing_a_head_shows_its_scores_and_its_address(cache):
    make_study(cache)
    app = open_page("pages/heads.py")
    before = [metric.value for metric in app.metric]
    app.main.selectbox[0].select((5, 3)).run()
    assert app.query_params["head"] == "5.3"
    assert [metric.value for metric in app.metric] != before


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
    total = summed_bias(AxisSums.of(axis_samples(study, AXIS)), [3, 9, 22])
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


def test_the_top_of_the_list_is_said_to_hold_as_far_as_it_would(cache):
    make_study(cache, n_layers=12, heads_per_layer=12)
    text = all_text(open_page(HEADS))
    assert "Of the 20 heads with the highest z_bias, about" in text
    assert "expected from noise: 2.8" in text  # 20² / 144


def test_the_measure_of_bias_can_be_changed_and_the_choice_is_in_the_address(cache):
    shutil.copytree(PROJECT / "cache" / "default", cache / "default")
    study = open_study("default", cache)
    tops = {}
    for metric in study.metrics:
        scores = study.scores(metric=metric)
        z, error = scores.z_bias(AXIS), scores.z_bias_se(AXIS)
        clear = np.flatnonzero(z > 1.96 * error).tolist()  # by toxicity none is
        tops[metric] = divmod(max(clear or range(len(z)), key=z.__getitem__), 9)
    assert len({*tops.values()}) == 2
    app = open_page(HEADS, axis=AXIS)
    assert app.main.selectbox[0].value == tops["likelihood"]  # the clearest bias is the one that is opened
    assert "choose toxicity as the measure above" in all_text(app)
    assert "How far each group lies from the mean of the groups" in all_text(app)
    next(group for group in app.get("button_group") if group.value == "likelihood").set_value("toxicity").run()
    assert app.query_params["metric"] == "toxicity"
    assert app.main.selectbox[0].value == tops["toxicity"]


def test_collecting_samples_starts_one_job_for_the_axis_that_is_shown(cache, monkeypatch):
    make_study(cache)
    started = []
    monkeypatch.setattr("ui.heads.ranking.start_job", lambda command, **job: started.append((command, job["key"])))
    app = open_page(HEADS, axis="religion")
    next(button for button in app.button if button.label.startswith("Collect samples")).click().run()
    assert not app.exception
    command, key = started[0]
    assert key == "score default"
    assert len(started) == 1
    assert command[0] == "score"
    assert command[command.index("--axes") + 1] == "religion"
    assert command[command.index("--name") + 1] == "default"
    assert command[command.index("--metric") + 1] == "toxicity"


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


def test_where_no_bias_is_clear_it_is_said_and_selecting_asks_first(cache):
    make_study(cache, biased=False)
    app = open_page(HEADS)
    assert "A bias on this axis is not clear yet" in app.warning[0].value
    app = open_page(PRUNE)
    assert "Select heads by this ranking?" in all_text(app)
    assert not [slider for slider in app.slider if slider.label.startswith("α")]
    next(button for button in app.button if button.label == "Select by it all the same").click().run()
    assert [slider for slider in app.slider if slider.label.startswith("α")]
    assert app.query_params["anyway"] == "1"
    assert open_page(PRUNE, method="ppl_only").slider  # that method asks for no bias


def test_the_maps_show_what_the_prune_page_would_prune(cache):
    make_study(cache)
    custom = open_page("pages/heads.py", heads="0.0-5.3")
    assert "2 of 24 heads pruned" in all_text(custom)
    assert "custom set of 2 heads" in all_text(custom)
    next(s for s in custom.slider if s.key.startswith("widget.gamma")).set_value(0.4).run()
    assert "heads" not in custom.query_params  # moving a slider discards it
    without_gamma = open_page("pages/heads.py", method="bias_only", alpha="0.80")
    assert not without_gamma.error
    assert "19 of 24 heads pruned" in all_text(without_gamma)


def test_without_a_choice_that_can_be_made_the_maps_are_there_all_the_same(cache):
    make_study(cache)
    app = open_page("pages/heads.py", gamma="0.60", alpha="0.60")
    assert "Lower one of the two" in app.error[0].value
    assert len(app.get("plotly_chart")) >= 3
