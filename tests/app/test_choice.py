"""Choosing heads on the Prune page, under AppTest: undo, and which scores choose."""

from __future__ import annotations

from helpers import tiny
from helpers.app_pages import all_text, button, open_page
from helpers.made_study import make_study
from helpers.scored_both_ways import BY_LIKELIHOOD, score_both_ways

from fasp_core.data.calibration import calibration_windows
from fasp_core.scoring import context
from fasp_core.selection.select_heads import select_heads


def test_undo_is_one_step_a_set_however_many_sliders_led_to_it(cache):
    make_study(cache)
    app = open_page("pages/prune.py", alpha="0.10")  # two of 24 heads
    for alpha in (0.11, 0.12, 0.13, 0.14, 0.15, 0.16):  # two, then three
        next(s for s in app.slider if s.key.startswith("widget.alpha")).set_value(alpha).run()
    assert "3 of 24 heads pruned" in all_text(app)
    button(app, "Undo").click().run()
    assert "2 of 24 heads pruned" in all_text(app)
    assert button(app, "Undo").disabled


def test_where_the_other_heads_take_over_their_scores_choose(cache, monkeypatch):
    monkeypatch.setattr(context, "calibration_windows", lambda *of: calibration_windows(*of)[:4])
    lm = tiny.make_language_model(tiny.GPT2)
    study = score_both_ways(lm, cache, toxicity=False, compensated=True)
    shown = {"metric": "likelihood", "axis": BY_LIKELIHOOD, "alpha": "0.4", "anyway": "1"}
    chosen = {}
    for how in ("none", "least_squares"):
        app = open_page("pages/prune.py", compensate=how, **shown)
        scores = study.scores(metric="likelihood", compensate=how)
        chosen[how] = select_heads(scores, axis=BY_LIKELIHOOD, gamma=0.3, alpha=0.4).pruned
        box = next(box for box in app.multiselect if box.label == "Pruned heads")
        assert [tuple(head) for head in box.value] == list(chosen[how])
        assert ("chosen by their scores under compensation" in all_text(app)) == (how == "least_squares")
    assert chosen["none"] != chosen["least_squares"]


def test_undo_brings_back_what_takes_the_heads_place(cache):
    make_study(cache)
    app = open_page("pages/prune.py", compensate="mean")
    app.selectbox(key=next(box.key for box in app.selectbox if box.key.startswith("widget.compensate"))).select(
        "none"
    ).run()
    assert "compensate" not in app.query_params
    button(app, "Undo").click().run()
    assert app.query_params["compensate"] == "mean"
