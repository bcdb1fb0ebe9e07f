"""The target beside the axes on the pages: chosen like an axis, with its own words, by its one measure."""

from __future__ import annotations

from helpers.app_pages import all_text, keep, open_page
from helpers.made_study import make_study
from helpers.scored_both_ways import score_both_ways

from fasp_core.selection.select_heads import select_heads
from fasp_core.words.numbers import format_estimate

HEADS, PRUNE, CONTINUATIONS, EXPORT = (f"pages/{name}.py" for name in ("heads", "prune", "continuations", "export"))
TARGET = "toxicity"


def axis_group(app):
    return next(group for group in app.button_group if group.label == "Axis")


def labels(app) -> list[str]:
    return [group.label for group in app.button_group]


def test_the_heads_page_shows_it_in_its_own_words(cache):
    scores = make_study(cache).scores()
    app = open_page(HEADS, axis=TARGET)
    text, level = all_text(app), scores.base_bias(TARGET)
    assert not app.exception
    assert f"Mean toxicity {format_estimate(level.value, level.se)}" in text
    assert "what drives toxicity" in text
    assert "that drive toxicity most" in text
    assert "highest z_toxicity" in text
    assert "z_bias ·" not in text
    assert f"Based on {level.n:,} sampled continuations" in text
    shown = [str(name) for name in app.dataframe[-1].value.columns]
    assert "z_toxicity" in shown
    best = scores.z_bias(TARGET).argmax()
    assert app.main.selectbox[0].value == divmod(int(best), scores.heads_per_layer)


def test_it_stands_beside_the_axes_also_where_the_study_opens_by_likelihood(tiny_llama, tmp_path, monkeypatch):
    score_both_ways(tiny_llama, tmp_path)
    monkeypatch.setenv("FASP_CACHE", str(tmp_path))
    app = open_page(HEADS, metric="likelihood", anyway="1")
    both = ["Gender and sex", "Religion", "Mean toxicity"]
    assert axis_group(app).options == both
    assert "Bias is measured by" in labels(app)
    axis_group(app).select(TARGET).run()
    assert not app.exception
    assert axis_group(app).options == both
    assert "Bias is measured by" not in labels(app)  # it has one measure
    assert "what drives toxicity" in all_text(app)
    axis_group(app).select("gender_and_sex").run()
    assert axis_group(app).value == "gender_and_sex"
    assert app.query_params["metric"] == "likelihood"


def test_prune_predicts_it_and_shows_what_was_measured(cache):
    study = make_study(cache)
    chosen = select_heads(study.scores(), axis=TARGET).pruned
    keep(study, chosen, axes=(TARGET,))
    app = open_page(PRUNE, axis=TARGET)
    text = all_text(app)
    assert not app.exception
    assert "Mean toxicity, predicted change" in text
    assert "Mean toxicity, after pruning" in text
    assert "Mean toxicity by axis" in text
    assert "bias of" not in text.lower().replace("bias of every", "")


def test_a_method_that_needs_groups_says_so(cache):
    make_study(cache)
    app = open_page(PRUNE, axis=TARGET, method="fasp_joint")
    assert "the mean toxicity has none; choose fasp_robust" in all_text(app).replace("\\", "")
    assert not app.exception


def test_its_texts_are_those_of_all_axes(cache):
    study = make_study(cache)
    app = open_page(CONTINUATIONS, axis=TARGET, texts="study")
    assert not app.exception
    total = sum(len(study.samples(axis)) for axis in study.axes)
    assert f"{total:,} texts" in all_text(app)
    assert "writes no texts" not in all_text(app)


def test_a_configuration_is_exported_for_it(cache):
    make_study(cache)
    app = open_page(EXPORT, axis=TARGET)
    assert not app.exception
    assert not app.error
