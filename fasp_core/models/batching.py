"""Teacher-forced batches: padding, sizes bounded by memory, and halving where memory runs out.

Sequences are padded on the left, so that the scored tokens (a continuation, or a text window but for its first
token) end every row. Letters: B sequences, T tokens, S scored tokens at the end of the longest row, V vocabulary.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Self, TypeVar, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from fasp_core.errors import InputError

T = TypeVar("T")

ACTIVATION_BYTES = 2**30  # of one batch; with logits this keeps a run within weights + 2 GiB


@dataclass(frozen=True)
class TokenBatch:
    """Left-padded sequences on one device; `ids` and `mask` (B, T), `scored` (B, S) marks tokens among the last S."""

    ids: Tensor
    mask: Tensor
    scored: Tensor

    @property
    def targets(self) -> Tensor:
        """The last S tokens of every row, (B, S)."""
        return self.ids[:, self.ids.shape[1] - self.scored.shape[1] :]

    def repeat(self, times: int) -> Self:
        """The whole batch `times` over, (times·B, …), copy after copy."""
        return type(self)(*(t.repeat(times, 1) for t in self._tensors))

    @property
    def _tensors(self) -> list[Tensor]:
        return [getattr(self, field.name) for field in fields(self)]


def pad_batch(
    sequences: Sequence[Sequence[int]], scored: Sequence[int], *, pad_id: int, device: torch.device
) -> TokenBatch:
    """Pad token sequences on the left; the last `scored[i]` tokens of sequence i count."""
    rows, width, tail = len(sequences), max(map(len, sequences)), max(scored)
    ids = torch.full((rows, width), pad_id, dtype=torch.long)
    mask = torch.zeros((rows, width), dtype=torch.long)
    counts = torch.zeros((rows, tail), dtype=torch.bool)
    for i, (sequence, n) in enumerate(zip(sequences, scored, strict=True)):
        ids[i, width - len(sequence) :] = torch.tensor(sequence, dtype=torch.long)
        mask[i, width - len(sequence) :] = 1
        counts[i, tail - n :] = True
    return TokenBatch(ids.to(device), mask.to(device), counts.to(device))


def model_inputs(model: PreTrainedModel, batch: TokenBatch) -> dict[str, Tensor | bool]:
    """Keyword arguments of the model's forward: without padding the mask is left out, which is faster.

    Raises InputError as `check_tokens` does.
    """
    check_tokens(model, batch)
    inputs: dict[str, Tensor | bool] = {"input_ids": batch.ids, "use_cache": False}
    if not bool(batch.mask.all()):
        inputs["attention_mask"] = batch.mask
        if "position_ids" in inspect.signature(model.forward).parameters:
            inputs["position_ids"] = (batch.mask.cumsum(-1) - 1).clamp(min=0)
    return inputs


def embedding_rows(model: PreTrainedModel) -> int:
    """How many tokens the model has embeddings for."""
    return cast(nn.Embedding, model.get_input_embeddings()).num_embeddings


def check_tokens(model: PreTrainedModel, batch: TokenBatch) -> None:
    """Raise InputError for a token that the model has no embedding for: one added to the tokenizer alone."""
    rows, highest = embedding_rows(model), int((batch.ids * batch.mask).max())
    if highest >= rows:
        raise InputError(
            f"a text holds token {highest}, added to the tokenizer alone, and the model has only {rows} embeddings; "
            "resize them (resize_token_embeddings) and save the model again, or take the token out of the text"
        )


def bytes_per_token(model: PreTrainedModel, *, gradient: bool) -> int:
    """What one token of a batch holds in memory at its peak, from the model's shape (an estimate, on the high side)."""
    config = model.config.get_text_config()
    hidden, inner = config.hidden_size, getattr(config, "intermediate_size", None) or 0
    width = max(4 * hidden, *(inner if isinstance(inner, list | tuple) else [inner]))  # a list: one for each layer
    layer = 12 * hidden + 4 * width
    logits = 3 * config.vocab_size
    return 4 * (logits + layer * (config.num_hidden_layers if gradient else 4))


def tokens_per_batch(model: PreTrainedModel, *, gradient: bool) -> int:
    """How many tokens one batch may hold (at least one sequence always runs)."""
    return max(1, ACTIVATION_BYTES // bytes_per_token(model, gradient=gradient))


def batches_by_length(lengths: Sequence[int], max_tokens: int) -> Iterator[list[int]]:
    """Indices of `lengths` in batches of at most `max_tokens` padded tokens, longest first.

    Batches hold sequences of like length, so little is padded; the order depends on the lengths alone.
    """
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    start = 0
    while start < len(order):
        size = max(1, max_tokens // max(1, lengths[order[start]]))
        yield order[start : start + size]
        start += size


def in_batches(lengths: Sequence[int], max_tokens: int, work: Callable[[list[int]], None]) -> None:
    """`work` on the indices of all sequences of these lengths in tokens, in batches of at most `max_tokens` tokens.

    A batch that does not fit the device's memory is halved. Raises torch.OutOfMemoryError where one sequence does not.
    """
    for rows in batches_by_length(lengths, max_tokens):
        halving(work, rows, len(rows))


def halving(work: Callable[[list[T]], None], items: list[T], size: int) -> int:
    """`work` on `items`, `size` at a time; each time the device runs out of memory, the size is halved.

    Returns the size at the end. Raises torch.OutOfMemoryError where a single item does not fit.
    """
    while items:
        try:
            work(items[:size])
        except torch.OutOfMemoryError:
            if (size := min(size, len(items)) // 2) == 0:
                raise
        else:
            items = items[size:]
            continue
        if torch.cuda.is_available():  # outside the handler, whose error still holds the failed batch's tensors
            torch.cuda.empty_cache()
    return size


@dataclass(frozen=True)
class Sequences:
    """Units with their tokens; the last `scored[i]` tokens of `tokens[i]` are scored."""

    units: list[int]
    tokens: list[list[int]]
    scored: list[int]
