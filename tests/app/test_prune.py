"""The Prune page under AppTest: methods, sets made by hand, undo, confirming, kept sets, imported scores.

Covers `sets`, `presets` and `trying`.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.app_pages import AXIS, all_text, answer, keep, open_page, shown_value, the_request
from helpers.made_study import make_study
from streamlit.proto.WidgetStates_pb2 import WidgetStates

from fasp_core.evaluation.history import measured_sets
from fasp_core.evaluation.set_names import name_set
from fasp_core.jobs.requests import RequestQueue
from fasp_core.selection.head_scores import HeadScores
from fasp_core.selection.prediction import predict_effect
from fasp_core.selection.select_heads import select_heads
from fasp_core.study.importing import import_scores
from fasp_core.words.numbers import sentence_start
from ui.text import plain

PRUNE = "pages/prune.py"


def test_what_was_measured_is_shown_at_once_and_the_next_move_prepared(cache):
    study = make_study(cache)
    chosen = select_heads(study.scores(), axis=AXIS)
    keep(study, chosen.pruned)
    app = open_page(PRUNE)
    assert "Perplexity, after pruning 25.5 +1.50 ± 0.30" in all_text(app)
    assert the_request(cache).target.heads == ()  # the intact model, ahead


def test_what_a_measurement_could_tell_is_said_before_it_is_made(cache):
    study = make_study(cache)
    text = all_text(open_page(PRUNE)).replace("\\", "")
    assert "With 450 texts a change of bias of ±" in text
    assert "by the noise of the intact model" in text
    keep(study, ((2, 2),))  # a standard error of 0.006 with 500 texts
    text = all_text(open_page(PRUNE)).replace("\\", "")
    assert "With 450 texts a change of bias of ±0.0177 could be told from none." in text  # 2.8016 · 0.006 · √(500/450)
    assert "noise as in the 1 set measured so far" in text


def test_a_method_and_its_seed_are_in_the_address(cache):
    scores = make_study(cache).scores()
    app = open_page(PRUNE, method="random", seed="7")
    assert the_request(cache).target.heads == select_heads(scores, "random", seed=7).pruned
    assert app.slider(key="widget.gamma").disabled
    app.number_input(key="widget.seed").set_value(8).run()
    assert app.query_params["seed"] == "8"
    assert the_request(cache).target.heads == select_heads(scores, "random", seed=8).pruned


def test_axes_are_weighted(cache):
    scores = make_study(cache).scores()
    app = open_page(PRUNE, method="fasp_multi")
    assert the_request(cache).target.heads == select_heads(scores, "fasp_multi").pruned
    app.number_input(key="weight.religion").set_value(0.0).run()
    only = {AXIS: 1.0, "religion": 0.0}
    assert the_request(cache).target.heads == select_heads(scores, "fasp_multi", weights=only).pruned
    assert app.query_params["weights"] == "gender_and_sex:1~religion:0"


def test_a_prediction_beyond_all_bias_is_no_number(cache):
    study = make_study(cache)
    scores = study.scores()
    predicted = predict_effect(scores, select_heads(scores, axis=AXIS, gamma=0.0, alpha=0.5).pruned, AXIS)
    assert predicted.bias.after < 0
    text = all_text(open_page(PRUNE, gamma="0.00", alpha="0.50"))
    assert "predicted change not usable" in text
    assert "exceeds the measured value of the intact model" in text


def test_a_preset_sets_method_sliders_and_what_takes_the_place(cache):
    scores = make_study(cache).scores()
    app = open_page(PRUNE, heads="0.1", gamma="0.5")
    app.button(key="preset_joint").click().run()
    assert app.query_params["method"] == "fasp_joint"
    assert app.query_params["compensate"] == "least_squares"
    assert "heads" not in app.query_params
    joint = select_heads(scores, "fasp_joint", axis=AXIS, gamma=0.3, alpha=0.1).pruned
    assert f"{len(joint)} of 24 heads pruned" in all_text(app)
    assert app.button(key="preset_joint").disabled
    app.button(key="preset_published").click().run()
    assert "method" not in app.query_params  # the address holds what differs from the default
    assert the_request(cache).target.heads == select_heads(scores, axis=AXIS).pruned


def test_a_head_that_was_not_measured_is_never_pruned_and_said_so(cache, tmp_path):
    table = make_study(cache).scores().frame
    table.loc[table[f"z_bias.{AXIS}"].idxmax(), f"z_bias.{AXIS}"] = float("nan")
    table.to_csv(tmp_path / "mine.csv", index=False)
    imported = import_scores(tmp_path / "mine.csv")
    selection = select_heads(imported.scores(), axis=AXIS, gamma=0.0)
    assert len(selection.unmeasured) == 1
    app = open_page(PRUNE, study=imported.name, gamma="0")
    assert plain(f"{sentence_start(selection.note)}.") in all_text(app)


def test_a_number_of_heads_is_typed(cache):
    make_study(cache)
    app = open_page(PRUNE)
    app.number_input(key="number_of_heads").set_value(5).run()
    assert len(the_request(cache).target.heads) == 5
    assert "5 of 24 heads pruned" in all_text(app)


def test_what_the_browser_says_before_it_hears_of_a_move_does_not_undo_it(cache):
    """A timer's event carries the values of all widgets; that of the number of heads was still the one before."""
    make_study(cache)
    app = open_page(PRUNE)
    before = app._tree.get_widget_states().widgets
    app.slider(key="widget.alpha").set_value(0.2).run()
    late = {state.id: state for state in app._tree.get_widget_states().widgets}
    late |= {state.id: state for state in before if "number_of_heads" in state.id}
    app._run(WidgetStates(widgets=late.values()))
    assert shown_value(app.slider, "alpha") == 0.2
    assert app.query_params["alpha"] == "0.20"
    assert len(the_request(cache).target.heads) == 4  # ⌊0.2 × 24⌋


