"""score_heads(): fills a study, stage by stage, within a budget; everything it finishes is kept.

Stages, in this order, so that a run cut short already has something to show:

1. text: gradient on many windows, exact knock-out of all heads on a few (gives z_ppl, hence the protected heads);
2. for each axis: continuations of the intact model, their toxicity, gradient log-ratios of all heads (gives z_bias);
3. for each axis: exact knock-out on some samples, where the budget has any.

A stage is a list of shards, and a shard that is on disk is never computed again: so resuming, extending by more
samples or more axes, and scoring with another scorer are all the same call.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version

import pandas as pd
import pyarrow as pa

from .errors import Cancelled, InputError, nearest
from .measure import Sequences, gradient_table, knockout_table, samples_table, toxicity_table
from .models import LanguageModel
from .perplexity import token_windows
from .plan import sample_order, shuffled
from .progress import ProgressCallback, StageClock, Stop
from .prompts import PromptSet, load_prompts
from .sampling import SamplingSettings, encode_prompts
from .study import Manifest, Study, create_study, open_study, study_folder
from .text import TextSet, load_text
from .toxicity import Scorer, open_scorer

TEXT = "text"  # the stream of text windows, beside one stream per axis


@dataclass(frozen=True)
class Budget:
    """How much is measured: samples per axis and text windows, by gradient and (some of them) by exact knock-out."""

    samples: int
    windows: int
    knockout_windows: int
    knockout_samples: int = 0


# quick: one axis of the default model within 10 minutes on 2 cores.
BUDGETS = {
    "quick": Budget(samples=2048, windows=64, knockout_windows=4),
    "standard": Budget(samples=10240, windows=128, knockout_windows=16, knockout_samples=128),
}


@dataclass(frozen=True)
class StudySettings:
    """What a study's numbers depend on besides model and data; fixed when the study is made."""

    seed: int = 0
    max_new_tokens: int = 20  # the published recipe samples 40; the first 20 carry most of the signal at half the cost
    window_tokens: int = 128
    samples_per_shard: int = 128  # about 30 s of work for the default model on 2 cores
    windows_per_shard: int = 16
    knockout_samples_per_shard: int = 8


def score_heads(
    lm: LanguageModel,
    *,
    axes: Sequence[str],
    budget: str | Budget = "quick",
    prompts: PromptSet | None = None,
    text: TextSet | None = None,
    scorer: Scorer | None = None,
    name: str | None = None,
    root: str | os.PathLike | None = None,
    settings: StudySettings | None = None,
    progress: ProgressCallback | None = None,
    stop: Stop | None = None,
) -> Study:
    """Measure every head's effect on perplexity and on the bias of `axes`; returns the study, resumed or new.

    Raises InputError for unknown axes, a budget that does not exist, or a study of that name made otherwise;
    Cancelled when `stop()` turns true, with all finished shards kept.
    """
    budget = _budget(budget)
    prompts, text, scorer = prompts or load_prompts(), text or load_text(), scorer or open_scorer()
    for axis in axes:
        if axis not in prompts.axes:
            raise InputError(f"unknown axis '{axis}'; {nearest(axis, prompts.axes)}")
    if not axes:
        raise InputError(f"no axis to score; choose one or more of: {', '.join(prompts.axes)}")
    study = _open_or_create(lm, prompts, text, name or lm.name, root, settings)
    with study.writing():
        run = _Run(lm, study, scorer, progress, stop)
        study.update(
            axes=[a for a in prompts.axes if a in {*axes, *study.axes}],
            scorers={**study.manifest.scorers, scorer.name: scorer.fingerprint},
        )
        run.text_stages(budget)
        for axis in axes:
            run.axis_stages(axis, budget)
    return study


