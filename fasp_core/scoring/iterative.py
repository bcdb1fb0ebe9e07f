"""The order of `fasp_iterative`: prune a few heads, sample from what is left, score the remaining heads again, repeat.

FASP's weakness, as its authors say, is that heads are scored one at a time: two heads that do the same work look
harmless alone, and what a head does may change once others are gone. Here every stage prunes the next few heads, then
scores the remaining ones *in the pruned model*, by the gradient tier on its own continuations. The heads that γ
protects, by z_ppl of the intact model, stay protected throughout. The order is nested, so one run serves every α.

The first stage takes the study's scores. A later one continues the study's own first `samples` prompts with the same
noise, so that the texts differ only where pruning changed them. Its scores z_S come from fewer samples than the
study's z. The intact model's scores from those same samples, z₀, show what their choice adds by chance and correct
for it: z_S + β (z − z₀), with β the slope of z_S on z₀ over the remaining heads (a control variate). With all of the
study's samples this is z_S.

A stage is one shard of the study, `order.<axis>.g<γ>.<stage>.parquet`: resuming goes on with the next.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from fasp_core.errors import InputError
from fasp_core.models.heads import gate_heads
from fasp_core.models.language_model import LanguageModel
from fasp_core.progress import ProgressCallback, StageClock, Stop, check_stop
from fasp_core.scoring.context import RunContext
from fasp_core.scoring.log_ratios import gradient_table, sample_sequences
from fasp_core.scoring.texts import samples_table
from fasp_core.selection.rules import gamma_key
from fasp_core.selection.select_heads import head_count, protected_heads
from fasp_core.stats.axis_sums import AxisSamples, AxisSums
from fasp_core.stats.bias import head_effects
from fasp_core.study.shard_names import ORDER, order_name, shard_of
from fasp_core.study.shard_tables import table_ratios
from fasp_core.study.study import Study
from fasp_core.study.views import axis_samples
from fasp_core.toxicity.rated import rated_texts
from fasp_core.toxicity.scorers import Scorer, score_texts

Rescore = Callable[[Sequence[int]], np.ndarray]  # flat ids of the pruned heads -> z_bias of all heads, (N)


@dataclass(frozen=True)
class IterativeSettings:
    """How finely heads are pruned, and on how many continuations the remaining ones are scored again."""

    samples: int = 512  # some 3 minutes a stage for the default model on 2 cores
    step: float = 0.04  # share of all heads that one stage prunes

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise InputError(f"a stage of fasp_iterative needs samples, not {self.samples}")
        if not 0 < self.step <= 1:
            raise InputError(f"a stage of fasp_iterative prunes a share of the heads above 0, not {self.step}")


@dataclass(frozen=True)
class PruningStage:
    """The heads that one stage prunes, flat ids in their order, and what each scored at that stage."""

    heads: tuple[int, ...]
    z: tuple[float, ...]


def prune_in_stages(
    rescore: Rescore, *, n_heads: int, protected: Sequence[int], count: int, size: int, pruned: Sequence[int] = ()
) -> Iterator[PruningStage]:
    """Stages of `size` heads until at least `count` are pruned; `pruned` are those of earlier stages, in order.

    Each takes the remaining unprotected heads with the highest score, ties by the lowest flat id.
    """
    order = list(pruned)
    while len(order) < count:
        z = rescore(order)
        left = np.setdiff1d(np.arange(n_heads), [*protected, *order])
        chosen = left[np.argsort(-z[left], kind="stable")][:size]
        order += chosen.tolist()
        yield PruningStage(tuple(chosen.tolist()), tuple(z[chosen].tolist()))


def iterative_order(
    lm: LanguageModel,
    study: Study,
    scorer: Scorer,
    *,
    axis: str,
    gamma: float,
    alpha: float,
    settings: IterativeSettings | None = None,
    progress: ProgressCallback | None = None,
    stop: Stop | None = None,
) -> list[int]:
    """Find and keep the order of the first ⌊αN⌋ heads or more, as flat ids, going on from the stages on disk.

    Raises InputError where the stages on disk were made with other settings, Cancelled between batches once `stop()`.
    """
    settings = settings or IterativeSettings()
    scores = study.scores(scorer.name)
    count = head_count(alpha, scores.n_heads)
    size = max(1, head_count(settings.step, scores.n_heads))
    if count > scores.n_heads - head_count(gamma, scores.n_heads):
        raise InputError(f"alpha {alpha} is more than 1 − gamma = {1 - gamma:g}; lower one of them")
    with study.writing():
        done = _stored_stages(study, axis, gamma, settings)
        order = [head for stage in done for head in stage["heads"]]
        protected = done[0]["protected"] if done else protected_heads(scores, gamma).tolist()
        rescore = StageScorer(lm, study, scorer, axis, scores.z_bias(axis), settings.samples, stop)
        total = -(-count // size)
        clock = StageClock(
            f"fasp_iterative, gamma {gamma_key(gamma)}", max(total, len(done)), "stages", progress, already=len(done)
        )
        stages = prune_in_stages(
            rescore, n_heads=scores.n_heads, protected=protected, count=count, size=size, pruned=order
        )
        for number, stage in enumerate(stages, start=len(done)):
            made = {"gamma": gamma_key(gamma), "protected": protected, "settings": asdict(settings)}
            table = pa.table({"head": pa.array(stage.heads, pa.int32()), "z_bias": pa.array(stage.z, pa.float64())})
            study.write_shard(
                order_name(axis, gamma_key(gamma), number),
                table.replace_schema_metadata({"stage": json.dumps(made)}),
            )
            order += stage.heads
            clock.step()
    return order


class StageScorer:
    """z_bias of all heads in the model without the `pruned` ones, (N); see the head of this file."""

    def __init__(
        self, lm: LanguageModel, study: Study, scorer: Scorer, axis: str, z: np.ndarray, n: int, stop: Stop | None
    ) -> None:
        self.axis, self.z = axis, z
        self.context = RunContext.of(study, lm, scorer, stop)
        self.intact = replace(axis_samples(study, axis, scorer=scorer.name).first(n), knockout=None, regenerated=None)
        self.n = self.intact.toxicity.size

    def __call__(self, pruned: Sequence[int]) -> np.ndarray:
        """The study's scores where nothing is pruned, else those of fresh continuations of the pruned model."""
        if not pruned:
            return self.z
        z_pruned, z_intact = _z(self._sampled(pruned)), _z(self.intact)
        left = np.setdiff1d(np.arange(z_pruned.size), pruned)
        spread = z_intact[left].var()
        slope = np.cov(z_pruned[left], z_intact[left], ddof=0)[0, 1] / spread if spread > 0 else 0.0
        return z_pruned + min(max(slope, 0.0), 1.0) * (self.z - z_intact)

    def _sampled(self, pruned: Sequence[int]) -> AxisSamples:
        """The first `n` samples again, from the pruned model, with the log-ratios of all heads there."""
        context, layout = self.context, self.context.lm.layout
        size, parts = context.settings.samples_per_shard, []
        with gate_heads(context.lm.model, off=[layout.head(flat_id) for flat_id in pruned]):
            for start in range(0, self.n, size):
                check_stop(context.stop, "fasp_iterative", resumes=True)
                parts.append(self._batch(range(start, min(start + size, self.n))))
        ids, ends, ratios = zip(*parts, strict=True)
        prompt_ids = np.concatenate(ids)
        prompts = context.axis(self.axis).frame.set_index("prompt_id").loc[prompt_ids]
        texts = rated_texts(prompts["prompt"], chain.from_iterable(ends), context.settings)
        return AxisSamples(
            score_texts(context.scorer, texts),
            pd.Categorical(prompts["group"], categories=self.intact.groups).codes.astype(int),
            _codes(prompt_ids),
            self.intact.shares,
            self.intact.groups,
            np.concatenate(ratios),
        )

    def _batch(self, units: range) -> tuple[list[int], list[str], np.ndarray]:
        """The prompt ids of units, their continuations and log-ratios, (units, N), by the model as it is gated."""
        table = samples_table(self.context, self.axis, units)
        prompt_ids, ends = table["prompt_id"].to_pylist(), table["token_ids"].to_pylist()
        sequences = sample_sequences(self.context, self.axis, list(units), prompt_ids, ends)
        ratios = table_ratios(gradient_table(self.context.lm, sequences, self.context.stop))[1]
        return prompt_ids, table["continuation"].to_pylist(), ratios


def _z(samples: AxisSamples) -> np.ndarray:
    return head_effects(AxisSums.of(samples), replicates=2, splits=1).z


def _codes(values: np.ndarray | pd.Series) -> np.ndarray:
    return np.unique(values, return_inverse=True)[1]


def _stored_stages(study: Study, axis: str, gamma: float, settings: IterativeSettings) -> list[dict[str, Any]]:
    """The stages on disk: their heads, the protected heads and the settings."""
    stages, key = [], gamma_key(gamma)
    for name in study.shard_names(ORDER, axis):
        if shard_of(name).gamma == key:
            table = study.read_shard(name)
            stages.append({**json.loads(table.schema.metadata[b"stage"]), "heads": table["head"].to_pylist()})
    for made in stages:
        if made["settings"] != asdict(settings):
            raise InputError(
                f"study '{study.name}' has an order of fasp_iterative for {axis} at gamma {key} made with "
                f"{made['settings']}; ask for the same, or delete its files {ORDER}.{axis}.g{key}.*.parquet"
            )
    return stages