@pytest.mark.parametrize(
    ("kind", "replaced", "moved_to"),
    [("slider", "widget.alpha", 0.5), ("number_input", "number_of_heads", 9), ("number_input", "weight.religion", 9.0)],
)
def test_reports_of_a_widget_that_was_replaced_are_ignored(kind, replaced, moved_to, cache):
    """Until the browser has taken it away it reports its value with every event, which streamlit takes for a change."""
    make_study(cache)
    app = open_page(PRUNE, method="fasp_multi", alpha="0.20", weights=f"{AXIS}:2~religion:1")
    getattr(app, kind)(key=replaced).set_value(moved_to).run()
    before = {state.id: state for state in app._tree.get_widget_states().widgets}
    next(button for button in app.button if button.label == "Undo").click().run()
    undone = dict(app.query_params)
    now = {state.id: state for state in app._tree.get_widget_states().widgets}
    late = before.keys() - now.keys()
    assert any(replaced in state for state in late)
    memory = app.session_state._state._state
    for state in late:  # a server forgets them once the run has ended, AppTest does not
        memory._old_state.pop(state, None)
        memory._new_widget_state.states.pop(state, None)
    app._run(WidgetStates(widgets=[*now.values(), *(before[state] for state in late)]))
    assert dict(app.query_params) == undone


def test_a_widget_is_a_new_one_only_after_others_changed_its_value(cache):
    make_study(cache)
    app = open_page(PRUNE)
    for count in (5, 6):
        app.number_input(key="number_of_heads").set_value(count).run()
    app.slider(key="widget.alpha.2").set_value(0.1).run()
    assert app.number_input(key="number_of_heads.1").value == 2
    for alpha in (0.2, 0.3):
        app.slider(key="widget.alpha.2").set_value(alpha).run()


def test_a_set_of_ones_own_is_shown_until_a_slider_moves_and_undo_goes_back(cache):
    scores = make_study(cache).scores()
    ruled = select_heads(scores, axis=AXIS).pruned
    mine = tuple(sorted({*ruled[1:], (5, 3), (0, 0)}))
    app = open_page(PRUNE, heads="-".join(f"{layer}.{head}" for layer, head in mine))
    assert the_request(cache).target.heads == mine
    assert any(f"Custom set, {len(mine)} heads" in box.value for box in app.info)
    app.slider(key="widget.alpha").set_value(0.2).run()
    assert "heads" not in app.query_params
    assert the_request(cache).target.heads == select_heads(scores, axis=AXIS, alpha=0.2).pruned
    next(button for button in app.button if button.label == "Undo").click().run()
    assert the_request(cache).target.heads == mine
    next(button for button in app.button if button.label == "Back to the sliders").click().run()
    assert the_request(cache).target.heads == ruled


