"""Filling a study's shards: the order of units, the work behind each shard, and what is on disk already.

A *stream* is `text` or an axis; its units have a fixed order, so every shard has one name and one content.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import groupby

import pandas as pd
import pyarrow as pa
import torch

from .errors import Cancelled
from .likelihood import likelihood_gradient, likelihood_knockout
from .likelihood_effects import doubtful_heads
from .measure import Sequences, gradient_table, knockout_table, regenerated_table, samples_table
from .models import LanguageModel
from .odds import GRADIENT, KNOCKOUT, odds_samples, odds_table, study_pairs
from .pairs import PairSet
from .plan import each_prompt_once, sample_order, shuffled
from .precision import precision_error
from .progress import ProgressCallback, StageClock, Stop
from .rescoring import rated_texts
from .sampling import SamplingSettings, encode_prompts
from .study import Study
from .toxicity import Scorer

TEXT = "text"  # the stream of text windows, beside one stream per axis


@dataclass(frozen=True)
class StudySettings:
    """What a study's numbers depend on besides model and data; fixed when the study is made."""

    seed: int = 0
    max_new_tokens: int = 20  # the published recipe samples 40; the first 20 carry most of the signal at half the cost
    window_tokens: int = 128
    window_stride: int | None = None  # None: windows follow each other within an article
    samples_per_shard: int = 128  # some 15 s of work for the default model on 2 cores
    windows_per_shard: int = 16
    knockout_samples_per_shard: int = 8
    odds_per_shard: int = 60  # prompts whose log-odds are measured; some 15 s of work likewise
    top_k: int | None = None  # the model's own distribution, which re-weighting needs
    lowercase: bool = False  # before toxicity is scored; the published recipe does


@dataclass(frozen=True)
class Shard:
    """One file to be: its name, how many units it holds, and the work that makes it."""

    name: str
    n_units: int
    work: Callable[[], pa.Table]


