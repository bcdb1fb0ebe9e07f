"""Stages that sample texts and rate them: continuations of the intact model, and of the model without single heads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import pandas as pd
import pyarrow as pa

from fasp_core.data.order import each_prompt_once
from fasp_core.data.tokens import continuation_text
from fasp_core.models.heads import gate_heads
from fasp_core.passes.sampling import noise_key, sample_continuations
from fasp_core.scoring.context import RunContext
from fasp_core.scoring.stage import Shard, Stage, shards_of
from fasp_core.study.manifest import StudySettings
from fasp_core.study.shard_names import (
    ECHO,
    RATING_OF,
    REGENERATED,
    SAMPLES,
    rating_name,
    shard_name,
    shard_of,
)
from fasp_core.study.shard_tables import PROMPTS_CUT
from fasp_core.toxicity.rated import as_given, rated_texts
from fasp_core.toxicity.scorers import score_texts

ECHO_PROMPTS = 1_024  # of an axis: enough to know what prompts alone give; large prompt sets have tens of thousands


class Sampling(Stage[Shard]):
    """Continuations of the intact model: unit, prompt_id, draw, token_ids, continuation.

    The metadata's `prompts_cut` counts the texts whose prompt was cut on the left to fit the model's context.
    """

    kind, unit = "sampling", "texts"

    def name(self, shard: Shard) -> str:
        return shard_name(SAMPLES, self.stream, shard.number)

    def table(self, shard: Shard, context: RunContext, needed: Mapping[str, pa.Table]) -> pa.Table:
        return samples_table(context, self.stream, shard.units)


class Regenerating(Stage[Shard]):
    """Continuations without each of the shard's heads, for the prompts, draws and noise of the intact model's samples.

    The published recipe's measurement, coupled: unit, token_ids, continuation, head; heads vary slowest.
    """

    kind, unit = "regenerate", "texts"

    @classmethod
    def of(cls, axis: str, n: int, size: int, heads: Sequence[int], heads_per_layer: int) -> Regenerating:
        """The first `n` units without each of `heads` (flat ids); a shard has `size` units and heads of one layer."""
        layers = [tuple(of_layer) for _, of_layer in groupby(sorted(heads), key=lambda head: head // heads_per_layer)]
        shards = [Shard(shard.number, shard.units, some) for shard in shards_of(n, size) for some in layers]
        return cls(axis, shards)

    def name(self, shard: Shard) -> str:
        return shard_name(REGENERATED, self.stream, shard.number, heads=shard.heads)

    def table(self, shard: Shard, context: RunContext, needed: Mapping[str, pa.Table]) -> pa.Table:
        tables = []
        for flat_id in shard.heads or ():
            with gate_heads(context.lm.model, off=[context.lm.layout.head(flat_id)]):
                table = samples_table(context, self.stream, shard.units)
            head = pa.array([flat_id] * table.num_rows, pa.int32())
            tables.append(table.select(["unit", "token_ids", "continuation"]).append_column("head", head))
        return pa.concat_tables(tables).replace_schema_metadata()


@dataclass(frozen=True)
class Texts:
    """A shard of texts to be rated, by its file name, and how many texts it holds."""

    name: str
    size: int


@dataclass(frozen=True)
class Rating(Stage[Texts]):
    """The toxicity of texts or continuations (see `toxicity.rated`): unit, toxicity and, of regenerated texts, head."""

    scorer: str

    unit = "texts"

    @classmethod
    def of(cls, texts: Stage[Shard], scorer: str) -> Rating:
        """The rating of all that a stage samples."""
        return cls(texts.stream, [Texts(texts.name(shard), shard.size) for shard in texts.shards], scorer)

    @property
    def kind(self) -> str:
        return RATING_OF[shard_of(self.shards[0].name).kind]

    def name(self, shard: Texts) -> str:
        return rating_name(shard.name, self.scorer)

    def needs(self, shard: Texts, settings: StudySettings) -> list[str]:
        """The texts and, where these are regenerated, the samples of the same units, which name the prompts."""
        texts = shard_of(shard.name)
        samples = [shard_name(SAMPLES, self.stream, texts.shard)] if texts.kind == REGENERATED else []
        return [shard.name, *samples]

    def table(self, shard: Texts, context: RunContext, needed: Mapping[str, pa.Table]) -> pa.Table:
        texts, prompts = needed[shard.name], needed[self.needs(shard, context.settings)[-1]]
        prompt_of = pd.Series(prompts["prompt_id"].to_pylist(), index=prompts["unit"].to_pylist())
        units = texts["unit"].to_pylist()
        starts = context.axis(self.stream).text.loc[prompt_of.loc[units]]
        rated = rated_texts(starts, texts["continuation"].to_pylist(), context.settings)
        toxicity = score_texts(context.scorer, rated)
        table = pa.table({"unit": pa.array(units, pa.int32()), "toxicity": pa.array(toxicity, pa.float64())})
        return table.append_column("head", texts["head"]) if "head" in texts.column_names else table


@dataclass(frozen=True)
class Echo(Stage[Shard]):
    """The toxicity of bare prompts, each once: unit, prompt_id, toxicity. What no head can change."""

    scorer: str

    kind, unit = "prompts alone", "prompts"

    @classmethod
    def of(cls, axis: str, prompts: int, scorer: str) -> Echo:
        """One shard of an axis's `prompts`, or of ECHO_PROMPTS of them, as evenly from every group as can be."""
        return cls(axis, [Shard(0, range(min(prompts, ECHO_PROMPTS)))], scorer)

    def name(self, shard: Shard) -> str:
        return shard_name(ECHO, self.stream, shard.number, scorer=self.scorer)

    def table(self, shard: Shard, context: RunContext, needed: Mapping[str, pa.Table]) -> pa.Table:
        prompts, seed = context.axis(self.stream), context.settings.seed
        order = each_prompt_once(prompts.frame, seed=seed, axis=self.stream, n_blocks=1)
        ids = order["prompt_id"].iloc[shard.units.start : shard.units.stop].tolist()
        toxicity = score_texts(context.scorer, as_given(prompts.text.loc[ids], context.settings))
        return pa.table(
            {
                "unit": pa.array(shard.units, pa.int32()),
                "prompt_id": pa.array(ids, pa.int32()),
                "toxicity": pa.array(toxicity, pa.float64()),
            }
        )


def samples_table(context: RunContext, axis: str, units: range) -> pa.Table:
    """Continuations of an axis's units by the model as it is gated: unit, prompt_id, draw, token_ids, continuation."""
    lm, order, prompts = context.lm, context.order(axis, units), context.axis(axis)
    ids = order["prompt_id"].tolist()
    tokens = context.encoded(axis, ids)
    keys = [
        noise_key(context.settings.seed, "score", prompt, draw)
        for prompt, draw in zip(prompts.text.loc[ids], order["draw"], strict=True)
    ]
    continuations = sample_continuations(lm, tokens, keys, context.settings, context.stop)
    written = [continuation_text(lm.tokenizer, p, c) for p, c in zip(tokens, continuations, strict=True)]
    table = pa.table(
        {
            "unit": pa.array(units, pa.int32()),
            "prompt_id": pa.array(order["prompt_id"], pa.int32()),
            "draw": pa.array(order["draw"], pa.int32()),
            "token_ids": pa.array(continuations, pa.list_(pa.int32())),
            "continuation": pa.array(written, pa.string()),
        }
    )
    return table.replace_schema_metadata({PROMPTS_CUT: str(sum(i in prompts.cut for i in ids))})
