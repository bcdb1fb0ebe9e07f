"""What the Correlations page says, under AppTest: against the numbers behind it."""

from __future__ import annotations

import numpy as np
from helpers.app_pages import all_text, keep, made_import, open_page
from helpers.made_study import make_study

from fasp_core.selection.correlations import axis_correlations
from fasp_core.selection.head_measures import head_measures
from fasp_core.stats.rank_agreement import rank_agreement
from fasp_core.words.numbers import format_estimate, format_fixed
from ui import words

AXIS = "gender_and_sex"
CORRELATIONS = "pages/correlations.py"


def test_the_sentence_tells_what_the_protected_heads_do_to_the_correlations(cache):
    scores = made_import(cache).scores()
    app = open_page(CORRELATIONS, gamma="0.10")
    every, free = (axis_correlations(scores, heads=heads, gamma=0.1) for heads in ("all", "unprotected"))
    pairs = np.triu_indices(3, 1)
    assert np.median(every.r[pairs]) > 0.7 > 0.4 > np.median(free.r[pairs])
    text = all_text(app).replace("\\", "")  # points are escaped
    assert f"over all 48 heads: {format_fixed(np.median(every.r[pairs]), 2)}" in text
    assert f"without the 4 protected heads: {format_fixed(np.median(free.r[pairs]), 2)}" in text
    assert "48 of 48 heads" in text


def test_the_switches_change_the_table(cache):
    scores = made_import(cache).scores()
    app = open_page(CORRELATIONS, gamma="0.10", among="unprotected", correlation="spearman", corrected="1")
    found = axis_correlations(scores, method="spearman", heads="unprotected", gamma=0.1, disattenuate=True)
    assert app.dataframe[0].value["r"][0] == format_fixed(found.r[0, 1], 2)
    assert "44 of 48 heads" in all_text(app)


def test_the_chosen_head_is_told_on_every_axis(cache):
    scores = made_import(cache).scores()
    text = all_text(open_page(CORRELATIONS, head="3.1")).replace("\\", "")
    for axis in scores.axes:
        assert format_estimate(scores.z_bias(axis)[13], scores.z_bias_se(axis)[13], signed=True) in text


def test_two_studies_stand_side_by_side(cache):
    made_import(cache)
    make_study(cache, "measured")
    app = open_page(CORRELATIONS, beside="measured")
    assert len(app.dataframe) == 2
    assert "measured** · by toxicity · 24 of 24 heads" in all_text(app)


def test_what_stands_in_the_way_of_believing_a_correlation_is_told():
    assert words.correlation_caveats([], "toxicity") == []
    shared, unclear = words.correlation_caveats(["Nationality", "Religion"], "likelihood")
    assert "errors is shared" in shared
    assert unclear.startswith("No bias is clear for Nationality, Religion")


def test_one_axis_has_nothing_to_go_together_with(cache):
    make_study(cache, axes=(AXIS,))
    assert "at least two axes" in all_text(open_page(CORRELATIONS))


def measures(app):
    return next(each.value for each in app.dataframe if "Spearman" in each.value)


def test_measures_are_compared_over_heads_and_over_sets_on_request(cache):
    study = make_study(cache)
    app = open_page(CORRELATIONS, axis=AXIS, gamma="0.30")
    assert not [each for each in app.dataframe if "Spearman" in each.value]
    app.toggle(key="show_agreement").set_value(True).run()
    row = measures(app).iloc[0]
    found = rank_agreement(head_measures({"toxicity": study.scores()}, AXIS).values)
    assert (row["measure"], row["other measure"], row["n"]) == ("bias by toxicity", "perplexity", 17)
    assert row["Spearman"] == format_fixed(found.r[0, 1], 2)
    for heads in (((0, 0),), ((1, 1),)):
        keep(study, heads)
    next(group for group in app.get("button_group") if group.label == "Compared over").set_value("sets").run()
    assert set(measures(app)["n"]) == {2}
    assert "fewer than 5 sets in common: too few to tell" in all_text(app).replace("\\", "")


def test_without_measured_sets_that_is_said(cache):
    make_study(cache, axes=(AXIS,))
    app = open_page(CORRELATIONS)
    app.toggle(key="show_agreement").set_value(True).run()
    next(group for group in app.get("button_group") if group.label == "Compared over").set_value("sets").run()
    assert any("No set was measured to the end" in box.value for box in app.info)
