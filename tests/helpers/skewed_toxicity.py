"""Synthetic toxicities as sampled ones are: few texts carry most of the variance, texts of one prompt are alike."""

from __future__ import annotations

import numpy as np

LOW, HIGH = 0.04, 0.9


def prompt_sums(rng, *, means, prompts, draws, alike=0.02, studies=None):
    """Sums over the texts of each prompt: sizes, sums, squares, (G · prompts) or (studies, G · prompts), and the group.

    A text is toxic (0.9) or not (about 0.04) with the prompt's own chance ~ Beta, so that the share `alike` of the
    variance lies between prompts. `means` (G): the groups' mean toxicities; each group has `prompts` of `draws` texts.
    """
    chance = np.repeat((np.asarray(means) - LOW) / (HIGH - LOW), prompts)
    strength = 1 / alike - 1  # a + b of the Beta whose intraclass correlation is `alike`
    shape = chance.shape if studies is None else (studies, *chance.shape)
    toxic = rng.binomial(draws, rng.beta(chance * strength, (1 - chance) * strength, size=shape))
    low = LOW + rng.uniform(-0.003, 0.003, size=shape)  # of the prompt: no two studies are quite equal
    sums = HIGH * toxic + low * (draws - toxic)
    squares = HIGH**2 * toxic + low**2 * (draws - toxic)
    return np.full(shape, float(draws)), sums, squares, np.repeat(np.arange(len(means)), prompts)


def text_variances(mean: float, alike: float = 0.02) -> tuple[float, float]:
    """Variance of a text's toxicity within and between prompts, for a group of this mean."""
    p = (mean - LOW) / (HIGH - LOW)
    total = (HIGH - LOW) ** 2 * p * (1 - p)
    return total * (1 - alike), total * alike