def test_pruned_heads_are_edited_by_keyboard(cache):
    ruled = select_heads(make_study(cache).scores(), axis=AXIS).pruned
    app = open_page(PRUNE)
    box = next(box for box in app.multiselect if box.label == "Pruned heads")
    assert tuple(box.value) == ruled
    box.set_value([*ruled, (0, 0)]).run()
    assert the_request(cache).target.heads == tuple(sorted({*ruled, (0, 0)}))


def test_heads_that_the_model_lacks_are_said(cache):
    make_study(cache)
    app = open_page(PRUNE, heads="60.1")
    assert "not all heads of this model" in app.warning[0].value


def test_test_prompts_are_used_only_when_asked(cache):
    study = make_study(cache)
    chosen = select_heads(study.scores(), axis=AXIS)
    app = open_page(PRUNE)
    assert {r.target.split for r in RequestQueue(cache).unfinished(60)} == {"valid"}
    next(button for button in app.button if button.label == "Confirm on test prompts").click().run()
    asked = {r.target.split: r.target.heads for r in RequestQueue(cache).unfinished(60)}
    assert asked["test"] == asked["valid"] == chosen.pruned
    keep(study, chosen.pruned, split="test")
    app.run()
    assert "Intact model**, test prompts" in all_text(app)


def test_measured_sets_are_listed_with_their_names(cache):
    study = make_study(cache)
    keep(study, ((0, 0), (1, 1)))
    keep(study, ((2, 2),))
    name_set(study, ((2, 2),), "**mine**")
    app = open_page(PRUNE)
    table = next(frame.value for frame in app.dataframe if "set" in frame.value)
    assert sorted(table["heads"]) == [1, 2]
    assert "**mine**" in set(table["set"])
    assert len(measured_sets(study)) == 2


def test_what_takes_the_place_of_pruned_heads_is_chosen_measured_and_in_the_address(cache):
    study, heads = make_study(cache), ((0, 0), (5, 3))
    keep(study, heads, compensate="least_squares")
    app = open_page(PRUNE, heads="0.0-5.3")
    assert the_request(cache).target.compensate == "none"  # what was measured is another model
    table = next(frame.value for frame in app.dataframe if "set" in frame.value)
    assert table["in their place"].tolist() == ["the remaining heads take over"]
    next(box for box in app.selectbox if box.label.startswith("What takes the place")).select("least_squares").run()
    assert app.query_params["compensate"] == "least_squares"
    assert "Perplexity, after pruning 25.5 +1.50 ± 0.30" in all_text(app)
    assert "The prediction is for pruning with nothing" in all_text(app)
    again = open_page(PRUNE, heads="2.2", compensate="least_squares", limit="0.07")
    asked = {r.target.heads: r.target.compensate for r in RequestQueue(cache).unfinished(60)}
    assert asked[((2, 2),)] == "least_squares"
    name_set(study, heads, "kept", compensate="least_squares")
    again.run()
    next(button for button in again.button if button.label == "Take this set").click().run()
    assert again.query_params["heads"] == "0.0-5.3"
    assert again.query_params["compensate"] == "least_squares"
    assert [found.name for found in measured_sets(study)] == ["kept"]


def test_one_page_has_one_intact_model_and_a_set_cut_short_is_neither_compared_nor_a_result(cache):
    study = make_study(cache)
    chosen = select_heads(study.scores(), axis=AXIS).pruned
    keep(study, chosen)
    keep(study, ((2, 2),), fraction=0.08)
    app = open_page(PRUNE)
    text = all_text(app)
    assert text.count("24.0") == 1
    assert "perplexity 24.0 ± 1.0 (50 text windows), bias by toxicity 0.200 ± 0.020 (500 texts)" in text
    table = next(frame.value for frame in app.dataframe if "compared" in frame.value)
    assert dict(zip(table["heads"], table["compared"], strict=True)) == {2: "yes", 1: "no, incomplete"}
    unfinished = open_page(PRUNE, heads="2.2")
    answer(cache, "failed", message="stopped")
    unfinished.run()
    assert "Measurement 8\u00a0% complete (validation prompts)" in all_text(unfinished)


