"""What a comparison measures: its settings, its points, and the γ that is chosen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from helpers.comparison_rows import AXIS, valid_rows
from helpers.made_study import make_study

from fasp_core.comparison.configurations import (
    ComparisonSettings,
    Configuration,
    baselines,
    choose_gammas,
    complete_settings,
    configurations,
    n_stages,
    staged_alphas,
)
from fasp_core.errors import InputError
from fasp_core.scoring.iterative_settings import IterativeSettings
from fasp_core.selection.rules import METHODS
from fasp_core.selection.select_heads import select_heads
from fasp_core.stats.target import MEAN_TOXICITY as TARGET


@pytest.fixture
def study(tmp_path):
    return make_study(tmp_path, "s", n_layers=5, heads_per_layer=4)


def test_a_configuration_that_protects_too_much_does_not_exist(study):
    scores = study.scores()
    settings = complete_settings(study, ComparisonSettings(AXIS, methods=("fasp",), alphas=(0.5,), gammas=(0.5, 0.6)))
    assert [p.gamma for p in configurations({"none": scores}, settings)] == [0.5]


@pytest.mark.parametrize(
    ("entries", "chosen"),
    [
        ([(0.2, 0.05, -0.3), (0.3, 0.08, -0.4), (0.4, 0.5, -0.9)], 0.3),  # the lowest bias that can be afforded
        ([(0.2, 0.6, -0.3), (0.3, 0.2, -0.1)], 0.3),  # none can: the lowest perplexity
        ([(0.2, 0.05, -0.3), (0.3, 0.05, -0.3)], 0.3),  # alike: the larger γ
        ([(0.2, 0.1, -0.3), (0.3, 0.05, -0.2)], 0.2),  # the limit itself is within
    ],
)
def test_gamma_by_the_rule(entries, chosen):
    assert choose_gammas(valid_rows(entries), ComparisonSettings(AXIS)) == {("fasp", "none", 0.1): chosen}


def test_gamma_is_chosen_for_each_compensation():
    rows = [
        valid_rows([(0.2, 0.05, -0.2), (0.3, 0.2, -0.5)]),
        valid_rows([(0.2, 0.02, -0.2), (0.3, 0.08, -0.4)]).assign(compensate="least_squares"),
    ]
    chosen = choose_gammas(pd.concat(rows), ComparisonSettings(AXIS))
    assert chosen == {("fasp", "none", 0.1): 0.2, ("fasp", "least_squares", 0.1): 0.3}


def test_nothing_is_chosen_where_nothing_was_measured_on_valid():
    rows = valid_rows([(0.2, 0.05, -0.3)]).assign(split="test")
    assert choose_gammas(rows, ComparisonSettings(AXIS)) == {}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"methods": ("fsap",)}, "did you mean 'fasp'"),
        ({"methods": ()}, "needs methods"),
        ({"metric": "toxicty"}, "did you mean 'toxicity'"),
        ({"compensations": ("least_square",)}, "did you mean 'least_squares'"),
        ({"compensations": ()}, "needs compensations"),
        ({"alphas": ()}, "needs alphas"),
        ({"gammas": (1.5,)}, "from 0 to 1"),
        ({"seeds": 0}, "seeds must be at least 1"),
        ({"ppl_limit": 0.0}, "ppl_limit must be a number above 0"),
    ],
)
def test_bad_settings_are_one_line(options, words):
    with pytest.raises(InputError, match=words):
        ComparisonSettings(AXIS, **options)


# -- measure and compensation ---------------------------------------------------------------------------------------


def test_every_set_is_there_with_each_compensation(study):
    asked = ComparisonSettings(
        AXIS, methods=("fasp",), alphas=(0.0, 0.1), gammas=(0.3,), compensations=("least_squares", "none")
    )
    settings = complete_settings(study, asked)
    scores = study.scores()
    points = configurations({"none": scores, "least_squares": scores}, settings)
    assert [(p.alpha, p.compensate, len(p.pruned)) for p in points] == [
        (0.0, "none", 0),
        (0.0, "least_squares", 0),
        (0.1, "none", 2),
        (0.1, "least_squares", 2),
    ]


def test_heads_are_chosen_by_the_scores_of_what_takes_their_place(study):
    plain = study.scores()
    turned = replace(plain, frame=plain.frame.assign(**{f"z_bias.{AXIS}": -plain.z_bias(AXIS)}))
    asked = ComparisonSettings(
        AXIS, methods=("bias_only",), alphas=(0.1,), compensations=("none", "mean", "least_squares")
    )
    points = configurations({"none": plain, "mean": plain, "least_squares": turned}, complete_settings(study, asked))
    by_bias = np.argsort(-plain.z_bias(AXIS)).tolist()
    expected = {"none": by_bias[:2], "mean": by_bias[:2], "least_squares": by_bias[-2:]}
    found = {p.compensate: [4 * layer + head for layer, head in p.pruned] for p in points}
    assert found == {way: sorted(heads) for way, heads in expected.items()}


def test_fasp_iterative_is_compared_by_both_measures_where_it_has_the_scores_to_begin_with(study):
    for metric in ("toxicity", "likelihood"):
        for ways in (("none",), ("none", "mean")):
            asked = ComparisonSettings(AXIS, metric=metric, axes=(AXIS,), compensations=ways)
            assert complete_settings(study, asked).methods == METHODS
    asked = ComparisonSettings(AXIS, metric="likelihood", axes=(AXIS,), compensations=("none", "least_squares"))
    rest = tuple(method for method in METHODS if method != "fasp_iterative")
    assert complete_settings(study, asked).methods == rest  # the study has no scores under compensation
    with pytest.raises(InputError, match=r"study 's' has none of gender_and_sex; add them: .* --compensated; or leave"):
        complete_settings(study, replace(asked, methods=("fasp", "fasp_iterative")))
    assert complete_settings(study, replace(asked, metric="toxicity")).methods == METHODS


def test_stages_of_fasp_iterative_are_counted():
    """Of 20 heads, 2 a stage: at γ 0.3 up to 4 heads; at 0.9 no more than 2; at 1 none. Each with two compensations."""
    asked = ComparisonSettings(
        AXIS,
        alphas=(0.0, 0.1, 0.2),
        gammas=(0.3, 0.9, 1.0),
        compensations=("none", "mean"),
        iterative=IterativeSettings(step=0.1),
    )
    assert staged_alphas(asked, 20) == {0.3: 0.2, 0.9: 0.1}
    assert n_stages(asked, 20) == (2 + 1) * 2
    assert n_stages(replace(asked, iterative_gammas=(0.9,)), 20) == 2


def test_the_mean_toxicity_is_compared_by_methods_that_need_no_groups(study):
    assert not {"fasp_joint", "fasp_iterative"} & {*complete_settings(study, ComparisonSettings(TARGET)).methods}
    asked = ComparisonSettings(TARGET, methods=("fasp", "random"), alphas=(0.1,), gammas=(0.3,), axes=(TARGET,))
    settings = complete_settings(study, asked)
    assert settings.metric == "toxicity"
    assert settings.axes == (TARGET,)
    points = configurations({"none": study.scores()}, settings)
    (fasp,) = [point for point in points if point.method == "fasp"]
    assert fasp.pruned == select_heads(study.scores(), axis=TARGET, gamma=0.3, alpha=0.1).pruned
    with pytest.raises(InputError, match="fasp_joint is no method for toxicity; possible: fasp,"):
        complete_settings(study, ComparisonSettings(TARGET, methods=("fasp_joint",)))


# -- one model against another --------------------------------------------------------------------------------------


def test_a_model_is_compared_with_fasp_as_published_and_with_fasp_and_random_of_its_kind():
    def point(method, compensate, *, alpha=0.1, seed=0, heads=((0, 0),)):
        return Configuration(method, None, alpha, compensate, seed, heads)

    published, fasp = point("fasp", "none"), point("fasp", "least_squares")
    random, joint = point("random", "least_squares", heads=((1, 1),)), point("fasp_joint", "least_squares")
    elsewhere = [point("fasp", "none", alpha=0.2), point("fasp", "none", seed=1), point("random", "none", seed=1)]
    points = [published, fasp, random, joint, *elsewhere]
    assert baselines(joint, points) == [published, random]  # it prunes what fasp does, with the same in their place
    assert baselines(replace(joint, pruned=((0, 1),)), points) == [published, fasp, random]
    assert baselines(fasp, points) == [published, random]
    assert baselines(random, points) == [published, fasp]
    assert baselines(published, points) == []
    nothing = point("fasp_joint", "least_squares", alpha=0.2, heads=())
    assert baselines(nothing, points) == []
