"""Maximal coupling: continuations of the pruned model that share as many tokens as possible with the intact model's.

Shared noise (see `sampling`) makes two models choose the same token at most steps, but not as often as possible. Given
the intact model's token x, drawn from its distribution p, the pruned model with distribution q keeps x with probability
min(1, q(x) / p(x)); else it draws from (q − p)⁺, normalised. Its tokens then follow q exactly, and differ with
probability ½ Σ |p − q|, the smallest possible (the rule of speculative decoding: Leviathan et al. 2023, arXiv
2211.17192, theorem 1). This holds at every position, also after the first different token, where p and q condition on
different texts: the pruned model can return to the intact model's tokens.

Reading a text's probabilities under both models takes one pass each. That pays where few heads were removed: most texts
stay the same, and only the others are sampled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import numpy as np
import torch
from torch import Tensor
from transformers import LogitsProcessor

from fasp_core.models.batching import TokenBatch, in_batches, pad_batch, tokens_per_batch
from fasp_core.models.language_model import LanguageModel
from fasp_core.passes.knockout import token_log_probs, token_logits
from fasp_core.passes.sampling import continue_with, generator_of, gumbel
from fasp_core.progress import Stop

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

    lengths = [len(p) + len(c) for p, c in zip(prompts, continuations, strict=True)]
    in_batches(lengths, tokens_per_batch(lm.model, gradient=False), read)
    return found


def coupled_continuations(
    lm: LanguageModel,
    pruned: Callable[[], AbstractContextManager[None]],
    prompts: Tokens,
    continuations: Tokens,
    log_probs: Sequence[Sequence[float]],
    keys: Sequence[str],
    max_new_tokens: int,
    stop: Stop | None = None,
) -> list[list[int]]:
    """Continuations of the pruned model, coupled to those of the intact model.

    While inside the context that `pruned()` gives, `lm` is the pruned model; outside it is intact.
    `continuations` are draws of the intact model without truncation, `log_probs` its log-probabilities of their tokens;
    `keys` name the random numbers (see `noise_key`). Raises Cancelled within one batch once `stop()` is true.
    """
    with pruned():
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
            tails,
            [row[row.shape[0] - len(tail) :] for row, tail in zip(intact, tails, strict=True)],
            [uniforms[i][places[i] :] for i in chosen],
            [generator_of(f"{keys[i]}\x1fpart") for i in chosen],
        )
        with pruned():
            rest = continue_with(lm, starts, rule, max_new_tokens - min(places[i] for i in chosen), stop)
        for i, tokens in zip(chosen, rest, strict=True):
            drawn[i] = [*continuations[i][: places[i]], *tokens[: max_new_tokens - places[i]]]

    lengths = [len(prompts[i]) + max_new_tokens for i in parted]
    in_batches(lengths, tokens_per_batch(lm.model, gradient=False), draw)
    return drawn


class MaximalCoupling(LogitsProcessor):
    """Gives the largest score to one token per row: the intact model's token at this position, or one drawn instead.

    For each row: the intact model's tokens (S), the logits that they were drawn from (S, V), uniform random numbers
    that decide whether each is kept, (S) or more, and a generator for the draw instead.
    """

    def __init__(
        self,
        tokens: Tokens,
        logits: Sequence[Tensor],
        uniforms: Sequence[np.ndarray],
        generators: Sequence[np.random.Generator],
    ) -> None:
        self.tokens, self.logits, self.uniforms, self.generators = tokens, logits, uniforms, generators
        self.place = 0

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        changed = scores.float().softmax(-1)
        rest = changed.clone()
        taken = {}
        for row, tokens in enumerate(self.tokens):
            if self.place >= len(tokens):  # the intact model's text has ended
                continue
            intact, token = self.logits[row][self.place].float().softmax(-1), tokens[self.place]
            if self.uniforms[row][self.place] * intact[token] <= changed[row, token]:
                taken[row] = token
            elif (more := (changed[row] - intact).clamp(min=0)).any():  # else p and q are equal up to rounding
                rest[row] = more
        chosen = rest.log() + gumbel(self.generators, rest)
        for row, token in taken.items():
            chosen[row] = -torch.inf
            chosen[row, token] = 0
        self.place += 1
        return chosen


def _batch(lm: LanguageModel, prompts: Tokens, continuations: Tokens) -> TokenBatch:
    return pad_batch(
        [[*p, *c] for p, c in zip(prompts, continuations, strict=True)],
        [len(c) for c in continuations],
        pad_id=lm.tokenizer.pad_token_id,
        device=lm.device,
    )
