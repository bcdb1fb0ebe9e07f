"""score_heads(): fills a study, stage by stage, within a budget; everything it finishes is kept.

Stages, in this order, so that a run that is stopped early already has results:

1. text: gradient on many windows, exact knock-out of all heads on a few (gives z_ppl, hence the protected heads);
2. for each axis: continuations of the intact model, their toxicity, gradient log-ratios of all heads (gives z_bias);
3. refinement, if the budget has any (see `refine`): more samples, or exact knock-out of the heads whose side of the γ
   or α cut is uncertain.

A stage is a list of shards, and a shard that is on disk is never computed again: so resuming, extending by more
samples or more axes, and scoring with another scorer are all the same call.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

import pyarrow as pa

from fasp_core.cluster.cluster import Cluster
from fasp_core.data.articles import TextSet, load_text
from fasp_core.data.pairs import PairSet, load_pairs
from fasp_core.data.prompt_set import PromptSet
from fasp_core.data.prompts import load_prompts
from fasp_core.data.sampling import TEXT_WITH_PROMPT
from fasp_core.data.windows import token_windows
from fasp_core.errors import InputError, RunError, nearest
from fasp_core.models.generation import set_aside_note
from fasp_core.models.language_model import LanguageModel
from fasp_core.models.open_model import model_place
from fasp_core.progress import ProgressCallback, Stop
from fasp_core.scoring.activation import keep_activation_differences
from fasp_core.scoring.budgets import BUDGETS, FIRST_PASS, PAPER_TOKENS, Budget, paper_budget
from fasp_core.scoring.context import RunContext
from fasp_core.scoring.magnitude import keep_magnitudes
from fasp_core.scoring.measure import (
    keep_precision,
    measure_compensated,
    measure_odds,
    measure_samples,
    measure_windows,
)
from fasp_core.scoring.refine import NothingToRank, read_more, refine, regenerate
from fasp_core.scoring.run import Run
from fasp_core.study.manifest import Manifest, StudySettings, installed_versions
from fasp_core.study.scores import METRICS
from fasp_core.study.shard_names import GRADIENT, PAIRS, TEXT
from fasp_core.study.study import Study, create_study, open_study, study_folder
from fasp_core.study.views import study_pairs
from fasp_core.toxicity.scorers import Scorer, open_scorer, reopen_scorer


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
    scored: str | None = None,
    name: str | None = None,
    root: str | os.PathLike[str] | None = None,
    settings: StudySettings | None = None,
    progress: ProgressCallback | None = None,
    stop: Stop | None = None,
    cluster: Cluster | None = None,
    compensated: bool = False,
) -> Study:
    """Measure every head's effect on perplexity and on the bias of `axes`; returns the study, resumed or new.

    Bias is measured by the `metrics` "toxicity", "likelihood" or both; the latter, with the built-in `pairs` unless
    others are given, samples nothing and can be added to any study.
    `scored` says what of a text is rated, "continuation" (a new study's default) or "text", prompt included.
    `minutes` and `reliability` take the place of `budget`: a short first pass, then refinement until that many minutes
    have gone by in all, or until the order of the unprotected heads is that reliable on every axis, by one of the
    metrics. By likelihood alone the minutes are spent on reading more prompts.
    `compensated` measures perplexity and likelihood a second time, of what the other heads of a layer cannot supply of
    each: `study.scores(metric="likelihood", compensate="least_squares")`.
    With a `cluster` its workers measure, on the same model as `lm`, and this process alone writes the study.
    Raises InputError for unknown axes, a budget that does not exist, or a study of that name made otherwise; RunError
    for a reliability that cannot be reached; Cancelled when `stop()` turns true, with all finished shards kept.
    """
    started = time.monotonic()
    found = _existing(name or lm.name, root)
    given, prompts = prompts, prompts or (found.prompts if found else load_prompts())
    if scorer is None:  # the study's own, as long as anything is to be rated
        if found is not None and found.manifest.scorers and "toxicity" in metrics:
            scorer = reopen_scorer(*found.scorer_record(), study=found.name)
        else:
            scorer = open_scorer()
    if budget == "paper":
        settings = settings or paper_settings(lm)
    for axis in axes:
        others = " in this study; give --prompts again to add others" if found and given is None else ""
        prompts.known_axis(axis, hint=others)
    for metric in metrics:
        if metric not in METRICS:
            raise InputError(f"unknown metric '{metric}'; {nearest(metric, METRICS)}")
    if not metrics:
        raise InputError(f"no metric to measure bias by; choose one or more of: {', '.join(METRICS)}")
    if not axes:
        raise InputError(f"no axis to score; choose one or more of: {', '.join(prompts.axes)}")
    if compensated and "likelihood" not in metrics:
        raise InputError("scores under compensation are by likelihood; add that metric, or leave them out")
    budget = _budget(budget, prompts, axes)
    if minutes is not None or reliability is not None:
        budget = _until(minutes, reliability)
    if scored is not None and found is None:
        settings = replace(settings or StudySettings(), scored=scored)
    if found:
        _check_same(found, lm, given, text, settings)
        _check_scored(found, scored)
        found.check_scorer(scorer.name, scorer.fingerprint)
    where = lm.device.type if cluster is None else cluster.held.device
    study = found or _create(lm, where, prompts, axes, text, name or lm.name, root, settings)
    with study.writing(), study.remembering():
        _note_settings(study, lm)
        study.add_prompts(prompts.for_study(axes))
        if "toxicity" in metrics:
            study.add_scorer(scorer.name, scorer.ref, scorer.fingerprint)
            study.update(axes=[a for a in prompts.axes if a in {*axes, *study.manifest.axes}])
        if "likelihood" in metrics:
            _keep_pairs(study, pairs)
        run = Run(study, RunContext.of(study, lm, scorer, stop, progress), progress, cluster=cluster)
        keep_precision(run)
        keep_magnitudes(study, lm)
        keep_activation_differences(run, axes)
        if "toxicity" in metrics or not study.shard_names(GRADIENT, TEXT):
            measure_windows(run, budget.windows, exact=budget.knockout_windows)
        if "likelihood" in metrics:
            for axis in axes:
                measure_odds(run, axis, budget.likelihood_reads, exact=budget.likelihood_knockout)
        if compensated:
            measure_compensated(run, axes, budget)
        left = math.inf if minutes is None else minutes - (time.monotonic() - started) / 60
        if "toxicity" not in metrics:
            if minutes is not None or reliability is not None:
                _require_reached(read_more(run, axes, minutes=left, aim=reliability), reliability)
            return study
        unreached = list(axes)
        if reliability is not None and "likelihood" in metrics:  # by far the cheaper of the two, where it sees a bias
            with suppress(NothingToRank):
                unreached = read_more(run, axes, minutes=left, aim=reliability)
        for axis in axes:
            measure_samples(run, axis, budget.samples, exact=budget.knockout_samples)
            regenerate(run, axis, budget)
        if unreached:
            spent = 0.0 if minutes is None else (time.monotonic() - started) / 60
            refine(run, unreached, budget, spent_minutes=spent)
    return study


def _require_reached(unreached: list[str], aim: float | None) -> None:
    """Raise RunError for axes whose order is not as reliable as it should be though all was read."""
    if unreached and aim is not None:
        raise RunError(
            f"reliability {aim:g} is not reached on {', '.join(unreached)}: every prompt was read with every stem. "
            "What was measured is kept; a larger set of prompts has more to read (--prompts)"
        )


def _note_settings(study: Study, lm: LanguageModel) -> None:
    """Have a study say that the model's generation settings are set aside, also one made when they were not."""
    note, notes = set_aside_note(lm), study.manifest.notes
    if note is not None and not any(known.startswith(note) for known in notes):
        study.update(notes=[*notes, f"{note}; texts that were sampled earlier may follow them"])


def _keep_pairs(study: Study, pairs: PairSet | None) -> None:
    """Give the study its copy of the pairs; InputError where it compares others already."""
    kept = study_pairs(study)
    if kept is None:
        study.write_shard(PAIRS, pa.Table.from_pandas((pairs or load_pairs()).frame, preserve_index=False))
    elif pairs is not None and pairs.fingerprint != kept.fingerprint:
        raise InputError(f"study '{study.name}' compares other pairs; give this run another study name with --name")


def paper_settings(lm: LanguageModel) -> StudySettings:
    """The published recipe's settings: 40 tokens from the top 50, whole texts rated in lower case, and perplexity on
    windows of a quarter of the context that begin every half context (its code halves the context twice, see
    docs/estimators.md).
    """
    context = lm.fitting(1024)
    return StudySettings(
        max_new_tokens=PAPER_TOKENS,
        top_k=50,
        lowercase=True,
        scored=TEXT_WITH_PROMPT,
        window_tokens=max(2, context // 4),
        window_stride=context // 2,
    )


def check_aims(minutes: float | None, reliability: float | None) -> None:
    """Raise InputError for minutes, or a reliability, that nobody can aim at."""
    if minutes is not None and not 0 < minutes < float("inf"):
        raise InputError(f"minutes is {minutes}; give a number above 0, such as 30")
    if reliability is not None and not 0 < reliability < 1:
        raise InputError(f"reliability is {reliability}; give a number between 0 and 1, such as 0.9")


def _until(minutes: float | None, reliability: float | None) -> Budget:
    check_aims(minutes, reliability)
    return replace(FIRST_PASS, refine_minutes=minutes or 0.0, reliability=reliability)


def _budget(budget: str | Budget, prompts: PromptSet, axes: Sequence[str]) -> Budget:
    if isinstance(budget, Budget):
        return budget
    if budget == "paper":
        valid = prompts.select(axes=list(axes), split="valid").frame
        return paper_budget(int(valid["axis"].value_counts().max()))
    if budget not in BUDGETS:
        raise InputError(f"unknown budget '{budget}'; {nearest(budget, [*BUDGETS, 'paper'])}")
    return BUDGETS[budget]


def _existing(name: str, root: str | os.PathLike[str] | None) -> Study | None:
    there = (study_folder(name, root) / "manifest.json").exists()
    return open_study(name, root) if there else None


def _create(
    lm: LanguageModel,
    device: str,
    prompts: PromptSet,
    axes: Sequence[str],
    text: TextSet | None,
    name: str,
    root: str | os.PathLike[str] | None,
    settings: StudySettings | None,
) -> Study:
    settings, text = settings or StudySettings(), text or load_text()
    length = lm.fitting(settings.window_tokens)
    windows = token_windows(lm.tokenizer, text.frame, length=length, stride=settings.window_stride)
    manifest = Manifest(
        name=name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        model={
            **model_place(lm),
            "name": lm.name,
            "class": type(lm.model).__name__,
            "fingerprint": lm.fingerprint,
            "n_layers": lm.layout.n_layers,
            "heads_per_layer": lm.layout.heads_per_layer,
            "head_dim": lm.layout.head_dim,
            "query_group": lm.layout.query_group,
            "dtype": str(lm.dtype).removeprefix("torch."),
            "device": device,
        },
        prompts={"name": prompts.name, "fingerprint": prompts.fingerprint},
        text={"name": text.name, "fingerprint": text.fingerprint},
        settings=settings,
        versions=installed_versions(),
        notes=[*prompts.notes, *filter(None, [set_aside_note(lm)])],
    )
    return create_study(study_folder(name, root), manifest, prompts.for_study(axes), windows)


def _check_scored(study: Study, scored: str | None) -> None:
    """Raise InputError where a run asks to rate something else of a text than the study does."""
    made = study.settings.scored
    if scored not in (None, made):
        raise InputError(
            f"study '{study.name}' rates {made} only (scored: {made}), and this run asks for {scored}; give it another "
            "study name with --name"
        )


def _check_same(
    study: Study, lm: LanguageModel, prompts: PromptSet | None, text: TextSet | None, settings: StudySettings | None
) -> None:
    """Raise InputError unless the study was made with the same model, data and settings; None is not compared."""
    study.require_model()
    made = study.manifest
    pairs: dict[str, tuple[object, object]] = {
        "model": (made.model.get("fingerprint"), lm.fingerprint),
        "number format": (made.model.get("dtype"), str(lm.dtype).removeprefix("torch.")),
    }
    if prompts is not None:
        pairs["prompt set"] = (made.prompts.get("fingerprint"), prompts.fingerprint)
    if text is not None:
        pairs["text"] = (made.text.get("fingerprint"), text.fingerprint)
    if settings is not None:
        pairs["settings"] = (made.settings, settings)
    for what, (theirs, ours) in pairs.items():
        if theirs != ours:
            raise InputError(
                f"study '{study.name}' was made with another {what} ({theirs}, now {ours}); "
                "give this run another study name with --name"
            )
