"""Log-probabilities of every token of a sentence, and what the pair measures and the ability tasks read from them.

A causal model reads a sentence from the left. The first token is scored too: where the tokenizer puts no start token
before a text, a line break stands there. (Not the tokenizer's own start token: in a chat model that opens a turn, which
plain sentences do not follow; it halved the default model's probability of the right word of a fact.) In nats.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import takewhile

import numpy as np
import torch

from fasp_core.data.passages import Passage
from fasp_core.data.sentence_pairs import Scored
from fasp_core.data.tokens import plain_tokens, start_tokens
from fasp_core.errors import InputError
from fasp_core.models.batching import in_batches, pad_batch, tokens_per_batch
from fasp_core.models.language_model import LanguageModel
from fasp_core.passes.knockout import token_logits
from fasp_core.progress import Stop, check_stop


@dataclass(frozen=True)
class TokenScores:
    """A text's T tokens, each one's log-probability given those before it, and whether it was the likeliest, (T,)."""

    tokens: list[int]
    log_probs: np.ndarray
    likeliest: np.ndarray


def token_scores(lm: LanguageModel, texts: Sequence[str], *, stop: Stop | None = None) -> list[TokenScores]:
    """The scores of every text's tokens, with the gates as they are.

    Raises InputError for a text that is longer than the model's context; Cancelled once `stop()` is true.
    """
    start = start_tokens(lm.tokenizer) or _line_break(lm)
    plain = plain_tokens(lm.tokenizer, texts)
    for text, tokens in zip(texts, plain, strict=True):
        if lm.max_length is not None and len(start) + len(tokens) > lm.max_length:
            raise InputError(
                f"'{text[:40]}…' has {len(tokens)} tokens, more than the {lm.max_length} that {lm.name} reads; shorten "
                "it"
            )
    found = [TokenScores([], np.empty(0), np.empty(0, bool)) for _ in texts]

    @torch.no_grad()
    def read(rows: list[int]) -> None:
        check_stop(stop, "measuring")
        sequences = [[*start, *plain[i]] for i in rows]
        counts = [len(plain[i]) for i in rows]
        batch = pad_batch(sequences, counts, pad_id=lm.tokenizer.pad_token_id, device=lm.device)
        logits = token_logits(lm.model, batch)  # (B, S, V)
        chosen = logits.gather(-1, batch.targets[..., None])[..., 0] - logits.logsumexp(-1)
        log_probs, best = chosen.double().cpu().numpy(), (logits.argmax(-1) == batch.targets).cpu().numpy()
        width = log_probs.shape[1]
        for row, i in enumerate(rows):
            own = slice(width - counts[row], width)
            found[i] = TokenScores(plain[i], log_probs[row, own], best[row, own])

    filled = [i for i, tokens in enumerate(plain) if tokens]
    lengths = [len(start) + len(plain[i]) for i in filled]
    in_batches(lengths, tokens_per_batch(lm.model, gradient=False), lambda rows: read([filled[row] for row in rows]))
    return found


def pair_log_probs(one: TokenScores, other: TokenScores, scored: Scored) -> tuple[float, float]:
    """The log-probability of what is scored of each of two sentences.

    * "shared": the tokens that both have, after their first difference, given all that stands before them. It is
      CrowS-Pairs' log P(unmodified tokens | modified tokens) as a causal model gives it: a masked model conditions on
      both sides, this one on the left. What follows the modified word counts; what precedes it is equal in both.
    * "differing": the tokens that only one of them has.
    * "whole": all tokens; "mean": all tokens, divided by their number, as StereoSet scores causal models.
    """
    if scored in ("whole", "mean"):
        sums = [float(part.log_probs.sum()) for part in (one, other)]
        counts = [max(1, len(part.tokens)) for part in (one, other)] if scored == "mean" else [1, 1]
        return sums[0] / counts[0], sums[1] / counts[1]
    same = [np.zeros(len(part.tokens), bool) for part in (one, other)]
    for block in SequenceMatcher(None, one.tokens, other.tokens, autojunk=False).get_matching_blocks():
        same[0][block.a : block.a + block.size] = same[1][block.b : block.b + block.size] = True
    if scored == "differing":
        return float(one.log_probs[~same[0]].sum()), float(other.log_probs[~same[1]].sum())
    before = sum(1 for _ in takewhile(lambda two: two[0] == two[1], zip(one.tokens, other.tokens, strict=False)))
    return float(one.log_probs[before:][same[0][before:]].sum()), float(
        other.log_probs[before:][same[1][before:]].sum()
    )


def last_words(lm: LanguageModel, passage: Passage, scores: TokenScores) -> tuple[int, int]:
    """How many of the words that are asked for the model names, each token of them the likeliest, and of how many.

    A word counts where its tokens can be told apart from what stands before it.
    """
    spans = [(passage.text[:start].rstrip(), passage.text[:end]) for start, end in passage.asked]
    ids = plain_tokens(lm.tokenizer, [part for span in spans for part in span])
    named = asked = 0
    for before, upto in zip(ids[::2], ids[1::2], strict=True):
        if scores.tokens[: len(upto)] == upto and upto[: len(before)] == before and len(before) < len(upto):
            asked += 1
            named += bool(scores.likeliest[len(before) : len(upto)].all())
    return named, asked


def _line_break(lm: LanguageModel) -> list[int]:
    """The tokens of a line break; of a tokenizer that drops it, the token that pads, which often ends texts too."""
    return plain_tokens(lm.tokenizer, ["\n"])[0] or [lm.tokenizer.pad_token_id]
