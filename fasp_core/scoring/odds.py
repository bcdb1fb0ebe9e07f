"""Stages of the likelihood metric: log-odds of the study's pairs after an axis's prompts (see `stats.log_odds`).

Without each head, or, `compensated`, without what the other heads of its layer cannot supply of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from fasp_core.data.order import each_prompt_once, in_passes
from fasp_core.passes.log_odds import likelihood_gradient, likelihood_knockout
from fasp_core.scoring.context import RunContext
from fasp_core.scoring.stage import CompensableStage, Shard
from fasp_core.study.shard_names import ODDS, ODDS_KNOCKOUT, measured_kind, shard_name
from fasp_core.study.shard_tables import odds_table


@dataclass(frozen=True)
class Odds(CompensableStage):
    """Log-odds, and their first-order changes without each head."""

    kind, unit = "likelihood", "reads"

    def name(self, shard: Shard) -> str:
        return shard_name(measured_kind(ODDS, compensated=self.compensated), self.stream, shard.number)

    def table(self, shard: Shard, context: RunContext, needed: Mapping[str, pa.Table]) -> pa.Table:
        order, prompts, stems = _asked(shard, context, self.stream)
        hook_of = context.hook_of(compensated=self.compensated)
        measured = likelihood_gradient(
            context.lm, prompts, context.pairs, stems=stems, hook_of=hook_of, stop=context.stop
        )
        heads, by_block = range(context.lm.layout.n_heads), context.pairs.kept_by_block
        return self.marked(odds_table(order, stems, *measured, heads, by_block=by_block))


@dataclass(frozen=True)
class OddsKnockout(CompensableStage):
    """Log-odds, and their exact changes without the shard's heads."""

    kind, unit = "likelihood knockout", "knock-outs"

    def name(self, shard: Shard) -> str:
        kind = measured_kind(ODDS_KNOCKOUT, compensated=self.compensated)
        return shard_name(kind, self.stream, shard.number, heads=shard.heads)

    def table(self, shard: Shard, context: RunContext, needed: Mapping[str, pa.Table]) -> pa.Table:
        order, prompts, stems = _asked(shard, context, self.stream)
        heads, hook_of = shard.heads or (), context.hook_of(compensated=self.compensated)
        measured = likelihood_knockout(
            context.lm, prompts, context.pairs, heads, stems=stems, hook_of=hook_of, stop=context.stop
        )
        return self.marked(odds_table(order, stems, *measured, heads, by_block=context.pairs.kept_by_block))


def _asked(shard: Shard, context: RunContext, axis: str) -> tuple[pd.DataFrame, list[str], np.ndarray]:
    """The shard's rows of the axis's order, their prompts, and the stems that follow each."""
    prompts, pairs = context.axis(axis), context.pairs
    once = each_prompt_once(prompts.frame, seed=context.settings.seed, axis=axis, n_blocks=pairs.n_blocks)
    order = in_passes(once, shard.units, n_blocks=pairs.n_blocks)
    return order, prompts.text.loc[order["prompt_id"]].tolist(), pairs.block_stems(order["block"])
