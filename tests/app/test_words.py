"""The app's words: complete for every method, and sentences with the right numbers."""

from __future__ import annotations

import pytest

from fasp_core.jobs.time_left import TimeLeft
from fasp_core.selection import rules
from ui import words


@pytest.mark.parametrize(
    ("numbers", "sentence"),
    [
        ((1, 0, TimeLeft(45.0, at_least=False)), "1 job at work · about 45 s left"),
        ((2, 1, TimeLeft(45.0, at_least=True)), "2 jobs at work, 1 waiting · at least 45 s left"),
        ((0, 1, TimeLeft(None, at_least=True)), "0 jobs at work, 1 waiting · time left not known yet"),
    ],
)
def test_jobs_at_work_as_a_sentence(numbers, sentence):
    assert words.jobs_at_work(*numbers) == sentence


def test_every_method_has_a_name_a_description_and_a_place_in_the_sentence():
    assert set(words.METHODS) == set(words.METHOD_HELP) == set(words.RANKED) == set(rules.METHODS)
    assert len({*words.METHODS.values()}) == len(rules.METHODS)
    assert words.method_label("fasp") == "Published FASP (fasp)"


PROTECT = "Protect the {} the model needs most; of the other {}, prune {}."
NO_GAMMA = "Of all {} heads, prune {}. γ has no effect on this method."


@pytest.mark.parametrize(
    ("numbers", "sentence"),
    [
        (("fasp", 270, 81, 27), PROTECT.format("81 heads", 189, "the 27 that drive the bias most")),
        (("fasp", 24, 1, 1), PROTECT.format("1 head", 23, "the 1 that drives the bias most")),
        (("fasp", 24, 7, 0), PROTECT.format("7 heads", 17, "none")),
        (("fasp", 24, 0, 2), "Protect no head; of all 24, prune the 2 that drive the bias most."),
        (("ppl_only", 5120, 7, 1024), NO_GAMMA.format("5,120", "the 1,024 that the model needs least")),
    ],
)
def test_gamma_and_alpha_as_a_sentence(numbers, sentence):
    assert words.choice_sentence(*numbers) == sentence
