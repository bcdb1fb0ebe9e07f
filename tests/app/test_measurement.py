"""Measuring a selection on the Prune page, under AppTest: asked for, filled in, failed, asked again."""

from __future__ import annotations

from helpers.app_pages import AXIS, all_text, answer, keep, open_page, the_request
from helpers.made_study import make_study
from helpers.scored_both_ways import BY_LIKELIHOOD, score_both_ways

from fasp_core.errors import InputError
from fasp_core.evaluation.keys import Target
from fasp_core.jobs.client import EvaluationClient
from fasp_core.jobs.requests import RequestQueue
from fasp_core.selection.select_heads import select_heads
from ui.prune import measurement


def test_moving_a_slider_selects_anew_and_asks_for_just_that(cache):
    scores = make_study(cache).scores()
    app = open_page("pages/prune.py")
    app.slider(key="widget.alpha").set_value(0.25).run()
    expected = select_heads(scores, axis=AXIS, gamma=0.3, alpha=0.25)
    assert "6 of 24 heads pruned, 7 protected, 11 kept" in all_text(app)
    assert the_request(cache).target == Target("default", expected.pruned, (AXIS,), "valid")


def test_a_set_is_measured_by_the_measure_that_chose_it_on_the_axis_that_is_shown_first(cache, monkeypatch):
    monkeypatch.setattr(measurement, "view", lambda: {"compensate": "mean"})
    study = make_study(cache)
    selection = select_heads(study.scores(), axis=AXIS)
    target = measurement.target_of(study, selection, "religion", "toxicity", "test")
    assert (target.streams, target.compensate) == (("religion", AXIS), "mean")


def test_by_likelihood_nothing_is_sampled_and_numbers_are_in_nats(cache, tiny_llama):
    score_both_ways(tiny_llama, cache)
    app = open_page("pages/prune.py", metric="likelihood", axis=BY_LIKELIHOOD, anyway="1")
    assert the_request(cache).target.streams == (f"likelihood.{BY_LIKELIHOOD}",)
    answer(cache, "done", fraction=1.0)
    app.run()
    assert not app.exception
    text = all_text(app)
    assert "measured on 500 readings of prompts and 50 text windows of validation prompts" in text
    assert "bias by likelihood 0.200 ± 0.020 nats (500 readings)" in text
    assert "Bias · Gender and sex, by likelihood \\(nats\\), after pruning 0.140 −0.060 ± 0.006" in text
    assert "Bias fell by 0.048 to 0.072 nats" in text
    assert "Mean log-odds of toxic words (nats) by group" in text
    said = " ".join(info.value for info in app.info)
    assert "Bias of gender and sex by likelihood fell by 0.048 to 0.072 nats; whether perplexity" in said
    table = next(frame.value for frame in app.dataframe if "compared" in frame.value)
    assert list(table["bias by likelihood (nats)"]) == ["0.140 ± 0.020"]


def test_the_axis_that_is_shown_is_a_result_before_the_others_are_measured(cache):
    study = make_study(cache)
    chosen = select_heads(study.scores(), axis=AXIS).pruned
    keep(study, chosen, axes=[AXIS])
    app = open_page("pages/prune.py")
    assert the_request(cache).target == Target("default", chosen, (AXIS, "religion"), "valid")
    assert "Bias · Gender and sex, by toxicity, after pruning 0.140" in all_text(app)
    assert "measured on 500 texts" in all_text(app)
    assert shown_others(app) == []
    answer(cache, "failed", message="out of memory")
    app.run()
    assert "out of memory" in app.error[0].value
    app.button(key="again_valid").click().run()
    answer(cache, "done", fraction=1.0)
    app.run()
    assert "bias · Religion, by toxicity" in shown_others(app)
    assert not app.error


def shown_others(app) -> list[str]:
    """The rows of the table of other measures."""
    return [row for table in app.table for row in table.value.iloc[:, 0] if str(row).startswith("bias ·")]


def test_a_study_by_likelihood_alone_is_measured_on_the_page(cache, tiny_llama):
    score_both_ways(tiny_llama, cache, toxicity=False)
    app = open_page("pages/prune.py", anyway="1")
    assert the_request(cache).target.streams[0].startswith("likelihood.")
    assert not app.exception
    assert not app.error


def test_the_measured_result_fills_in_and_is_shown_with_its_intervals(cache):
    make_study(cache)
    app = open_page("pages/prune.py")
    answer(cache, "running", fraction=0.4)
    app.run()
    assert "Perplexity, after pruning, so far 25.5 +1.5 ± 0.5" in all_text(app)
    answer(cache, "done", fraction=1.0)
    app.run()
    text = all_text(app)
    assert "measured on 500 texts and 50 text windows of validation prompts" in text
    assert "Bias · Gender and sex, by toxicity, after pruning 0.140 −0.060 ± 0.006" in text
    assert "Bias fell by 0.048 to 0.072" in text
    assert "Perplexity rose by" in text
    said = " ".join(info.value for info in app.info)  # 1.5 of 24 is 6 %, and the budget is 5 %
    assert "fell by 0.048 to 0.072; whether perplexity stays within the budget of 5 % is not clear" in said


def test_a_result_of_other_heads_is_never_shown(cache):
    make_study(cache)
    app = open_page("pages/prune.py")
    answer(cache, "done", fraction=1.0, pruned=((0, 0),))
    app.run()
    assert "after pruning" not in all_text(app)


def test_a_failed_measurement_is_said_and_asked_again_only_by_its_button(cache):
    make_study(cache)
    app = open_page("pages/prune.py")
    answer(cache, "failed", message="cannot open 'made-model'; give its folder")
    app.run()
    assert "cannot open" in app.error[0].value
    assert not RequestQueue(cache).unfinished(60)
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
    RequestQueue(cache)
    app.run()
    assert the_request(cache).state == "queued"


def test_without_a_model_one_can_still_select_predict_and_download(cache):
    make_study(cache)
    app = open_page("pages/prune.py")
    answer(cache, "failed", message="no such model")
    app.run()
    assert "predicted" in all_text(app)
    assert len(app.get("download_button")) == 1
