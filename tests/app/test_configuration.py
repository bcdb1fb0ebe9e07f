"""A configuration that was exported opens on the Prune page as the set it holds."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from helpers import tiny
from helpers.app_pages import AXIS, all_text, button, open_page, shown_value
from helpers.made_study import make_study
from helpers.scored_both_ways import BY_BOTH, score_both_ways

from fasp_core.export.pruning_config import PruningConfig
from fasp_core.selection.select_heads import select_heads

PRUNE = "pages/prune.py"


def upload(app, config: PruningConfig | bytes, name: str = "mine.json"):
    data = config if isinstance(config, bytes) else config.model_dump_json().encode()
    app.get("file_uploader")[0].upload(name, data, "application/json").run()
    assert not app.exception
    return app


@pytest.mark.parametrize("method", ["fasp", "fasp_multi", "random", "ppl_only"])
def test_the_configuration_of_a_method_opens_with_its_method_and_sliders(method, cache):
    study = make_study(cache)
    how = {"axis": "religion", "gamma": 0.4, "alpha": 0.25, "seed": 3}
    weights = {AXIS: 2.0, "religion": 0.5} if method == "fasp_multi" else None
    chosen = select_heads(study.scores(), method, **how, weights=weights)
    app = upload(open_page(PRUNE), PruningConfig.from_selection(chosen, study))
    assert not app.error
    assert not app.warning
    assert app.query_params["heads"] == "-".join(f"{layer}.{head}" for layer, head in chosen.pruned)
    assert "Custom set" not in "".join(info.value for info in app.info)  # the method gives just these heads
    assert shown_value(app.slider, "alpha") == 0.25
    assert shown_value(app.selectbox, "method") == method
    if method in ("fasp", "fasp_multi"):
        assert shown_value(app.slider, "gamma") == 0.4


def test_a_set_made_by_hand_opens_as_a_custom_set_and_undo_goes_back(cache):
    study = make_study(cache)
    ruled = select_heads(study.scores(), axis=AXIS)
    mine = replace(ruled, pruned=((0, 0), (5, 3)), protected=(), method="by_hand", alpha=2 / 24)
    app = upload(open_page(PRUNE), PruningConfig.from_selection(mine, study))
    assert any("Custom set, 2 heads" in info.value for info in app.info)
    assert app.query_params["heads"] == "0.0-5.3"
    button(app, "Undo").click().run()
    assert "heads" not in app.query_params


def test_a_configuration_with_compensation_opens_with_it(cache):
    study = make_study(cache)
    chosen = select_heads(study.scores(), axis=AXIS)
    made = PruningConfig.from_selection(chosen, study, compensate="mean")
    app = upload(open_page(PRUNE), made)
    assert shown_value(app.selectbox, "compensate") == "mean"
    app = upload(open_page(PRUNE, compensate="mean"), PruningConfig.from_selection(chosen, study))
    assert shown_value(app.selectbox, "compensate") == "none"


def test_a_configuration_opens_by_the_measure_that_chose_it(cache):
    study = score_both_ways(tiny.make_language_model(tiny.GPT2), cache, toxicity=True)
    made = {metric: select_heads(study.scores(metric=metric), axis=BY_BOTH) for metric in study.metrics}
    assert set(made) == {"toxicity", "likelihood"}
    for metric, chosen in made.items():
        config = PruningConfig.from_selection(chosen, study)
        assert json.loads(config.to_json())["method"]["metric"] == metric
        other = next(name for name in made if name != metric)
        app = upload(open_page(PRUNE, metric=other, axis=BY_BOTH, anyway="1"), config)
        assert app.query_params["metric"] == metric
        assert "Custom set" not in "".join(info.value for info in app.info)


@pytest.mark.parametrize(
    ("data", "words"),
    [(b"{", "not a JSON configuration"), (b"{}", "no pruning configuration"), (b"\xff\xfe", "not UTF-8")],
)
def test_what_is_no_configuration_is_one_line_and_changes_nothing(data, words, cache):
    make_study(cache)
    app = open_page(PRUNE)
    before = dict(app.query_params)
    upload(app, data)
    assert words in app.error[0].value.replace("\\", "")
    assert dict(app.query_params) == before


def test_a_configuration_of_another_shape_is_refused_and_one_of_another_model_said(cache):
    make_study(cache)
    large = make_study(cache / "elsewhere", n_layers=8)
    chosen = select_heads(large.scores(), axis=AXIS)
    app = upload(open_page(PRUNE), PruningConfig.from_selection(chosen, large))
    assert "8 layers × 4 heads" in app.error[0].value
    assert "heads" not in app.query_params
    other = make_study(cache / "other", model_name="*other*")
    config = PruningConfig.from_selection(select_heads(other.scores(), axis=AXIS), other)
    config = config.model_copy(update={"model": config.model.model_copy(update={"fingerprint": "f" * 16})})
    app = upload(open_page(PRUNE), config)
    assert "another model than this study's: *other*" in app.warning[0].value.replace("\\", "")
    assert "heads pruned" in all_text(app)
