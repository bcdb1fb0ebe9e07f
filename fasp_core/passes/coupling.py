"""Maximal coupling: a continuation of the changed model whose tokens are the intact model's as often as can be.

Shared noise (see `sampling`) makes two models choose alike at most steps, but not as often as possible. Given the
intact model's token x, drawn from its distribution p, the changed model with distribution q takes x with probability
min(1, q(x) / p(x)); else it draws from (q − p)⁺, normalised. Its tokens then follow q exactly, and differ with
probability ½ Σ |p − q|, the least there is (the rule of speculative decoding: Leviathan et al. 2023, arXiv
2211.17192, theorem 1). That holds at every place, also behind the first different token, where p and q go on from
different texts: the changed model comes back to the intact one's words where it can.

Reading both models' probabilities of a text takes a pass each, which pays where many texts stay whole, that is where
little was removed: only the others are sampled.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from transformers import LogitsProcessor

from .batching import TokenBatch, in_batches, pad_batch
from .heads import Head, gate_heads
from .knockout import token_log_probs, token_logits
from .models import LanguageModel
from .progress import Stop
from .sampling import continue_with, generator_of, gumbel

Tokens = Sequence[Sequence[int]]


def continuation_log_probs(lm: LanguageModel, prompts: Tokens, continuations: Tokens) -> list[list[float]]:
    """Log-probability in nats of every token of each continuation, with the gates as they are."""
    found: list[list[float]] = [[] for _ in prompts]

    def read(rows: list[int]) -> None:
        batch = _batch(lm, [prompts[i] for i in rows], [continuations[i] for i in rows])
        with torch.no_grad():
            values = token_log_probs(lm.model, batch).tolist()
        for i, row in zip(rows, values, strict=True):
            found[i] = row[len(row) - len(continuations[i]) :]

    in_batches(lm.model, [len(p) + len(c) for p, c in zip(prompts, continuations, strict=True)], read)
    return found


def coupled_continuations(
    lm: LanguageModel, off: Sequence[Head], prompts: Tokens, continuations: Tokens,
    log_probs: Sequence[Sequence[float]], keys: Sequence[str], max_new_tokens: int, stop: Stop | None = None,
) -> list[list[int]]:  # fmt: skip
    """Continuations of the model without the heads `off`, coupled to those of the intact model.

    `continuations` are draws of the intact model without truncation, `log_probs` its log-probabilities of their tokens;
    `keys` name the random numbers. Raises Cancelled within one batch once `stop()` is true.
    """
    with gate_heads(lm.model, off=off):
        changed = continuation_log_probs(lm, prompts, continuations)
    uniforms = [generator_of(f"{key}\x1fkeep").random(max_new_tokens) for key in keys]
    drawn = [list(tokens) for tokens in continuations]
    places = {
        i: int(refused.argmax())
        for i, (p, q, u) in enumerate(zip(log_probs, changed, uniforms, strict=True))
        if (refused := np.log(u[: len(p)]) > np.subtract(q, p)).any()
    }
    parted = list(places)

    def draw(rows: list[int]) -> None:
        chosen = [parted[row] for row in rows]
        tails = [continuations[i][places[i] :] for i in chosen]
        starts = [[*prompts[i], *continuations[i][: places[i]]] for i in chosen]
        with torch.no_grad():
            intact = token_logits(lm.model, _batch(lm, starts, tails))
        rule = MaximalCoupling(
            tails, [row[row.shape[0] - len(tail) :] for row, tail in zip(intact, tails, strict=True)],
            [uniforms[i][places[i] :] for i in chosen], [generator_of(f"{keys[i]}\x1fpart") for i in chosen],
        )  # fmt: skip
        with gate_heads(lm.model, off=off):
            rest = continue_with(lm, starts, rule, max_new_tokens - min(places[i] for i in chosen), stop)
        for i, tokens in zip(chosen, rest, strict=True):
            drawn[i] = [*continuations[i][: places[i]], *tokens[: max_new_tokens - places[i]]]

    in_batches(lm.model, [len(prompts[i]) + max_new_tokens for i in parted], draw)
    return drawn


class MaximalCoupling(LogitsProcessor):
    """Leaves one token per row: the other model's token of this place, where it can be taken.

    For each row: the other model's tokens (S), the logits that they were drawn from (S, V), uniform random numbers that
    decide whether they are taken, (S) or more, and a generator for what is drawn instead.
    """

    def __init__(
        self, tokens: Tokens, logits: Sequence[Tensor], uniforms: Sequence[np.ndarray],
        generators: Sequence[np.random.Generator],
    ) -> None:  # fmt: skip
        self.tokens, self.logits, self.uniforms, self.generators = tokens, logits, uniforms, generators
        self.place = 0

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        changed = scores.float().softmax(-1)
        rest = changed.clone()
        taken = {}
        for row, tokens in enumerate(self.tokens):
            if self.place >= len(tokens):  # the other text has ended
                continue
            intact, token = self.logits[row][self.place].float().softmax(-1), tokens[self.place]
            if self.uniforms[row][self.place] * intact[token] <= changed[row, token]:
                taken[row] = token
            elif (more := (changed[row] - intact).clamp(min=0)).any():  # else alike, but for rounding
                rest[row] = more
        chosen = rest.log() + gumbel(self.generators, rest)
        for row, token in taken.items():
            chosen[row] = -torch.inf
            chosen[row, token] = 0
        self.place += 1
        return chosen


def _batch(lm: LanguageModel, prompts: Tokens, continuations: Tokens) -> TokenBatch:
    return pad_batch(
        [[*p, *c] for p, c in zip(prompts, continuations, strict=True)], [len(c) for c in continuations],
        pad_id=lm.tokenizer.pad_token_id, device=lm.device,
    )  # fmt: skip
