"""Continuations sampled from a model: seeded, coupled, batched by length.

A continuation is drawn by the Gumbel-max trick: at every step the token with the largest `logit + noise`, where the
noise depends only on a key that names prompt and draw, and on the step. So a sample is the same in whatever batch
it is drawn, and two models given the same key are *coupled*: their texts differ only where a change of the model
changed a choice, which makes paired differences several times less noisy. Samples follow the model's own
distribution (temperature 1, no truncation) unless `top_k` is set; only then are importance weights not valid.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList, StoppingCriteria, StoppingCriteriaList

from .batching import in_batches, pad_batch
from .errors import Cancelled
from .models import LanguageModel
from .progress import Stop


@dataclass(frozen=True)
class SamplingSettings:
    """How continuations are drawn; part of every study's record."""

    max_new_tokens: int = 20  # the first words carry most of the toxicity, and cost grows with every token
    top_k: int | None = None  # None: the model's own distribution, which importance weights need; 50 in the paper


def noise_key(seed: int, stream: str, prompt: str, draw: int) -> str:
    """Names one noise sequence: the same for every model that continues this prompt for this draw."""
    return f"{seed}\x1f{stream}\x1f{prompt}\x1f{draw}"


def encode_prompts(lm: LanguageModel, prompts: Sequence[str], max_new_tokens: int) -> tuple[list[list[int]], int]:
    """Token ids of each prompt, and how many prompts were cut on the left to fit the context with a continuation."""
    sequences = lm.tokenizer(list(prompts))["input_ids"]
    room = (lm.max_length or 10**9) - max_new_tokens
    return [ids[-room:] for ids in sequences], sum(len(ids) > room for ids in sequences)


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

    in_batches(lm.model, [len(p) + settings.max_new_tokens for p in prompts], draw)
    return continuations


def continue_with(
    lm: LanguageModel, prompts: Sequence[Sequence[int]], noise: LogitsProcessor, max_new_tokens: int, stop: Stop | None
) -> list[list[int]]:
    """What one batch of prompts is continued with: at every step the token that `noise` makes the largest.

    Raises Cancelled within one step once `stop()` is true.
    """
    end_ids = _end_ids(lm)
    batch = pad_batch(prompts, [1] * len(prompts), pad_id=lm.tokenizer.pad_token_id, device=lm.device)
    config = GenerationConfig(
        max_new_tokens=max_new_tokens, do_sample=False, eos_token_id=end_ids or None,
        pad_token_id=lm.tokenizer.pad_token_id,
    )  # fmt: skip
    with torch.no_grad():
        out = lm.model.generate(
            input_ids=batch.ids, attention_mask=batch.mask, generation_config=config,
            logits_processor=LogitsProcessorList([noise]),
            stopping_criteria=StoppingCriteriaList([_Stopped(stop)]),
        )  # fmt: skip
    if stop is not None and stop():
        raise Cancelled("sampling was stopped")
    return [_until_end(ids, end_ids) for ids in out[:, batch.ids.shape[1] :].tolist()]


def decode(lm: LanguageModel, continuation: Sequence[int]) -> str:
    """The text of a continuation, without special tokens."""
    return lm.tokenizer.decode(continuation, skip_special_tokens=True)


def generator_of(key: str) -> np.random.Generator:
    """The random numbers that a key names, the same on every machine."""
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
    """Gumbel noise of the shape and on the device of `like`, (B, V); row i is the next V numbers of generator i."""
    exponential = np.empty(like.shape, dtype=np.float32)
    for row, generator in zip(exponential, generators, strict=True):
        generator.standard_exponential(out=row, dtype=np.float32)
    return -torch.from_numpy(exponential).to(like.device).log()


class _Stopped(StoppingCriteria):
    def __init__(self, stop: Stop | None) -> None:
        self.stop = stop

    def __call__(self, input_ids: Tensor, scores: Tensor, **kwargs: object) -> Tensor:
        ended = self.stop is not None and self.stop()
        return torch.full((input_ids.shape[0],), ended, dtype=torch.bool, device=input_ids.device)


def _end_ids(lm: LanguageModel) -> list[int]:
    configured = lm.model.generation_config.eos_token_id
    if configured is None:
        configured = lm.tokenizer.eos_token_id
    if configured is None:
        return []
    return list(configured) if isinstance(configured, list | tuple) else [configured]


def _until_end(ids: list[int], end_ids: Sequence[int]) -> list[int]:
    for position, token in enumerate(ids):
        if token in end_ids:
            return ids[: position + 1]
    return ids
