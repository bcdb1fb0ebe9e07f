"""Texts that heads change, token by token, and the tokens marked as HTML. Pure functions on strings."""

from __future__ import annotations

import html
from collections.abc import Iterable
from dataclasses import dataclass

from fasp_core.words.numbers import format_fixed

LIKELIER_WITH, LIKELIER_WITHOUT = "194, 87, 12", "76, 120, 168"  # orange: the heads drive it; blue as the intact model
STRONGEST = 0.6  # opacity of the token that they change most


@dataclass(frozen=True)
class MarkedText:
    """One text and some heads: T tokens as text, the last S of them the continuation's.

    `log_ratios` (S) in nats, > 0: likelier without the heads. They sum to the log-ratio of the text.
    """

    tokens: list[str]
    log_ratios: list[float]

    @property
    def n_prompt(self) -> int:
        """How many of the tokens are the prompt's."""
        return len(self.tokens) - len(self.log_ratios)


@dataclass(frozen=True)
class TextEvidence(MarkedText):
    """The same for one head, with what it attends to: T rows, growing, row t over tokens 0…t."""

    group: str
    toxicity: float
    attention: list[list[float]]


def marked_tokens(text: MarkedText, limit: float) -> str:
    """The text as HTML: every token of the continuation on a ground whose strength is its log-ratio's, up to `limit`.

    The number of a token shows when it is pointed at.
    """
    parts = [html.escape("".join(text.tokens[: text.n_prompt]))]
    parts += [
        _marked(token, ratio, limit) for token, ratio in zip(text.tokens[text.n_prompt :], text.log_ratios, strict=True)
    ]
    return f'<p style="white-space:pre-wrap;overflow-wrap:anywhere">{"".join(parts)}</p>'


def largest_ratio(texts: Iterable[MarkedText]) -> float:
    """The largest size of a log-ratio in the texts, in nats; 0 where there is none."""
    return max((abs(ratio) for text in texts for ratio in text.log_ratios), default=0.0)


def _marked(token: str, ratio: float, limit: float) -> str:
    colour = LIKELIER_WITHOUT if ratio > 0 else LIKELIER_WITH
    opacity = STRONGEST * min(1.0, abs(ratio) / limit) if limit else 0.0
    number = f"{format_fixed(ratio, 3, signed=True)} nats"
    return f'<span title="{number}" style="background:rgba({colour}, {opacity:.2f})">{html.escape(token)}</span>'
