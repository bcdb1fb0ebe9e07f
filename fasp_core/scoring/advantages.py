"""Stages of the advantage estimator: what every text adds to the change of toxicity without each head.

A text's tokens are weighed by their advantage (see `stats.advantages`), for which its prefixes are rated
(`Prefixes`) and valued by a critic (`FittedCritic`). The critic is learned from the axis's first texts and then stays
as it is. So a shard depends on the critic and its own texts alone: a study can be extended, and a run that was stopped
goes on to the same numbers. Texts that the critic did not learn from are valued by the half that lacks their prompt
too, so no text and no other text of its prompt has a part in its own value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import torch

from fasp_core.data.tokens import continuation_text
from fasp_core.models.batching import Sequences, in_batches, pad_batch, tokens_per_batch
from fasp_core.passes.knockout import weighted_log_ratios
from fasp_core.progress import check_stop
from fasp_core.scoring.context import RunContext
from fasp_core.scoring.log_ratios import sample_sequences
from fasp_core.scoring.stage import Shard, Stage
from fasp_core.stats.advantages import LAMBDA, advantages
from fasp_core.stats.critic import PrefixRatings, cross_fitted_critics, prefix_values, prompt_halves
from fasp_core.study.manifest import StudySettings
from fasp_core.study.shard_names import ADVANTAGE, CRITIC, PREFIXES, SAMPLES, TOXICITY, shard_name
from fasp_core.study.shard_tables import contribution_table, critic_table, critic_weights
from fasp_core.toxicity.rated import rated_texts
from fasp_core.toxicity.scorers import prefix_step, score_texts

CRITIC_TEXTS = 512  # of an axis: many times what four weights need


@dataclass(frozen=True)
class _OfScorer(Stage[Shard]):
    """Stages whose shards are of one scorer."""

    scorer: str

    def shard_of(self, kind: str, number: int) -> str:
        """The name of a shard of this stream and scorer; samples have no scorer."""
        return shard_name(kind, self.stream, number, scorer=None if kind == SAMPLES else self.scorer)


class Prefixes(_OfScorer):
    """The toxicity of every unfinished prefix of a continuation: unit, toxicity (list, after 0, step, 2 · step …
    tokens); the step is in the metadata. What is rated of a prefix is what is rated of a finished text."""

    kind, unit = "prefixes", "texts"

    def name(self, shard: Shard) -> str:
        return self.shard_of(PREFIXES, shard.number)

    def needs(self, shard: Shard, settings: StudySettings) -> list[str]:
        return [self.shard_of(SAMPLES, shard.number)]

    def table(self, shard: Shard, context: RunContext, needed: Mapping[str, pa.Table]) -> pa.Table:
        samples, step = needed[self.shard_of(SAMPLES, shard.number)], prefix_step(context.scorer)
        ids, ends = samples["prompt_id"].to_pylist(), samples["token_ids"].to_pylist()
        starts, prompts = context.encoded(self.stream, ids), context.axis(self.stream).text.loc[ids]
        decode = context.lm.tokenizer
        written, text_of, counts = [], [], []
        for start, prompt, end in zip(starts, prompts, ends, strict=True):
            places = range(0, len(end), step)
            written += [continuation_text(decode, start, end[:place]) for place in places]
            text_of += [prompt] * len(places)
            counts.append(len(places))
        texts, place = np.unique(rated_texts(text_of, written, context.settings), return_inverse=True)
        check_stop(context.stop, "rating", resumes=True)
        toxicity = score_texts(context.scorer, texts.tolist())[place]
        table = pa.table(
            {
                "unit": samples["unit"],
                "toxicity": pa.ListArray.from_arrays(np.cumsum([0, *counts]).astype(np.int32), toxicity),
            }
        )
        return table.replace_schema_metadata({"step": str(step)})


class FittedCritic(_OfScorer):
    """The weights that value prefixes, one row for each half of the prompts: half, weights."""

    kind, unit = "critic", "texts"

    def name(self, shard: Shard) -> str:
        return self.shard_of(CRITIC, shard.number)

    @classmethod
    def of_first(cls, axis: str, texts: Sequence[Shard], scorer: str) -> FittedCritic:
        """The critic of an axis, learned from the first CRITIC_TEXTS texts of these shards, or from all there are."""
        last = next((shard for shard in texts if shard.units.stop >= CRITIC_TEXTS), texts[-1])
        return cls(axis, [Shard(0, range(last.units.stop))], scorer)

    def needs(self, shard: Shard, settings: StudySettings) -> list[str]:
        numbers = range(len(shard.units) // settings.samples_per_shard)
        return [self.shard_of(kind, number) for number in numbers for kind in (SAMPLES, TOXICITY, PREFIXES)]

    def table(self, shard: Shard, context: RunContext, needed: Mapping[str, pa.Table]) -> pa.Table:
        names = self.needs(shard, context.settings)
        samples, toxicity, prefixes = ([needed[name] for name in names[k::3]] for k in range(3))
        ratings, half = prefix_ratings(prefixes, toxicity, context), halves(samples, self.stream, context)
        return critic_table(cross_fitted_critics(ratings, half), len(half))


class Advantage(_OfScorer):
    """What each text adds to the change of toxicity without each head, with λ = 1 and λ = LAMBDA."""

    kind, unit = "advantage", "texts"

    def name(self, shard: Shard) -> str:
        return self.shard_of(ADVANTAGE, shard.number)

    def needs(self, shard: Shard, settings: StudySettings) -> list[str]:
        return [
            *(self.shard_of(kind, shard.number) for kind in (SAMPLES, TOXICITY, PREFIXES)),
            self.shard_of(CRITIC, 0),
        ]

    def table(self, shard: Shard, context: RunContext, needed: Mapping[str, pa.Table]) -> pa.Table:
        samples, toxicity, prefixes, critic = (needed[name] for name in self.needs(shard, context.settings))
        weights = critic_weights(critic)[halves([samples], self.stream, context)]
        values = prefix_values(prefix_ratings([prefixes], [toxicity], context), weights)
        by_block = np.stack([advantages(values, lam=lam) for lam in (LAMBDA, 1.0)])
        columns = (samples[name].to_pylist() for name in ("unit", "prompt_id", "token_ids"))
        sequences = sample_sequences(context, self.stream, *columns)
        discounted, unbiased = contributions(context, sequences, by_block, _step(prefixes))
        heads = range(context.lm.layout.n_heads)
        return contribution_table(sequences.units, discounted, unbiased, heads, lam=LAMBDA)


def contributions(context: RunContext, sequences: Sequences, by_block: np.ndarray, step: int) -> np.ndarray:
    """−Σ_t A_t ∂ log p(token t) / ∂ gate of every text and head, (W, n, N), for W advantages of blocks, (W, n, B).

    A block is `step` tokens long, which share its advantage.
    """
    lm = context.lm
    found = np.empty((len(by_block), len(sequences.units), lm.layout.n_heads), np.float32)

    def work(rows: list[int]) -> None:
        check_stop(context.stop, "measuring", resumes=True)
        scored = [sequences.scored[i] for i in rows]
        batch = pad_batch(
            [sequences.tokens[i] for i in rows], scored, pad_id=lm.tokenizer.pad_token_id, device=lm.device
        )
        placed = np.zeros((len(by_block), *batch.scored.shape))  # scored tokens end every row
        for row, (i, n) in enumerate(zip(rows, scored, strict=True)):
            placed[:, row, placed.shape[-1] - n :] = by_block[:, i, np.arange(n) // step]
        found[:, rows] = weighted_log_ratios(lm, batch, torch.from_numpy(placed)).numpy()

    in_batches([len(tokens) for tokens in sequences.tokens], tokens_per_batch(lm.model, gradient=True), work)
    return found


def prefix_ratings(prefixes: Sequence[pa.Table], toxicity: Sequence[pa.Table], context: RunContext) -> PrefixRatings:
    """The ratings of the texts of some shards and their prefixes."""
    unfinished = [ratings for table in prefixes for ratings in table["toxicity"].to_pylist()]
    finished = np.concatenate([table["toxicity"].to_numpy() for table in toxicity])
    return PrefixRatings.of(unfinished, finished, step=_step(prefixes[0]), max_tokens=context.settings.max_new_tokens)


def _step(prefixes: pa.Table) -> int:
    return int(prefixes.schema.metadata[b"step"])


def halves(samples: Sequence[pa.Table], axis: str, context: RunContext) -> np.ndarray:
    """The half, 0 or 1, of the prompt of every text."""
    prompts = context.axis(axis).frame
    half = prompt_halves(pd.factorize(prompts["group"], sort=True)[0], seed=context.settings.seed)
    ids = [prompt_id for table in samples for prompt_id in table["prompt_id"].to_pylist()]
    return pd.Series(half, index=prompts["prompt_id"].to_numpy()).loc[ids].to_numpy()
