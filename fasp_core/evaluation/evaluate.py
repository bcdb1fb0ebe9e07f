"""evaluate(): what pruning a *set* of heads does, measured block by block. Progressive, cancellable, cached.

A set of heads moves the model too far for importance weights, so texts are sampled again from the pruned model, but
*coupled*: the same noise per prompt and step as for the intact model (see `sampling`), and where so few heads go that
many texts can stay what they were, as closely as can be (see `coupling`). By likelihood nothing is sampled: both models
read the same prompts with the same pairs of continuations. A block is a few text windows, or some texts or prompts of
one axis, as many for every group: groups are strata, so their means after any number of blocks are unbiased. Each
finished block goes to the store under (stream, head set, block): nothing is measured twice, the intact model included.
The texts are fresh draws, not those that heads were scored on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from fasp_core.cluster.cluster import Cluster
from fasp_core.data.articles import TextSet, load_text
from fasp_core.data.frames import check_split
from fasp_core.data.pairs import PairSet
from fasp_core.data.prompt_set import PromptSet
from fasp_core.data.prompts import load_prompts
from fasp_core.data.windows import token_windows
from fasp_core.errors import InputError, nearest
from fasp_core.evaluation.asked import known_target
from fasp_core.evaluation.blocks import BlockStore, MemoryStore, Work, measured_block
from fasp_core.evaluation.elsewhere import measured_elsewhere
from fasp_core.evaluation.keys import EvaluationSettings, ScorerName, Target, study_settings
from fasp_core.evaluation.result import Evaluation
from fasp_core.evaluation.streams import axis_of, metric_of, stream_of, study_streams
from fasp_core.evaluation.totals import Totals
from fasp_core.head import Head
from fasp_core.models.compensation_choice import COMPENSATIONS, Compensate
from fasp_core.models.language_model import LanguageModel
from fasp_core.progress import Stop
from fasp_core.study.views import study_pairs
from fasp_core.toxicity.scorers import Scorer, open_scorer, reopen_scorer

if TYPE_CHECKING:
    from fasp_core.study.study import Study


def evaluate(
    lm: LanguageModel,
    pruned: Iterable[Head],
    axes: Sequence[str],
    *,
    metrics: Sequence[str] = ("toxicity",),
    split: str = "valid",
    compensate: Compensate = "none",
    prompts: PromptSet | None = None,
    text: TextSet | None = None,
    windows: pd.DataFrame | None = None,
    scorer: Scorer | ScorerName | None = None,
    pairs: PairSet | None = None,
    settings: EvaluationSettings | None = None,
    store: BlockStore | None = None,
    stop: Stop | None = None,
    cluster: Cluster | None = None,
) -> Iterator[Evaluation]:
    """Measure perplexity and the bias of `axes` with the heads `pruned` knocked out, against the intact model.

    With `compensate` the layers that lose heads are refitted on packaged text (see `data.calibration`), so that the
    heads that stay take over: by the removed heads' "mean" output, or by "least_squares".
    Bias is measured by each of `metrics`: "toxicity" of continuations, rated by `scorer`; "likelihood", the log-odds of
    `pairs` of continuations, by default the built-in ones, for which the scorer's name will do (see `scorer_for`).
    Yields an ever more precise `Evaluation` after each step, a block of one stream (see `Work.steps`); the last one is
    `done`. What the store has measured whole is given at once.
    Perplexity is that of `windows` (columns split, token_ids), else of `text`. Explore on split "valid", make claims
    on "test". With a `cluster` its workers measure the blocks, on the same model as `lm`.
    Raises InputError for heads, axes, metrics, splits or compensations that do not exist; Cancelled once `stop()` is
    true.
    """
    settings, prompts = settings or EvaluationSettings(), prompts or load_prompts()
    streams = [stream_of(axis, metric) for axis in axes for metric in metrics]
    rated = "toxicity" in metrics
    if windows is None:
        length = lm.fitting(settings.window_tokens)
        windows = token_windows(lm.tokenizer, (text or load_text()).frame, length=length)
    return _evaluate(
        lm,
        pruned,
        streams,
        split=split,
        compensate=compensate,
        prompts=prompts,
        windows=windows,
        scorer=scorer or (open_scorer() if rated else ScorerName()),
        pairs=pairs,
        settings=settings,
        store=store,
        stop=stop,
        cluster=cluster,
    )


def evaluate_study(
    study: Study,
    lm: LanguageModel,
    pruned: Iterable[Head],
    axes: Sequence[str] | None = None,
    *,
    metrics: Sequence[str] | None = None,
    split: str = "valid",
    compensate: Compensate = "none",
    store: BlockStore | None = None,
    stop: Stop | None = None,
    cluster: Cluster | None = None,
) -> Iterator[Evaluation]:
    """`evaluate` on a study's own prompts, pairs, text windows and scorer, sampling as it does.

    By default on all axes that it scored, each by the metrics it was scored by. `lm` is the study's model, reopened.
    The command line, the app and comparisons measure so, and share every block.
    """
    target = Target(study.name, tuple(pruned), study_streams(study, axes, metrics), split, compensate)
    return evaluate_target(study, lm, target, store=store, stop=stop, cluster=cluster)


def evaluate_target(
    study: Study,
    lm: LanguageModel,
    target: Target,
    *,
    store: BlockStore | None = None,
    stop: Stop | None = None,
    cluster: Cluster | None = None,
) -> Iterator[Evaluation]:
    """`evaluate_study` for the streams of a target, in their order."""
    scorer = scorer_for(study, map(metric_of, target.streams))
    return _evaluate(
        lm,
        target.heads,
        target.streams,
        split=target.split,
        compensate=target.compensate,
        prompts=study.prompts,
        windows=study.windows,
        scorer=scorer,
        pairs=study_pairs(study),
        settings=study_settings(study),
        store=store,
        stop=stop,
        cluster=cluster,
    )


def scorer_for(study: Study, metrics: Iterable[str], device: str = "auto") -> Scorer | ScorerName:
    """What rates a study's texts, opened only where one of the metrics rates any; results are kept under its name."""
    if "toxicity" in metrics:
        return reopen_scorer(*study.scorer_record(), study=study.name, device=device)
    return ScorerName(*next(iter(study.manifest.scorers.items()), ()))