def test_failure_signatures_are_said_with_a_hint(cache):
    study = make_study(cache)
    keep(study, select_heads(study.scores(), axis=AXIS).pruned)
    app = open_page(PRUNE, limit="0.05")  # 24 → 25.5 is 6 %, give or take 2.5 %
    assert "Perplexity may rise by more than the 5 % you accept" in app.warning[0].value
    assert "Raise γ" in app.warning[0].value
    assert not open_page(PRUNE, limit="0.10").warning


def test_the_best_set_within_the_budget_is_searched_by_a_job_and_taken_by_a_click(cache, monkeypatch):
    started = []
    monkeypatch.setattr("ui.prune.best.start_job", lambda command, **job: started.append((command, job["key"])))
    study = make_study(cache)
    app = open_page(PRUNE, limit="0.07")
    next(button for button in app.button if button.label == "Find the best set").click().run()
    command = ["search", f"--axis={AXIS}", "--metric=toxicity", "--budget-ppl=0.07", "--sets=8", "--", "default"]
    assert started == [(command, f"search default {AXIS} toxicity")]
    app.checkbox(key="search_in_stages").check().run()
    next(button for button in app.button if button.label == "Find the best set").click().run()
    assert started[1][0] == [*command[:-2], "--iterative", "--gamma=0.3", *command[-2:]]
    app.checkbox(key="search_in_stages").uncheck().run()
    app.checkbox(key="search_by_annealing").check().run()
    next(button for button in app.button if button.label == "Find the best set").click().run()
    assert started[2][0] == [*command[:-2], "--annealed=scores", "--gamma=0.3", *command[-2:]]
    keep(study, ((0, 0), (5, 3)))  # perplexity rises by 6 %
    app = open_page(PRUNE, limit="0.07")
    assert "Best of 1 measured set**: 2 heads, bias by toxicity −0.060 ± 0.006, perplexity +6.2\u00a0%" in all_text(app)
    next(button for button in app.button if button.label == "Take this set").click().run()
    assert app.query_params["heads"] == "0.0-5.3"
    app = open_page(PRUNE)
    assert "None of the 1 measured set has a lower bias at no more than 5\u00a0% more perplexity" in all_text(app)


def test_a_prompt_of_ones_own_is_continued_by_both_models(cache, monkeypatch):
    started = []
    monkeypatch.setattr("fasp_core.jobs.trials.start_job", lambda command, *, key, title: started.append(command))
    make_study(cache)
    app = open_page(PRUNE, heads="2.2")
    next(box for box in app.text_input if box.label == "Prompt").set_value("She is *kind*").run()
    next(button for button in app.button if button.label == "Continue it").click().run()
    ((*command, to, _, study),) = started
    assert (command, study) == (["try", "--heads=2.2", "--prompt=She is *kind*"], "default")
    rows = [{"before": " and good", "after": " and bad", "toxicity_before": 0.1, "toxicity_after": 0.8}]
    Path(to.removeprefix("--to=")).write_text(json.dumps({"trials": rows}))
    app.run()
    assert "and bad" not in all_text(app)  # hidden until asked for
    app.toggle(key="reveal.trial").set_value(True).run()
    text = all_text(app)
    assert "She is \\*kind\\* **and** :orange-background[bad]" in text
    assert "Pruned · toxicity 0.80" in text


def test_a_worker_that_was_started_again_is_said(cache):
    make_study(cache)
    app = open_page(PRUNE)
    answer(cache, "running", fraction=0.5, message="the evaluation's process ended unexpectedly")
    app.run()
    assert "ended unexpectedly" in app.warning[0].value


def test_a_result_that_is_not_of_the_study_as_it_is_can_be_measured_again(cache):
    make_study(cache)
    app = open_page(PRUNE)
    answer(cache, "done")  # and what was measured is not found
    app.run()
    assert "the study has changed since it was measured" in app.error[0].value
    app.button(key="again_valid").click().run()
    assert the_request(cache).state == "queued"


def test_imported_scores_select_predict_and_export(cache, tmp_path):
    scores = make_study(cache / "elsewhere").scores()
    scores.to_csv(tmp_path / "mine.csv")
    assert isinstance(scores, HeadScores)
    import_scores(tmp_path / "mine.csv", name="imported", root=cache)
    app = open_page(PRUNE, study="imported")
    assert not app.error
    text = all_text(app)
    assert "imported without their model" in text
    assert "predicted" in text
    assert len(app.get("download_button")) == 1
    assert not RequestQueue(cache).unfinished(60)