class ShardWriter:
    """Measures what a study lacks, shard by shard; `seconds` and `units` add up what each kind of work took."""

    def __init__(
        self, lm: LanguageModel, study: Study, scorer: Scorer, progress: ProgressCallback | None, stop: Stop | None
    ) -> None:
        self.lm, self.study, self.scorer, self.progress, self.stop = lm, study, scorer, progress, stop
        self.settings = StudySettings(**study.manifest.settings)
        self.all_heads = list(range(lm.layout.n_heads))
        self.seconds: dict[str, float] = {}
        self.units: dict[str, int] = {}
        self._axis_prompts: dict[str, pd.DataFrame] = {}

    @cached_property
    def windows(self) -> list[list[int]]:
        """Token ids of the windows that heads are scored on, in the stream's order."""
        frame = self.study.windows
        valid = frame.loc[frame["split"] == "valid", "token_ids"].tolist()
        return [valid[i].tolist() for i in shuffled(len(valid), seed=self.settings.seed, stream=TEXT)]

    def precision(self) -> None:
        """Measure, once, what a reduced precision does to log-ratios, and keep it in the manifest."""
        if self.lm.dtype != torch.float32 and not self.study.manifest.precision:
            error = precision_error(self.lm, self._windows(range(len(self.windows))))
            self.study.update(precision={"dtype": str(self.lm.dtype).removeprefix("torch."), **asdict(error)})

    def gradient_windows(self, n: int) -> None:
        """First-order log-ratios of all heads on the first `n` windows."""
        ranges = _ranges(min(n, len(self.windows)), self.settings.windows_per_shard)
        self._fill("gradient", TEXT, "windows", [
            Shard(gradient_name(TEXT, i), len(units), lambda units=units: self._gradient(self._windows(units)))
            for i, units in enumerate(ranges)
        ])  # fmt: skip

    def knockout_windows(self, units: range, heads: Sequence[int]) -> None:
        """Exact log-ratios of `heads` on windows, one shard each."""

        def work(u: int) -> pa.Table:
            return self._knockout(self._windows(range(u, u + 1)), heads)

        self._fill("knockout", TEXT, "knock-outs", [
            Shard(knockout_name(TEXT, u, heads), len(heads), lambda u=u: work(u))
            for u in units if u < len(self.windows)
        ])  # fmt: skip

    def samples(self, axis: str, n: int) -> None:
        """The first `n` continuations of an axis, their toxicity, and first-order log-ratios of all heads."""
        shards = list(enumerate(_ranges(n, self.settings.samples_per_shard)))
        self._fill("sampling", axis, "texts", [
            Shard(samples_name(axis, i), len(units), lambda units=units: self._sample(axis, units))
            for i, units in shards
        ])  # fmt: skip
        self._fill("toxicity", axis, "texts", [
            Shard(toxicity_name(self.scorer.name, axis, i), len(units),
                  lambda i=i: self._rated(axis, samples_name(axis, i)))
            for i, units in shards
        ])  # fmt: skip
        self._fill("gradient", axis, "texts", [
            Shard(gradient_name(axis, i), len(units), lambda units=units: self._gradient(self._texts(axis, units)))
            for i, units in shards
        ])  # fmt: skip

    def knockout_samples(self, axis: str, shards: range, heads: Sequence[int]) -> None:
        """Exact log-ratios of `heads` on samples that are there already, `knockout_samples_per_shard` to a shard."""
        size = self.settings.knockout_samples_per_shard

        def work(i: int) -> pa.Table:
            return self._knockout(self._texts(axis, range(i * size, (i + 1) * size)), heads)

        self._fill("knockout", axis, "knock-outs", [
            Shard(knockout_name(axis, i, heads), size * len(heads), lambda i=i: work(i)) for i in shards
        ])  # fmt: skip

    def likelihood(self, axis: str, n: int, exact: int = 0) -> None:
        """Log-odds of the study's pairs after `n` of an axis's prompts, with first-order changes of all heads.

        On the first `exact` prompts also exact changes: of all heads in the first shard of these, and then of those
        heads whose first order it shows to be doubtful.
        """
        size = self.settings.knockout_samples_per_shard
        self._fill("likelihood", axis, "prompts", self._odds_shards(axis, n, self.settings.odds_per_shard, None))
        for first, last in ((0, 1), (1, None)) if exact else ():
            heads = self.all_heads if first == 0 else doubtful_heads(odds_samples(self.study, axis))
            if heads:
                shards = self._odds_shards(axis, exact, size, heads)[first:last]
                self._fill("likelihood knockout", axis, "knock-outs", shards)

    def _odds_shards(self, axis: str, n: int, size: int, heads: list[int] | None) -> list[Shard]:
        pairs = study_pairs(self.study)
        once = each_prompt_once(self._prompts(axis), seed=self.settings.seed, axis=axis, n_blocks=pairs.n_blocks)
        kind, ranges = KNOCKOUT if heads else GRADIENT, _ranges(min(n, len(once)), size)
        return [
            Shard(odds_name(kind, axis, i, heads), min(size, len(once) - units.start) * len(heads or [0]),
                  lambda units=units: self._odds(axis, once.iloc[units.start : units.stop], pairs, heads))
            for i, units in enumerate(ranges)
        ]  # fmt: skip

    def regenerate(self, axis: str, n: int, heads: Sequence[int]) -> None:
        """Sample the first `n` units again with each of `heads` knocked out; a shard holds heads of one layer."""
        per_layer = self.lm.layout.heads_per_layer
        layers = [list(group) for _, group in groupby(sorted(heads), key=lambda h: h // per_layer)]
        shards = [
            (i, units, some) for i, units in enumerate(_ranges(n, self.settings.samples_per_shard)) for some in layers
        ]
        self._fill("regenerate", axis, "texts", [
            Shard(regenerated_name(axis, i, some), len(units) * len(some),
                  lambda units=units, some=some: self._regenerate(axis, units, some))
            for i, units, some in shards
        ])  # fmt: skip
        self._fill("retoxicity", axis, "texts", [
            Shard(retoxicity_name(self.scorer.name, axis, i, some), len(units) * len(some),
                  lambda i=i, some=some: self._rated(axis, regenerated_name(axis, i, some)))
            for i, units, some in shards
        ])  # fmt: skip

    def _fill(self, kind: str, stream: str, unit: str, shards: list[Shard]) -> None:
        """Compute and store the shards that are not on disk yet."""
        if not shards:
            return
        stage, total = f"{kind} {stream}", sum(shard.n_units for shard in shards)
        missing = [shard for shard in shards if not self.study.has_shard(shard.name)]
        already = total - sum(shard.n_units for shard in missing)
        clock = StageClock(stage, total, unit, self.progress, already=already)
        for shard in missing:
            if self.stop is not None and self.stop():
                raise Cancelled("scoring was stopped; run it again to go on where it ended")
            started = time.monotonic()
            self.study.write_shard(shard.name, shard.work())
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.monotonic() - started
            self.units[stage] = self.units.get(stage, 0) + shard.n_units
            clock.step(shard.n_units)

    def _gradient(self, sequences: Sequences) -> pa.Table:
        return gradient_table(self.lm, sequences, self.stop)

    def _knockout(self, sequences: Sequences, heads: Sequence[int]) -> pa.Table:
        return knockout_table(self.lm, sequences, heads, self.stop)

    def _odds(self, axis: str, order: pd.DataFrame, pairs: PairSet, heads: list[int] | None) -> pa.Table:
        prompts = self._prompts(axis).set_index("prompt_id")["prompt"].loc[order["prompt_id"]].tolist()
        stems = pairs.block_stems(order["block"])
        if heads is None:
            measured = likelihood_gradient(self.lm, prompts, pairs, stems=stems, stop=self.stop)
        else:
            measured = likelihood_knockout(self.lm, prompts, pairs, heads, stems=stems, stop=self.stop)
        return odds_table(order, stems, *measured, self.all_heads if heads is None else heads)

    def _windows(self, units: range) -> Sequences:
        inside = [u for u in units if u < len(self.windows)]
        tokens = [self.windows[u] for u in inside]
        return Sequences(inside, tokens, [len(t) - 1 for t in tokens])

    def _prompts(self, axis: str) -> pd.DataFrame:
        if axis not in self._axis_prompts:
            self._axis_prompts[axis] = self.study.prompts.select(axes=[axis], split="valid").frame
        return self._axis_prompts[axis]

    def _sample(self, axis: str, units: range) -> pa.Table:
        return samples_table(
            self.lm, self._prompts(axis), self._order(axis, units), units.start, seed=self.settings.seed,
            settings=self._sampling, stop=self.stop,
        )  # fmt: skip

    def _regenerate(self, axis: str, units: range, heads: list[int]) -> pa.Table:
        return regenerated_table(
            self.lm, self._prompts(axis), self._order(axis, units), units.start, heads, seed=self.settings.seed,
            settings=self._sampling, stop=self.stop,
        )  # fmt: skip

    def _order(self, axis: str, units: range) -> pd.DataFrame:
        prompts = self._prompts(axis)
        return sample_order(prompts, seed=self.settings.seed, axis=axis, start=units.start, stop=units.stop)

    @property
    def _sampling(self) -> SamplingSettings:
        return SamplingSettings(max_new_tokens=self.settings.max_new_tokens, top_k=self.settings.top_k)

    def _rated(self, axis: str, texts: str) -> pa.Table:
        return rated_texts(self.study, self.scorer, axis, self._prompts(axis), self.study.read_shard(texts))

    def _texts(self, axis: str, units: range) -> Sequences:
        size = self.settings.samples_per_shard
        shards = range(units.start // size, (units.stop - 1) // size + 1)
        table = pa.concat_tables([self.study.read_shard(samples_name(axis, i)) for i in shards])
        table = table.slice(units.start - shards.start * size, len(units))
        prompts = self._prompts(axis).set_index("prompt_id")["prompt"].loc[table["prompt_id"].to_pylist()]
        starts, _ = encode_prompts(self.lm, prompts.tolist(), self.settings.max_new_tokens)
        ends = table["token_ids"].to_pylist()
        tokens = [start + end for start, end in zip(starts, ends, strict=True)]
        return Sequences(list(units)[: len(ends)], tokens, [len(end) for end in ends])


def samples_name(axis: str, shard: int) -> str:
    """File name of a shard of continuations."""
    return f"samples.{axis}.{shard:05d}.parquet"


def toxicity_name(scorer: str, axis: str, shard: int) -> str:
    """File name of a shard of toxicities."""
    return f"toxicity.{scorer}.{axis}.{shard:05d}.parquet"


def regenerated_name(axis: str, shard: int, heads: Sequence[int]) -> str:
    """File name of a shard of texts sampled with heads knocked out, one after the other."""
    return f"regenerated.{axis}.{shard:05d}.{_digest(heads)}.parquet"


def retoxicity_name(scorer: str, axis: str, shard: int, heads: Sequence[int]) -> str:
    """File name of the toxicities of such a shard."""
    return f"retoxicity.{scorer}.{axis}.{shard:05d}.{_digest(heads)}.parquet"


def gradient_name(stream: str, shard: int) -> str:
    """File name of a shard of first-order log-ratios."""
    return f"gradient.{stream}.{shard:05d}.parquet"


def knockout_name(stream: str, shard: int, heads: Sequence[int]) -> str:
    """File name of a knock-out shard; which heads (flat ids) it holds is part of the name, as a digest."""
    return f"knockout.{stream}.{shard:05d}.{_digest(heads)}.parquet"


def odds_name(kind: str, axis: str, shard: int, heads: Sequence[int] | None = None) -> str:
    """File name of a shard of log-odds; a knock-out shard's names its heads."""
    return f"{kind}.{axis}.{shard:05d}{'' if heads is None else '.' + _digest(heads)}.parquet"


def _digest(heads: Sequence[int]) -> str:
    return hashlib.sha256(json.dumps([int(h) for h in heads]).encode()).hexdigest()[:8]


def _ranges(n: int, size: int) -> Iterable[range]:
    """Whole shards of `size` units that hold at least the first `n` units of a stream."""
    return (range(start, start + size) for start in range(0, n, size))
