"""How continuations are drawn: the settings that sampling, studies and their records share. No torch here."""

from __future__ import annotations

from dataclasses import dataclass

from fasp_core.errors import InputError, nearest

CONTINUATION, TEXT_WITH_PROMPT = "continuation", "text"
SCORED = (CONTINUATION, TEXT_WITH_PROMPT)  # what of a text is rated, see `toxicity.rated`

DRAWS = "float64"  # the precision in which the noise of continuations is drawn, see `passes.sampling.gumbel`
DRAWS_BEFORE = "float32"  # once; then one step in 2²³ / vocabulary wrote an arbitrary token


@dataclass(frozen=True)
class SamplingSettings:
    """How continuations are drawn; part of every study's record. Raises InputError for numbers below 1."""

    max_new_tokens: int = 20  # the first words carry most of the toxicity, and cost grows with every token
    top_k: int | None = None  # None: the model's own distribution, which importance weights need; 50 in the paper

    def __post_init__(self) -> None:
        check_sizes(self, "max_new_tokens", "top_k")


def check_scored(scored: str) -> str:
    """The same; raises InputError for what cannot be rated of a text."""
    if scored not in SCORED:
        raise InputError(f"scored is '{scored}'; {nearest(str(scored), SCORED)}")
    return scored


def check_sizes(settings: object, *names: str) -> None:
    """Raise InputError for a setting of these names that is below 1; None is allowed."""
    for name in names:
        value = getattr(settings, name)
        if value is not None and value < 1:
            raise InputError(f"{name} is {value}; give a whole number of at least 1")