def _evaluate(
    lm: LanguageModel,
    pruned: Iterable[Head],
    streams: Iterable[str],
    *,
    split: str,
    compensate: Compensate,
    prompts: PromptSet,
    windows: pd.DataFrame,
    scorer: Scorer | ScorerName,
    pairs: PairSet | None,
    settings: EvaluationSettings,
    store: BlockStore | None,
    stop: Stop | None,
    cluster: Cluster | None,
) -> Iterator[Evaluation]:
    """What `evaluate` yields for these streams."""
    heads, streams = tuple(sorted(set(pruned))), tuple(dict.fromkeys(streams))
    for layer, head in heads:
        lm.layout.flat_id(layer, head)
    for stream in streams:
        known_target(prompts, axis_of(stream))
    if not streams:
        raise InputError(f"no axis to evaluate; choose one or more of: {', '.join(prompts.axes)}")
    check_split(split)
    if compensate not in COMPENSATIONS:
        raise InputError(f"unknown compensation '{compensate}'; {nearest(str(compensate), COMPENSATIONS)}")
    compensate = compensate if heads else "none"
    store = store or MemoryStore()
    work = Work(lm, streams, split, prompts, windows, scorer, settings, stop, pairs, compensate)
    if (whole := store.kept(work.plan, heads, compensate)) is not None and whole.done:
        yield whole
        return
    totals = Totals(work.streams, work.shares)
    steps = work.steps()
    measured = steps if cluster is None else measured_elsewhere(cluster, work, steps, heads, store)
    for done, (stream, block) in enumerate(measured, start=1):
        before = measured_block(work, stream, (), block, store)
        totals.add(stream, before, measured_block(work, stream, heads, block, store) if heads else before)
        evaluation = totals.evaluation(heads, split, compensate, done / len(steps))
        store.keep(work.plan, evaluation)
        yield evaluation
