"""The Prune page under AppTest: methods, sets made by hand, undo, confirming, kept sets, imported scores."""

from __future__ import annotations

import pytest
from app_pages import shown_value
from made_study import made_evaluation, make_study
from streamlit.proto.WidgetStates_pb2 import WidgetStates
from test_app import AXIS, all_text, answer, cache, open_page, the_request  # noqa: F401 - cache is a fixture

from fasp_core.evaluation_plan import EvaluationPlan, axis_fingerprints, study_identity
from fasp_core.head_scores import HeadScores
from fasp_core.history import measured_sets, name_set
from fasp_core.importing import import_scores
from fasp_core.prompts import load_prompts
from fasp_core.selection import head_count, select_heads
from fasp_core.store import EvaluationStore
from ui.selecting import share_of
from ui.view_parts import read_view, write_view

PRUNE = "pages/prune.py"


def keep(study, pruned, *, split="valid", fraction=1.0):
    """Have a set measured: what the worker leaves behind."""
    store = EvaluationStore(study.folder.parent)
    plan = EvaluationPlan(
        f"plan {split}", study_identity(study).key, split, tuple(study.axes), {},
        axis_fingerprints(study.prompts, study.axes),
    )  # fmt: skip
    store.describe(plan)
    groups = sorted(load_prompts().select(axes=[AXIS]).group_shares(AXIS).index)
    from dataclasses import replace
    from json import dumps

    made = replace(made_evaluation(pruned, AXIS, groups, fraction), split=split)
    made.after.bias["religion"] = made.before.bias["religion"] = made.change.bias["religion"] = made.after.bias[AXIS]
    store.keep(plan.key, dumps(made.pruned), made)


def test_what_was_measured_is_shown_at_once_and_the_next_move_prepared(cache):  # noqa: F811
    study = make_study(cache)
    chosen = select_heads(study.scores(), axis=AXIS)
    keep(study, chosen.pruned)
    app = open_page(PRUNE)
    assert "Perplexity 24.0 → 25.5 +1.50 ± 0.30" in all_text(app)
    assert the_request(cache).pruned == ()  # the intact model, ahead


def test_a_method_and_its_seed_are_in_the_address(cache):  # noqa: F811
    scores = make_study(cache).scores()
    app = open_page(PRUNE, method="random", seed="7")
    assert the_request(cache).pruned == select_heads(scores, "random", seed=7).pruned
    assert app.slider(key="widget.gamma").disabled
    app.number_input(key="widget.seed").set_value(8).run()
    assert app.query_params["seed"] == "8"
    assert the_request(cache).pruned == select_heads(scores, "random", seed=8).pruned


def test_axes_are_weighted(cache):  # noqa: F811
    scores = make_study(cache).scores()
    app = open_page(PRUNE, method="fasp_multi")
    assert the_request(cache).pruned == select_heads(scores, "fasp_multi").pruned
    app.number_input(key="weight.religion").set_value(0.0).run()
    only = {AXIS: 1.0, "religion": 0.0}
    assert the_request(cache).pruned == select_heads(scores, "fasp_multi", weights=only).pruned
    assert app.query_params["weights"] == "gender_and_sex:1-religion:0"


def test_a_number_of_heads_is_typed(cache):  # noqa: F811
    make_study(cache)
    app = open_page(PRUNE)
    app.number_input(key="number_of_heads").set_value(5).run()
    assert len(the_request(cache).pruned) == 5
    assert "5 of 24 heads pruned" in all_text(app)


def test_what_the_browser_says_before_it_hears_of_a_move_does_not_undo_it(cache):  # noqa: F811
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
    assert len(the_request(cache).pruned) == 4  # ⌊0.2 × 24⌋


@pytest.mark.parametrize(
    ("kind", "replaced", "moved_to"),
    [("slider", "widget.alpha", 0.5), ("number_input", "number_of_heads", 9), ("number_input", "weight.religion", 0.5)],
)
def test_a_widget_that_was_replaced_has_no_say_any_more(kind, replaced, moved_to, cache):  # noqa: F811
    """Until the browser has taken it away it reports its value with every event, which streamlit takes for a change."""
    make_study(cache)
    app = open_page(PRUNE, method="fasp_multi", alpha="0.20", weights=f"{AXIS}:2-religion:1")
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