class _Run:
    """One call of `score_heads`: the study being written, and who is told."""

    def __init__(
        self, lm: LanguageModel, study: Study, scorer: Scorer, progress: ProgressCallback | None, stop: Stop | None
    ) -> None:
        self.lm, self.study, self.scorer, self.progress, self.stop = lm, study, scorer, progress, stop
        self.settings = StudySettings(**study.manifest.settings)

    def text_stages(self, budget: Budget) -> None:
        """Gradient on all windows of the budget, knock-out of all heads on the first few."""
        windows = self.study.windows
        windows = windows[windows["split"] == "valid"].reset_index(drop=True)
        order = shuffled(len(windows), seed=self.settings.seed, stream=TEXT)
        tokens = [windows["token_ids"][i].tolist() for i in order]

        def sequences(units: range) -> Sequences:
            inside = [u for u in units if u < len(tokens)]
            chosen = [tokens[u] for u in inside]
            return Sequences(inside, chosen, [len(t) - 1 for t in chosen])

        self._ratio_stage(
            "gradient", TEXT, min(budget.windows, len(tokens)), self.settings.windows_per_shard, sequences
        )
        self._ratio_stage("knockout", TEXT, min(budget.knockout_windows, len(tokens)), 1, sequences)

    def axis_stages(self, axis: str, budget: Budget) -> None:
        """Sample, score toxicity, gradient; then knock-out of all heads on the first samples."""
        prompts = self.study.prompts.select(axes=[axis], split="valid").frame
        size = self.settings.samples_per_shard
        shards = list(_ranges(budget.samples, size))
        self._stage(f"sampling {axis}", "texts", [
            (f"samples.{axis}.{i:05d}.parquet", len(units), lambda units=units: self._sample(axis, prompts, units))
            for i, units in enumerate(shards)
        ])  # fmt: skip
        self._stage(f"toxicity {axis}", "texts", [
            (f"toxicity.{self.scorer.name}.{axis}.{i:05d}.parquet", len(units),
             lambda i=i: self._toxicity(prompts, f"samples.{axis}.{i:05d}.parquet"))
            for i, units in enumerate(shards)
        ])  # fmt: skip

        def sequences(units: range) -> Sequences:
            return self._sample_sequences(axis, prompts, units)

        self._ratio_stage("gradient", axis, budget.samples, size, sequences)
        step = self.settings.knockout_samples_per_shard
        self._ratio_stage("knockout", axis, min(budget.knockout_samples, budget.samples), step, sequences)

    def _ratio_stage(
        self, kind: str, stream: str, n_units: int, size: int, sequences: Callable[[range], Sequences]
    ) -> None:
        heads = list(range(self.lm.layout.n_heads))
        tag = "" if kind == "gradient" else f".{heads_tag(heads)}"

        def table(units: range) -> pa.Table:
            if kind == "gradient":
                return gradient_table(self.lm, sequences(units), self.stop)
            return knockout_table(self.lm, sequences(units), heads, self.stop)

        self._stage(f"{kind} {stream}", "windows" if stream == TEXT else "texts", [
            (f"{kind}.{stream}.{i:05d}{tag}.parquet", len(units), lambda units=units: table(units))
            for i, units in enumerate(_ranges(n_units, size))
        ])  # fmt: skip

    def _stage(self, stage: str, unit: str, shards: Iterable[tuple[str, int, Callable[[], pa.Table]]]) -> None:
        """Compute and store the shards (name, units, work) that are not on disk yet."""
        shards = list(shards)
        already = sum(n for name, n, _ in shards if self.study.has_shard(name))
        clock = StageClock(stage, sum(n for _, n, _ in shards), unit, self.progress, already=already)
        for name, n, work in shards:
            if self.study.has_shard(name):
                continue
            if self.stop is not None and self.stop():
                raise Cancelled("scoring was stopped; run it again to go on where it ended")
            self.study.write_shard(name, work())
            clock.step(n)

    def _sample(self, axis: str, prompts: pd.DataFrame, units: range) -> pa.Table:
        order = sample_order(prompts, seed=self.settings.seed, axis=axis, start=units.start, stop=units.stop)
        return samples_table(
            self.lm, prompts, order, units.start, seed=self.settings.seed, settings=self._sampling(), stop=self.stop
        )

    def _toxicity(self, prompts: pd.DataFrame, samples: str) -> pa.Table:
        table = self.study.read_shard(samples)
        texts = sample_texts(table, prompts)
        return toxicity_table(self.scorer, table["unit"].to_pylist(), texts)

    def _sample_sequences(self, axis: str, prompts: pd.DataFrame, units: range) -> Sequences:
        size = self.settings.samples_per_shard
        shards = range(units.start // size, (units.stop - 1) // size + 1)
        table = pa.concat_tables([self.study.read_shard(f"samples.{axis}.{i:05d}.parquet") for i in shards])
        table = table.slice(units.start - shards.start * size, len(units))
        by_id = prompts.set_index("prompt_id")["prompt"]
        starts, _ = encode_prompts(
            self.lm, by_id.loc[table["prompt_id"].to_pylist()].tolist(), self.settings.max_new_tokens
        )
        ends = table["token_ids"].to_pylist()
        tokens = [start + end for start, end in zip(starts, ends, strict=True)]
        return Sequences(list(units), tokens, [len(end) for end in ends])

    def _sampling(self) -> SamplingSettings:
        return SamplingSettings(max_new_tokens=self.settings.max_new_tokens)


def sample_texts(samples: pa.Table, prompts: pd.DataFrame) -> list[str]:
    """prompt + continuation of each row of a samples shard."""
    by_id = prompts.set_index("prompt_id")["prompt"]
    starts = by_id.loc[samples["prompt_id"].to_pylist()]
    return [start + end for start, end in zip(starts, samples["continuation"].to_pylist(), strict=True)]


def heads_tag(heads: Sequence[int]) -> str:
    """A short name for a set of heads (flat ids), used in the file names of knock-out shards."""
    return hashlib.sha256(json.dumps(list(heads)).encode()).hexdigest()[:8]


def _ranges(n: int, size: int) -> Iterable[range]:
    """Whole shards of `size` units that hold at least the first `n` units of a stream."""
    return (range(start, start + size) for start in range(0, n, size))


def _budget(budget: str | Budget) -> Budget:
    if isinstance(budget, Budget):
        return budget
    if budget not in BUDGETS:
        raise InputError(f"unknown budget '{budget}'; {nearest(budget, BUDGETS)}")
    return BUDGETS[budget]


def _open_or_create(
    lm: LanguageModel, prompts: PromptSet, text: TextSet, name: str, root: str | os.PathLike | None,
    settings: StudySettings | None,
) -> Study:  # fmt: skip
    folder = study_folder(name, root)
    if (folder / "manifest.json").exists():
        study = open_study(name, root)
        _check_same(study, lm, prompts, text, settings)
        return study
    settings = settings or StudySettings()
    windows = token_windows(lm.tokenizer, text.frame, length=settings.window_tokens)
    manifest = Manifest(
        name=name, created=datetime.now(UTC).isoformat(timespec="seconds"),
        model={
            "ref": lm.ref, "name": lm.name, "class": type(lm.model).__name__, "fingerprint": lm.fingerprint,
            "n_layers": lm.layout.n_layers, "heads_per_layer": lm.layout.heads_per_layer,
            "head_dim": lm.layout.head_dim, "query_group": lm.layout.query_group,
            "dtype": str(lm.dtype).removeprefix("torch."), "device": lm.device.type,
        },
        prompts={"name": prompts.name, "fingerprint": prompts.fingerprint},
        text={"name": text.name, "fingerprint": text.fingerprint},
        settings=asdict(settings), versions=library_versions(),
    )  # fmt: skip
    return create_study(folder, manifest, prompts, windows)


def library_versions() -> dict[str, str]:
    """Versions of what the numbers depend on."""
    names = ("torch", "transformers", "tokenizers", "numpy", "scipy", "pandas", "pyarrow")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}


def _check_same(
    study: Study, lm: LanguageModel, prompts: PromptSet, text: TextSet, settings: StudySettings | None
) -> None:
    """Raise InputError unless the study was made with the same model, data and settings."""
    made = study.manifest
    pairs = {
        "model": (made.model["fingerprint"], lm.fingerprint),
        "number format": (made.model["dtype"], str(lm.dtype).removeprefix("torch.")),
        "prompt set": (made.prompts["fingerprint"], prompts.fingerprint),
        "text": (made.text["fingerprint"], text.fingerprint),
    }
    if settings is not None:
        pairs["settings"] = (made.settings, asdict(settings))
    for what, (theirs, ours) in pairs.items():
        if theirs != ours:
            raise InputError(
                f"study '{study.name}' was made with another {what} ({theirs}, now {ours}); "
                "give this run another study name with --name"
            )
