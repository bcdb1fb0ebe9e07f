"""score_heads(): fills a study, stage by stage, within a budget; everything it finishes is kept.

Stages, in this order, so that a run cut short already has something to show:

1. text: gradient on many windows, exact knock-out of all heads on a few (gives z_ppl, hence the protected heads);
2. for each axis: continuations of the intact model, their toxicity, gradient log-ratios of all heads (gives z_bias);
3. refinement, where the budget has any: step by step, whatever settles most heads' side of the γ and α cuts per
   second (see `planner`): more samples, or exact knock-out of the heads whose side is uncertain.

A stage is a list of shards, and a shard that is on disk is never computed again: so resuming, extending by more
samples or more axes, and scoring with another scorer are all the same call.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib.metadata import version

import pyarrow as pa

from .budgets import BUDGETS, FIRST_PASS, Budget
from .errors import InputError, nearest
from .magnitude import keep_magnitudes
from .models import LanguageModel
from .odds import PAIRS, study_pairs
from .pairs import PairSet, load_pairs
from .perplexity import token_windows
from .progress import ProgressCallback, Stop
from .prompts import PromptSet, load_prompts
from .refine import refine, regenerate
from .results import METRICS
from .shards import TEXT, ShardWriter, StudySettings
from .study import Manifest, Study, create_study, open_study, study_folder
from .text import TextSet, load_text
from .toxicity import Scorer, check_same_scorer, open_scorer, open_study_scorer


def score_heads(
    lm: LanguageModel,
    *,
    axes: Sequence[str],
    metrics: Sequence[str] = ("toxicity",),
    budget: str | Budget = "quick",
    minutes: float | None = None,
    reliability: float | None = None,
    prompts: PromptSet | None = None,
    text: TextSet | None = None,
    scorer: Scorer | None = None,
    pairs: PairSet | None = None,
    name: str | None = None,
    root: str | os.PathLike | None = None,
    settings: StudySettings | None = None,
    progress: ProgressCallback | None = None,
    stop: Stop | None = None,
) -> Study:
    """Measure every head's effect on perplexity and on the bias of `axes`; returns the study, resumed or new.

    Bias is measured by the `metrics` "toxicity", "likelihood" or both; the latter, with the built-in `pairs` unless
    others are given, samples nothing and can be added to any study.
    `minutes` and `reliability` take the place of `budget`: a short first pass, then refinement until that many minutes
    have gone by in all, or until the order of the unprotected heads is that reliable on every axis.
    Raises InputError for unknown axes, a budget that does not exist, or a study of that name made otherwise;
    Cancelled when `stop()` turns true, with all finished shards kept.
    """
    started = time.monotonic()
    found = _existing(name or lm.name, root)
    given, prompts = prompts, prompts or (found.prompts if found else load_prompts())
    if scorer is None:  # the study's own, as long as anything is to be rated
        rated = found is not None and found.manifest.scorers and "toxicity" in metrics
        scorer = open_study_scorer(found) if rated else open_scorer()
    if budget == "paper":
        settings = settings or paper_settings(lm)
    for axis in axes:
        if axis not in prompts.axes:
            more = " in this study; give --prompts again to add others" if found and given is None else ""
            raise InputError(f"unknown axis '{axis}'; {nearest(axis, prompts.axes)}{more}")
    for metric in metrics:
        if metric not in METRICS:
            raise InputError(f"unknown metric '{metric}'; {nearest(metric, METRICS)}")
    if not metrics:
        raise InputError(f"no metric to measure bias by; choose one or more of: {', '.join(METRICS)}")
    if not axes:
        raise InputError(f"no axis to score; choose one or more of: {', '.join(prompts.axes)}")
    budget = _budget(budget, prompts, axes)
    if minutes is not None or reliability is not None:
        budget = _until(minutes, reliability)
    if found:
        _check_same(found, lm, given, text, settings)
        check_same_scorer(found, scorer)
    study = found or _create(lm, prompts, axes, text, name or lm.name, root, settings)
    with study.writing():
        study.add_prompts(prompts.for_study(axes))
        writer = ShardWriter(lm, study, scorer, progress, stop)
        if "toxicity" in metrics:
            study.add_scorer(scorer.name, scorer.ref, scorer.fingerprint)
            study.update(axes=[a for a in prompts.axes if a in {*axes, *study.axes}])
        writer.precision()
        keep_magnitudes(study, lm)
        if "toxicity" in metrics or not study.shard_names("gradient", TEXT):
            writer.gradient_windows(budget.windows)
            writer.knockout_windows(range(min(budget.knockout_windows, len(writer.windows))), writer.all_heads)
        if "likelihood" in metrics:
            _keep_pairs(study, pairs)
            for axis in axes:
                writer.likelihood(axis, budget.likelihood_prompts, budget.likelihood_knockout)
        if "toxicity" not in metrics:
            return study
        for axis in axes:
            writer.samples(axis, budget.samples)
            exact = min(budget.knockout_samples, budget.samples) // writer.settings.knockout_samples_per_shard
            writer.knockout_samples(axis, range(exact), writer.all_heads)
            regenerate(writer, axis, budget)
        refine(writer, axes, budget, spent_minutes=0.0 if minutes is None else (time.monotonic() - started) / 60)
    return study


def _keep_pairs(study: Study, pairs: PairSet | None) -> None:
    """Give the study its copy of the pairs; InputError where it compares others already."""
    kept = study_pairs(study)
    if kept is None:
        study.write_shard(PAIRS, pa.Table.from_pandas((pairs or load_pairs()).frame, preserve_index=False))
    elif pairs is not None and pairs.fingerprint != kept.fingerprint:
        raise InputError(f"study '{study.name}' compares other pairs; give this run another study name with --name")


def paper_settings(lm: LanguageModel) -> StudySettings:
    """The published recipe's settings: 40 tokens from the top 50, lower-cased texts, and perplexity on windows of a
    quarter of the context that begin every half context (its code halves the context twice, see docs/estimators.md).
    """
    context = min(lm.max_length or 1024, 1024)
    return StudySettings(
        max_new_tokens=40, top_k=50, lowercase=True, window_tokens=max(2, context // 4), window_stride=context // 2
    )


def _until(minutes: float | None, reliability: float | None) -> Budget:
    if minutes is not None and not 0 < minutes < float("inf"):
        raise InputError(f"minutes is {minutes}; give a number above 0, such as 30")
    if reliability is not None and not 0 < reliability < 1:
        raise InputError(f"reliability is {reliability}; give a number between 0 and 1, such as 0.9")
    return replace(FIRST_PASS, refine_minutes=minutes or 0.0, reliability=reliability)


def _budget(budget: str | Budget, prompts: PromptSet, axes: Sequence[str]) -> Budget:
    if isinstance(budget, Budget):
        return budget
    if budget == "paper":  # every prompt three times, all heads sampled again, perplexity exact on all windows
        valid = prompts.select(axes=list(axes), split="valid").frame
        samples = 3 * int(valid["axis"].value_counts().max())
        every = 10**6
        return Budget(samples, every, every, regenerate_samples=samples, regenerate_all=True)
    if budget not in BUDGETS:
        raise InputError(f"unknown budget '{budget}'; {nearest(budget, [*BUDGETS, 'paper'])}")
    return BUDGETS[budget]


def _existing(name: str, root: str | os.PathLike | None) -> Study | None:
    there = (study_folder(name, root) / "manifest.json").exists()
    return open_study(name, root) if there else None


def _create(
    lm: LanguageModel, prompts: PromptSet, axes: Sequence[str], text: TextSet | None, name: str,
    root: str | os.PathLike | None, settings: StudySettings | None,
) -> Study:  # fmt: skip
    settings, text = settings or StudySettings(), text or load_text()
    windows = token_windows(lm.tokenizer, text.frame, length=settings.window_tokens, stride=settings.window_stride)
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
        settings=asdict(settings), versions=library_versions(), notes=list(prompts.notes),
    )  # fmt: skip
    return create_study(study_folder(name, root), manifest, prompts.for_study(axes), windows)


def library_versions() -> dict[str, str]:
    """Versions of what the numbers depend on."""
    names = ("torch", "transformers", "tokenizers", "numpy", "scipy", "pandas", "pyarrow")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}


def _check_same(
    study: Study, lm: LanguageModel, prompts: PromptSet | None, text: TextSet | None, settings: StudySettings | None
) -> None:
    """Raise InputError unless the study was made with the same model, data and settings; None is not compared."""
    study.require_model()
    made = study.manifest
    pairs = {
        "model": (made.model["fingerprint"], lm.fingerprint),
        "number format": (made.model["dtype"], str(lm.dtype).removeprefix("torch.")),
    }
    if prompts is not None:
        pairs["prompt set"] = (made.prompts["fingerprint"], prompts.fingerprint)
    if text is not None:
        pairs["text"] = (made.text["fingerprint"], text.fingerprint)
    if settings is not None:
        pairs["settings"] = (StudySettings(**made.settings), settings)
    for what, (theirs, ours) in pairs.items():
        if theirs != ours:
            raise InputError(
                f"study '{study.name}' was made with another {what} ({theirs}, now {ours}); "
                "give this run another study name with --name"
            )