def test_a_widget_is_a_new_one_only_after_others_changed_its_value(cache):  # noqa: F811
    make_study(cache)
    app = open_page(PRUNE)
    for count in (5, 6):
        app.number_input(key="number_of_heads").set_value(count).run()
    app.slider(key="widget.alpha.2").set_value(0.1).run()
    assert app.number_input(key="number_of_heads.1").value == 2
    for alpha in (0.2, 0.3):
        app.slider(key="widget.alpha.2").set_value(alpha).run()


@pytest.mark.parametrize("n_heads", [24, 144, 270, 1024])
def test_every_number_of_heads_has_a_share(n_heads):
    for count in range(n_heads + 1):
        share = share_of(count, n_heads)
        assert head_count(share, n_heads) == count
        assert read_view(write_view({**read_view({}), "alpha": share}))["alpha"] == share


def test_a_set_of_ones_own_is_shown_until_a_slider_moves_and_undo_goes_back(cache):  # noqa: F811
    scores = make_study(cache).scores()
    ruled = select_heads(scores, axis=AXIS).pruned
    mine = tuple(sorted({*ruled[1:], (5, 3), (0, 0)}))
    app = open_page(PRUNE, heads="-".join(f"{layer}.{head}" for layer, head in mine))
    assert the_request(cache).pruned == mine
    assert f"A set of its own: {len(mine)} heads" in app.info[0].value
    app.slider(key="widget.alpha").set_value(0.2).run()
    assert "heads" not in app.query_params
    assert the_request(cache).pruned == select_heads(scores, axis=AXIS, alpha=0.2).pruned
    next(button for button in app.button if button.label == "Undo").click().run()
    assert the_request(cache).pruned == mine
    next(button for button in app.button if button.label == "Back to the sliders").click().run()
    assert the_request(cache).pruned == ruled


def test_heads_that_the_model_lacks_are_said(cache):  # noqa: F811
    make_study(cache)
    app = open_page(PRUNE, heads="60.1")
    assert "not all heads of this model" in app.warning[0].value


def test_test_prompts_are_used_only_when_asked(cache):  # noqa: F811
    study = make_study(cache)
    chosen = select_heads(study.scores(), axis=AXIS)
    app = open_page(PRUNE)
    assert {r.split for r in EvaluationStore(cache).open_requests(60)} == {"valid"}
    next(button for button in app.button if button.label == "Confirm on test prompts").click().run()
    requests = {r.split: r for r in EvaluationStore(cache).open_requests(60)}
    assert requests["test"].pruned == requests["valid"].pruned == chosen.pruned
    keep(study, chosen.pruned, split="test")
    app.run()
    assert "· test prompts ·" in all_text(app)


def test_measured_sets_are_listed_with_their_names(cache):  # noqa: F811
    study = make_study(cache)
    keep(study, ((0, 0), (1, 1)))
    keep(study, ((2, 2),))
    name_set(study, ((2, 2),), "**mine**")
    app = open_page(PRUNE)
    table = next(frame.value for frame in app.dataframe if "set" in frame.value)
    assert sorted(table["heads"]) == [1, 2]
    assert "**mine**" in set(table["set"])
    assert len(measured_sets(study)) == 2


def test_failure_signatures_are_said_with_a_hint(cache):  # noqa: F811
    study = make_study(cache)
    keep(study, select_heads(study.scores(), axis=AXIS).pruned)
    app = open_page(PRUNE, limit="0.05")  # 24 → 25.5 is 6 %, give or take 2.5 %
    assert "Perplexity may rise by more than the 5 % you accept" in app.warning[0].value
    assert "Raise γ" in app.warning[0].value
    assert not open_page(PRUNE, limit="0.10").warning


def test_a_worker_that_was_started_again_is_said(cache):  # noqa: F811
    make_study(cache)
    app = open_page(PRUNE)
    answer(cache, "running", fraction=0.5, message="the evaluation's process ended unexpectedly")
    app.run()
    assert "ended unexpectedly" in app.warning[0].value


def test_imported_scores_select_predict_and_export(cache, tmp_path):  # noqa: F811
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
    assert not EvaluationStore(cache).open_requests(60)
