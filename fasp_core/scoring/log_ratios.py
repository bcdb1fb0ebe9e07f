"""Stages that measure log-ratios: how much likelier windows and continuations are without a head.

First order, of all heads at once (`Gradient`), or exact, of some heads (`Knockout`). Of the stream `text` they read the
study's windows, of an axis the samples that are there already.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import pyarrow as pa

from fasp_core.models.batching import Sequences, TokenBatch, in_batches, pad_batch, tokens_per_batch
from fasp_core.models.heads import HookOf
from fasp_core.models.language_model import LanguageModel
from fasp_core.passes.knockout import gradient_log_ratios, knockout_log_ratios
from fasp_core.progress import Stop, check_stop
from fasp_core.scoring.context import RunContext
from fasp_core.scoring.stage import CompensableStage, Shard
from fasp_core.study.manifest import StudySettings
from fasp_core.study.shard_names import GRADIENT, KNOCKOUT, SAMPLES, TEXT, measured_kind, shard_name
from fasp_core.study.shard_tables import ratio_table


@dataclass(frozen=True)
class _LogRatios(CompensableStage):
    """What both kinds read: windows, or samples."""

    def needs(self, shard: Shard, settings: StudySettings) -> list[str]:
        if self.stream == TEXT:
            return []
        size = settings.samples_per_shard
        numbers = range(shard.units.start // size, (shard.units.stop - 1) // size + 1)
        return [shard_name(SAMPLES, self.stream, number) for number in numbers]

    def sequences(self, shard: Shard, context: RunContext, needed: Mapping[str, pa.Table]) -> Sequences:
        """The shard's units as tokens, of which the continuation, or all but a window's first token, is scored."""
        if self.stream == TEXT:
            tokens = [context.windows[unit] for unit in shard.units]
            return Sequences(list(shard.units), tokens, [len(window) - 1 for window in tokens])
        tables = [needed[name] for name in self.needs(shard, context.settings)]
        units, prompt_ids, ends = (
            list(chain.from_iterable(table[column].to_pylist() for table in tables))
            for column in ("unit", "prompt_id", "token_ids")
        )
        inside = [row for row, unit in enumerate(units) if unit in shard.units]
        return sample_sequences(
            context,
            self.stream,
            [units[row] for row in inside],
            [prompt_ids[row] for row in inside],
            [ends[row] for row in inside],
        )


@dataclass(frozen=True)
class Gradient(_LogRatios):
    """First-order log-ratios of all heads."""

    kind = "gradient"

    @property
    def unit(self) -> str:
        return "windows" if self.stream == TEXT else "texts"

    def name(self, shard: Shard) -> str:
        return shard_name(measured_kind(GRADIENT, compensated=self.compensated), self.stream, shard.number)

    def table(self, shard: Shard, context: RunContext, needed: Mapping[str, pa.Table]) -> pa.Table:
        hook_of, sequences = context.hook_of(compensated=self.compensated), self.sequences(shard, context, needed)
        return self.marked(gradient_table(context.lm, sequences, context.stop, hook_of=hook_of))


@dataclass(frozen=True)
class Knockout(_LogRatios):
    """Exact log-ratios of the shard's heads."""

    kind, unit = "knockout", "knock-outs"

    def name(self, shard: Shard) -> str:
        kind = measured_kind(KNOCKOUT, compensated=self.compensated)
        return shard_name(kind, self.stream, shard.number, heads=shard.heads)

    def table(self, shard: Shard, context: RunContext, needed: Mapping[str, pa.Table]) -> pa.Table:
        hook_of, sequences = context.hook_of(compensated=self.compensated), self.sequences(shard, context, needed)
        return self.marked(knockout_table(context.lm, sequences, shard.heads or (), context.stop, hook_of=hook_of))


def sample_sequences(
    context: RunContext, axis: str, units: list[int], prompt_ids: list[int], ends: list[list[int]]
) -> Sequences:
    """Prompt + continuation of samples of an axis, of which the continuation is scored."""
    starts = context.encoded(axis, prompt_ids)
    tokens = [start + end for start, end in zip(starts, ends, strict=True)]
    return Sequences(units, tokens, [len(end) for end in ends])


def gradient_table(
    lm: LanguageModel, sequences: Sequences, stop: Stop | None = None, *, hook_of: HookOf | None = None
) -> pa.Table:
    """First-order log-ratios of all heads, and the intact model's log-probability, of each unit.

    `hook_of` may gate a part of a head's output, here and below.
    """
    ratios = np.empty((len(sequences.units), lm.layout.n_heads), np.float32)
    log_prob = np.empty(len(sequences.units))

    def work(rows: list[int]) -> None:
        check_stop(stop, "measuring")
        r, base = gradient_log_ratios(lm, _batch(lm, sequences, rows), hook_of=hook_of)
        ratios[rows], log_prob[rows] = r.numpy(), base.numpy()

    in_batches([len(t) for t in sequences.tokens], tokens_per_batch(lm.model, gradient=True), work)
    return ratio_table(sequences.units, sequences.scored, log_prob, ratios, range(lm.layout.n_heads))


def knockout_table(
    lm: LanguageModel,
    sequences: Sequences,
    heads: Sequence[int],
    stop: Stop | None = None,
    *,
    hook_of: HookOf | None = None,
) -> pa.Table:
    """Exact log-ratios of some heads (flat ids), and the intact model's log-probability, of each unit."""
    ratios = np.empty((len(sequences.units), len(heads)), np.float32)
    log_prob = np.empty(len(sequences.units))

    def work(rows: list[int]) -> None:
        r, base = knockout_log_ratios(lm, _batch(lm, sequences, rows), heads, hook_of=hook_of, stop=stop)
        ratios[rows], log_prob[rows] = r.numpy(), base.numpy()

    in_batches([len(t) for t in sequences.tokens], tokens_per_batch(lm.model, gradient=False), work)
    return ratio_table(sequences.units, sequences.scored, log_prob, ratios, heads)


def _batch(lm: LanguageModel, sequences: Sequences, rows: list[int]) -> TokenBatch:
    return pad_batch(
        [sequences.tokens[i] for i in rows],
        [sequences.scored[i] for i in rows],
        pad_id=lm.tokenizer.pad_token_id,
        device=lm.device,
    )
