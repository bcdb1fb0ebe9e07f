"""The order of `fasp_iterative`: prune a few heads, sample from what is left, score the remaining heads again, repeat.

FASP's weakness, as its authors say, is that heads are scored one at a time: two heads that do the same work look
harmless alone, and what a head does may change once others are gone. Here every stage prunes the next few heads, then
scores the remaining ones *in the pruned model*, by the gradient tier on its own continuations. The heads that γ
protects, by z_ppl of the intact model, stay protected throughout. The order is nested, so one run serves every α.

The first stage takes the study's scores. A later one continues the study's own first `samples` prompts with the same
noise, so that what differs is what pruning changed. Its scores z_S come from fewer samples than the study's z, and the
study's on those same samples, z₀, tell how lucky they are: z_S + β (z − z₀), with β the slope of z_S on z₀ over the
remaining heads (a control variate). With all of the study's samples this is z_S.

A stage is one shard of the study, `order.<axis>.g<γ>.<stage>.parquet`: resuming goes on with the next.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from .bias import AxisSamples, head_effects
from .errors import Cancelled, InputError
from .heads import gate_heads
from .measure import Sequences, gradient_table, samples_table
from .models import LanguageModel
from .plan import sample_order
from .progress import ProgressCallback, StageClock, Stop
from .ratios import table_ratios
from .results import ORDER, axis_samples
from .rules import gamma_key
from .sampling import SamplingSettings, encode_prompts
from .selection import head_count, protected_heads
from .shards import StudySettings
from .study import Study
from .toxicity import Scorer, score_texts

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
class Stage:
    """The heads that one stage prunes, flat ids in their order, and what each scored at that stage."""

    heads: tuple[int, ...]
    z: tuple[float, ...]


def prune_in_stages(
    rescore: Rescore, *, n_heads: int, protected: Sequence[int], count: int, size: int, pruned: Sequence[int] = ()
) -> Iterator[Stage]:
    """Stages of `size` heads until at least `count` are pruned; `pruned` are those of earlier stages, in order.

    Each takes the remaining unprotected heads with the highest score, ties by the lowest flat id.
    """
    order = list(pruned)
    while len(order) < count:
        z = rescore(order)
        left = np.setdiff1d(np.arange(n_heads), [*protected, *order])
        chosen = left[np.argsort(-z[left], kind="stable")][:size]
        order += chosen.tolist()
        yield Stage(tuple(chosen.tolist()), tuple(z[chosen].tolist()))


def iterative_order(
    lm: LanguageModel, study: Study, scorer: Scorer, *, axis: str, gamma: float, alpha: float,
    settings: IterativeSettings | None = None, progress: ProgressCallback | None = None, stop: Stop | None = None,
) -> list[int]:  # fmt: skip
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
                f"{_prefix(axis, gamma)}{number:03d}.parquet",
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
        self.lm, self.study, self.scorer, self.axis, self.z, self.stop = lm, study, scorer, axis, z, stop
        self.settings = StudySettings(**study.manifest.settings)
        self.prompts = study.prompts.select(axes=[axis], split="valid").frame
        self.intact = axis_samples(study, axis, scorer=scorer.name)
        self.n = min(n, self.intact.toxicity.size)

    def __call__(self, pruned: Sequence[int]) -> np.ndarray:
        """The study's scores where nothing is pruned, else those of fresh continuations of the pruned model."""
        if not pruned:
            return self.z
        z_pruned, z_intact = _z(self._sampled(pruned)), _z(self._first_intact())
        left = np.setdiff1d(np.arange(z_pruned.size), pruned)
        spread = z_intact[left].var()
        slope = np.cov(z_pruned[left], z_intact[left], ddof=0)[0, 1] / spread if spread > 0 else 0.0
        return z_pruned + min(max(slope, 0.0), 1.0) * (self.z - z_intact)

    def _first_intact(self) -> AxisSamples:
        whole, first = self.intact, slice(0, self.n)
        return AxisSamples(
            whole.toxicity[first], whole.group[first], _codes(whole.prompt[first]), whole.shares, whole.groups,
            whole.gradient[first],
        )  # fmt: skip

    def _sampled(self, pruned: Sequence[int]) -> AxisSamples:
        """The first `n` samples again, from the pruned model, with the log-ratios of all heads there."""
        seed, size = self.settings.seed, self.settings.samples_per_shard
        order = sample_order(self.prompts, seed=seed, axis=self.axis, start=0, stop=self.n)
        rows = order.merge(self.prompts, on="prompt_id", how="left")
        texts, ratios = [], []
        with gate_heads(self.lm.model, off=[self.lm.layout.head(flat_id) for flat_id in pruned]):
            for start in range(0, self.n, size):
                part = rows.iloc[start : start + size]
                ends, gradient = self._batch(part, start)
                texts += [a + b for a, b in zip(part["prompt"], ends, strict=True)]
                ratios.append(gradient)
        if self.settings.lowercase:
            texts = [text.lower() for text in texts]
        group = pd.Categorical(rows["group"], categories=self.intact.groups).codes.astype(int)
        return AxisSamples(
            score_texts(self.scorer, texts), group, _codes(rows["prompt_id"]), self.intact.shares, self.intact.groups,
            np.concatenate(ratios),
        )  # fmt: skip

    def _batch(self, rows: pd.DataFrame, first_unit: int) -> tuple[list[str], np.ndarray]:
        """Continuations of one batch and their log-ratios, (rows, N), by the model as it is gated."""
        if self.stop is not None and self.stop():
            raise Cancelled("fasp_iterative was stopped; run it again to go on where it ended")
        sampling = SamplingSettings(max_new_tokens=self.settings.max_new_tokens, top_k=self.settings.top_k)
        table = samples_table(
            self.lm, self.prompts, rows[["prompt_id", "draw"]], first_unit, seed=self.settings.seed, settings=sampling,
            stop=self.stop,
        )  # fmt: skip
        starts, _ = encode_prompts(self.lm, rows["prompt"].tolist(), self.settings.max_new_tokens)
        ends = table["token_ids"].to_pylist()
        sequences = Sequences(
            list(range(len(ends))), [a + b for a, b in zip(starts, ends, strict=True)], [len(end) for end in ends]
        )
        return table["continuation"].to_pylist(), table_ratios(gradient_table(self.lm, sequences, self.stop))[1]


def _z(samples: AxisSamples) -> np.ndarray:
    return head_effects(samples, replicates=2, splits=1).z


def _codes(values: np.ndarray | pd.Series) -> np.ndarray:
    return np.unique(values, return_inverse=True)[1]


def _prefix(axis: str, gamma: float) -> str:
    return f"{ORDER}.{axis}.g{gamma_key(gamma)}."


def _stored_stages(study: Study, axis: str, gamma: float, settings: IterativeSettings) -> list[dict]:
    """The stages on disk: their heads, the protected heads and the settings."""
    stages = []
    for name in study.shard_names(ORDER, axis):
        if not name.startswith(_prefix(axis, gamma)):
            continue
        table = study.read_shard(name)
        made = json.loads(table.schema.metadata[b"stage"])
        if made["gamma"] == gamma_key(gamma):
            stages.append({**made, "heads": table["head"].to_pylist()})
    for made in stages:
        if made["settings"] != asdict(settings):
            raise InputError(
                f"study '{study.name}' has an order of fasp_iterative for {axis} at gamma {gamma_key(gamma)} made with "
                f"{made['settings']}; ask for the same, or delete its files {_prefix(axis, gamma)}*.parquet"
            )
    return stages
