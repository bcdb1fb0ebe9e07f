"""What a comparison measures: its settings, its points, and the γ that is chosen."""

from __future__ import annotations

import pytest
from helpers.comparison_rows import AXIS, valid_rows
from helpers.made_study import make_study

from fasp_core.comparison.configurations import ComparisonSettings, choose_gammas, complete_settings, configurations
from fasp_core.errors import InputError


@pytest.fixture
def study(tmp_path):
    return make_study(tmp_path, "s", n_layers=5, heads_per_layer=4)


def test_a_configuration_that_protects_too_much_does_not_exist(study):
    scores = study.scores()
    settings = complete_settings(
        study, scores, ComparisonSettings(AXIS, methods=("fasp",), alphas=(0.5,), gammas=(0.5, 0.6))
    )
    assert [p.gamma for p in configurations(scores, settings)] == [0.5]


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
    assert choose_gammas(valid_rows(entries), ComparisonSettings(AXIS)) == {("fasp", 0.1): chosen}


def test_nothing_is_chosen_where_nothing_was_measured_on_valid():
    rows = valid_rows([(0.2, 0.05, -0.3)]).assign(split="test")
    assert choose_gammas(rows, ComparisonSettings(AXIS)) == {}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"methods": ("fsap",)}, "did you mean 'fasp'"),
        ({"methods": ()}, "needs methods"),
        ({"alphas": ()}, "needs alphas"),
        ({"gammas": (1.5,)}, "from 0 to 1"),
        ({"seeds": 0}, "seeds must be at least 1"),
        ({"ppl_limit": 0.0}, "ppl_limit must be a number above 0"),
    ],
)
def test_bad_settings_are_one_line(options, words):
    with pytest.raises(InputError, match=words):
        ComparisonSettings(AXIS, **options)
