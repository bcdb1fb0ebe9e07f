"""One shard of measurement each: what is sampled or computed, as the Arrow table that a study stores.

A *unit* is one sequence of a stream: a sample (prompt + continuation) of an axis, or a window of the text. Its
`unit` number is its place in the stream's fixed order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from torch import Tensor

from .batching import batches_by_length, halving, pad_batch, tokens_per_batch
from .errors import Cancelled
from .heads import gate_heads
from .knockout import gradient_log_ratios, knockout_log_ratios
from .models import LanguageModel
from .progress import Stop
from .ratios import ratio_table
from .sampling import SamplingSettings, decode, encode_prompts, noise_key, sample_continuations
from .toxicity import Scorer, score_texts


@dataclass(frozen=True)
class Sequences:
    """Units with their tokens; the last `scored[i]` tokens of `tokens[i]` are scored."""

    units: list[int]
    tokens: list[list[int]]
    scored: list[int]


def samples_table(
    lm: LanguageModel, prompts: pd.DataFrame, order: pd.DataFrame, first_unit: int, *,
    seed: int, settings: SamplingSettings, stop: Stop | None = None,
) -> pa.Table:  # fmt: skip
    """Continuations of the intact model for rows of an `order` (prompt_id, draw); `prompts` has prompt_id, prompt.

    The metadata's `prompts_cut` counts the prompts that were cut on the left to fit the model's context.
    """
    texts = prompts.set_index("prompt_id")["prompt"].loc[order["prompt_id"]].tolist()
    tokens, n_cut = encode_prompts(lm, texts, settings.max_new_tokens)
    keys = [noise_key(seed, "score", text, draw) for text, draw in zip(texts, order["draw"], strict=True)]
    continuations = sample_continuations(lm, tokens, keys, settings, stop)
    table = pa.table(
        {
            "unit": pa.array(range(first_unit, first_unit + len(order)), pa.int32()),
            "prompt_id": pa.array(order["prompt_id"], pa.int32()),
            "draw": pa.array(order["draw"], pa.int32()),
            "token_ids": pa.array(continuations, pa.list_(pa.int32())),
            "continuation": pa.array([decode(lm, c) for c in continuations], pa.string()),
        }
    )
    return table.replace_schema_metadata({"prompts_cut": str(n_cut)})


def regenerated_table(
    lm: LanguageModel, prompts: pd.DataFrame, order: pd.DataFrame, first_unit: int, heads: Sequence[int], *,
    seed: int, settings: SamplingSettings, stop: Stop | None = None,
) -> pa.Table:  # fmt: skip
    """Continuations with each of `heads` (flat ids) knocked out, for the same prompts, draws and noise as the samples.

    The published recipe's measurement, coupled: columns unit, head, token_ids, continuation; heads vary slowest.
    """
    tables = []
    for flat_id in heads:
        with gate_heads(lm.model, off=[lm.layout.head(flat_id)]):
            table = samples_table(lm, prompts, order, first_unit, seed=seed, settings=settings, stop=stop)
        head = pa.array([flat_id] * len(order), pa.int32())
        tables.append(table.select(["unit", "token_ids", "continuation"]).append_column("head", head))
    return pa.concat_tables(tables).replace_schema_metadata()


def toxicity_table(scorer: Scorer, units: Sequence[int], texts: Sequence[str]) -> pa.Table:
    """The toxicity of each unit's text; raises InputError for a scorer that gives anything but numbers in [0, 1]."""
    return pa.table(
        {"unit": pa.array(units, pa.int32()), "toxicity": pa.array(score_texts(scorer, texts), pa.float64())}
    )


def gradient_table(lm: LanguageModel, sequences: Sequences, stop: Stop | None = None) -> pa.Table:
    """First-order log-ratios of all heads, and the intact model's log-probability, of each unit."""
    ratios = np.empty((len(sequences.units), lm.layout.n_heads), np.float32)
    log_prob = np.empty(len(sequences.units))
    for rows, batch in _batches(lm, sequences, tokens_per_batch(lm.model, gradient=True)):
        _check(stop)
        r, base = halving(lambda part: gradient_log_ratios(lm, part), _join_rows, batch)
        ratios[rows], log_prob[rows] = r.numpy(), base.numpy()
    return ratio_table(sequences.units, sequences.scored, log_prob, ratios, range(lm.layout.n_heads))


def knockout_table(lm: LanguageModel, sequences: Sequences, heads: Sequence[int], stop: Stop | None = None) -> pa.Table:
    """Exact log-ratios of some heads (flat ids), and the intact model's log-probability, of each unit."""
    ratios = np.empty((len(sequences.units), len(heads)), np.float32)
    log_prob = np.empty(len(sequences.units))
    for rows, batch in _batches(lm, sequences, tokens_per_batch(lm.model, gradient=False)):
        r, base = knockout_log_ratios(lm, batch, heads, stop=stop)
        ratios[rows], log_prob[rows] = r.numpy(), base.numpy()
    return ratio_table(sequences.units, sequences.scored, log_prob, ratios, heads)


def _batches(lm: LanguageModel, sequences: Sequences, max_tokens: int):
    for rows in batches_by_length([len(t) for t in sequences.tokens], max_tokens):
        yield rows, pad_batch(
            [sequences.tokens[i] for i in rows], [sequences.scored[i] for i in rows],
            pad_id=lm.tokenizer.pad_token_id, device=lm.device,
        )  # fmt: skip


def _join_rows(first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return tuple(torch.cat(pair) for pair in zip(first, second, strict=True))


def _check(stop: Stop | None) -> None:
    if stop is not None and stop():
        raise Cancelled("measuring was stopped")
