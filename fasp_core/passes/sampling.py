"""Continuations sampled from a model: seeded, coupled, batched by length.

A continuation is drawn by the Gumbel-max trick (Maddison, Tarlow and Minka 2014, arXiv 1411.0030): at every step the
token with the largest `logit + noise`, where the noise depends only on a key that names prompt and draw, and on the
step. So a sample does not depend on the batch it is drawn in, and two models with the same key are *coupled*: their
texts differ only where the change of the model changed a choice. Paired differences then have several times less
variance. Samples follow the model's own distribution (temperature 1, no truncation) unless `top_k` is set; then
importance weights are not valid.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    StoppingCriteria,
    StoppingCriteriaList,
)

from fasp_core.data.sampling import SamplingSettings
from fasp_core.data.tokens import cut_left, encode, start_tokens
from fasp_core.errors import InputError
from fasp_core.models.batching import check_tokens, in_batches, pad_batch, tokens_per_batch
from fasp_core.models.generation import end_tokens, without_own_settings
from fasp_core.models.language_model import LanguageModel
from fasp_core.progress import Stop, check_stop


def noise_key(seed: int, stream: str, prompt: str, draw: int) -> str:
    """The name of one noise sequence: the same for every model that continues this prompt for this draw."""
    return f"{seed}\x1f{stream}\x1f{prompt}\x1f{draw}"


def encode_prompts(
    lm: LanguageModel, prompts: Sequence[str], max_new_tokens: int
) -> tuple[list[list[int]], list[bool]]:
    """Token ids of each prompt, and whether it was cut on the left to fit the context with a continuation.

    Raises InputError where the context holds no token of a prompt beside the continuation.
    """
    room = None if lm.max_length is None else lm.max_length - max_new_tokens
    whole, n_start = encode(lm.tokenizer, prompts), len(start_tokens(lm.tokenizer))
    if room is not None and room <= n_start:
        raise InputError(
            f"the model reads {lm.max_length} tokens at most, which leaves no room for a prompt before "
            f"{max_new_tokens} new ones; draw shorter continuations (max_new_tokens)"
        )
    fitting = [cut_left(ids, n_start, room) for ids in whole]
    return fitting, [len(cut) < len(ids) for cut, ids in zip(fitting, whole, strict=True)]


def sample_continuations(
    lm: LanguageModel,
    prompts: Sequence[Sequence[int]],
    keys: Sequence[str],
    settings: SamplingSettings,
    stop: Stop | None = None,
) -> list[list[int]]:
    """Token ids of one continuation per prompt (token ids), ending with the end token where the model emitted one.

    Raises Cancelled within one step once `stop()` is true.
    """
    continuations: list[list[int]] = [[] for _ in prompts]

    def draw(rows: list[int]) -> None:
        noise = GumbelNoise([keys[i] for i in rows], settings.top_k)
        drawn = continue_with(lm, [prompts[i] for i in rows], noise, settings.max_new_tokens, stop)
        for i, ids in zip(rows, drawn, strict=True):
            continuations[i] = ids

    lengths = [len(p) + settings.max_new_tokens for p in prompts]
    in_batches(lengths, tokens_per_batch(lm.model, gradient=False), draw)
    return continuations


def continue_with(
    lm: LanguageModel, prompts: Sequence[Sequence[int]], noise: LogitsProcessor, max_new_tokens: int, stop: Stop | None
) -> list[list[int]]:
    """Token ids that continue one batch of prompts: at every step the token with the largest logit after `noise`.

    Raises Cancelled within one step once `stop()` is true, InputError as `check_tokens` does.
    """
    end_ids = end_tokens(lm)
    batch = pad_batch(prompts, [1] * len(prompts), pad_id=lm.tokenizer.pad_token_id, device=lm.device)
    check_tokens(lm.model, batch)
    config = GenerationConfig(
        max_new_tokens=max_new_tokens,
        do_sample=False,
        eos_token_id=end_ids or None,
        pad_token_id=lm.tokenizer.pad_token_id,
    )
    with torch.no_grad(), without_own_settings(lm.model):
        out = cast(Callable[..., Any], lm.model.generate)(
            input_ids=batch.ids,
            attention_mask=batch.mask,
            generation_config=config,
            logits_processor=LogitsProcessorList([noise]),
            stopping_criteria=StoppingCriteriaList([_Stopped(stop)]),
        )
    check_stop(stop, "sampling")
    return [_until_end(ids, end_ids) for ids in out[:, batch.ids.shape[1] :].tolist()]


def generator_of(key: str) -> np.random.Generator:
    """The random generator of a key: the same numbers on every machine."""
    digest = hashlib.blake2b(key.encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little")))


class GumbelNoise(LogitsProcessor):
    """Adds Gumbel noise to the logits, (B, V), so that their arg max is a sample; row i's noise follows `keys[i]`.

    `−log E` with E standard exponential is Gumbel noise. It is drawn on the CPU: the same on every device.
    """

    def __init__(self, keys: Sequence[str], top_k: int | None = None) -> None:
        self.generators = [generator_of(key) for key in keys]
        self.top_k = top_k

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        scores = scores.float()
        if self.top_k is not None and self.top_k < scores.shape[-1]:
            lowest_kept = scores.topk(self.top_k).values[:, -1:]
            scores = scores.masked_fill(scores < lowest_kept, -torch.inf)
        return scores + gumbel(self.generators, scores)


def gumbel(generators: Sequence[np.random.Generator], like: Tensor) -> Tensor:
    """Gumbel noise of the shape and on the device of `like`, (B, V); row i is the next V numbers of generator i.

    Drawn in float64: numpy's float32 numbers are exactly 0 once in 2²³, which is infinite noise, and would force an
    arbitrary token in one step of 170 with a vocabulary of 49,152.
    """
    exponential = np.empty(like.shape)
    for row, generator in zip(exponential, generators, strict=True):
        generator.standard_exponential(out=row)
    return torch.from_numpy(-np.log(exponential).astype(np.float32)).to(like.device)


class _Stopped(StoppingCriteria):
    def __init__(self, stop: Stop | None) -> None:
        self.stop = stop

    def __call__(self, input_ids: Tensor, scores: Tensor, **kwargs: object) -> Tensor:
        ended = self.stop is not None and self.stop()
        return torch.full((input_ids.shape[0],), ended, dtype=torch.bool, device=input_ids.device)


def _until_end(ids: list[int], end_ids: Sequence[int]) -> list[int]:
    for position, token in enumerate(ids):
        if token in end_ids:
            return ids[: position + 1]
    return ids
