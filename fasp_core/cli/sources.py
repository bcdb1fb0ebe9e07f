"""What commands open: a study or a file of head scores, and the heads chosen from it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from fasp_core.cli.options import TABLE_FILES
from fasp_core.cli.terminal import ProgressReport
from fasp_core.errors import InputError, nearest
from fasp_core.head import parse_heads
from fasp_core.stats.target import MEAN_TOXICITY

if TYPE_CHECKING:
    from fasp_core.cluster.cluster import Cluster, ClusterChoice
    from fasp_core.evaluation.result import Evaluation
    from fasp_core.head import Head
    from fasp_core.models.compensation_choice import Compensate
    from fasp_core.models.language_model import LanguageModel
    from fasp_core.selection.head_scores import HeadScores
    from fasp_core.selection.select_heads import Selection
    from fasp_core.study.study import Study


def open_named(name: str) -> Study:
    from fasp_core.study.study import open_study

    return open_study(name)


def reopen(study: Study, device: str = "auto") -> LanguageModel:
    """The model that a study was made with, in its number format; what that costs here is said on stderr."""
    from fasp_core.models.open_model import reopen_model

    lm = reopen_model(study.model_record, study.name, device=device)
    print_precision(lm)
    return lm


def chosen(cluster: str | None, workers: int | None, cores: int, gpus: int) -> ClusterChoice | None:
    """What the options of a cluster say; None where none is named. Raises InputError for workers of no cluster."""
    from fasp_core.cluster.cluster import ClusterChoice

    if cluster is None and (workers is not None or cores != 1 or gpus != 1):
        raise InputError("--workers, --worker-cores and --worker-gpus are of a cluster; give --cluster too")
    return None if cluster is None else ClusterChoice(cluster, cores, gpus, workers)


@contextmanager
def reopened(study: Study, device: str, choice: ClusterChoice | None) -> Iterator[tuple[LanguageModel, Cluster | None]]:
    """`reopen`, and the workers of a cluster on the same model where one is chosen."""
    from fasp_core.models.open_model import reopen_model

    opening = partial(reopen_model, study.model_record, study.name)
    with opened_with(opening, lambda dtype: opening(device="cpu"), device, choice) as opened:
        yield opened


@contextmanager
def opened_with(
    opening: Callable[..., LanguageModel],
    beside: Callable[[str], LanguageModel],
    device: str,
    choice: ClusterChoice | None,
) -> Iterator[tuple[LanguageModel, Cluster | None]]:
    """The model that `opening(device=…)` opens; where a cluster is chosen, on its workers, and here `beside(dtype)`.

    Raises InputError where the workers' model is not the one that is opened here.
    """
    if choice is None:
        lm = opening(device=device)
        print_precision(lm)
        yield lm, None
        return
    from fasp_core.cluster.opening import open_cluster

    with open_cluster(choice, opening, device) as workers:
        lm = beside(workers.held.dtype)
        if lm.fingerprint != workers.held.fingerprint:
            raise InputError("the workers opened another model than this machine; put the same files on all machines")
        print(f"measuring on {workers.n_workers} workers", file=sys.stderr)
        yield lm, workers


def print_precision(lm: LanguageModel) -> None:
    """Say on stderr what half precision costs on a CPU."""
    if lm.precision_note:
        print(f"note: {lm.precision_note}", file=sys.stderr)


def open_source(
    source: str,
    model: str | None,
    n_layers: int | None,
    metric: str | None = "toxicity",
    scorer: str | None = None,
    axis: str | None = None,
    compensate: Compensate = "none",
) -> tuple[Study | None, HeadScores]:
    """A study and its scores, or the scores of a file; metric None: that of the axis (see `metric_for`).

    Under compensation the study's scores under it, if there are any (see `choosing_scores`).
    """
    from fasp_core.selection.score_files import read_head_scores

    if source.endswith(TABLE_FILES):
        if metric == "likelihood":
            raise InputError(f"{source} holds scores of one metric; --metric chooses between those of a study")
        if scorer is not None:
            raise InputError("--scorer is for studies; a file holds the scores of one scorer")
        return None, read_head_scores(source, model=model, n_layers=n_layers)
    if model is not None or n_layers is not None:
        raise InputError("--model and --n-layers are for files of head scores; a study knows its model")
    study = open_named(source)
    return study, scores_to_choose_by(study, axis, metric, compensate, scorer)


def scores_to_choose_by(
    study: Study, axis: str | None, metric: str | None, compensate: Compensate, scorer: str | None = None
) -> HeadScores:
    """What heads are chosen by where `compensate` takes their place (see `choosing_scores`); stderr says which."""
    from fasp_core.study.kept_scores import kept_scores
    from fasp_core.words.captions import describe_choosing_scores

    if scorer is not None and metric == "likelihood":
        raise InputError("--scorer chooses between ratings of toxicity; leave it out, or --metric likelihood")
    by = metric_for(study, axis, metric or ("toxicity" if scorer else None))
    table = kept_scores(study, axis, metric=by, compensate=compensate, scorer=scorer)
    if compensate == "least_squares":
        print(f"note: {describe_choosing_scores(table.meta.compensate)}", file=sys.stderr)
    return table


def one_axis(scored: Sequence[str], axis: str | None) -> str:
    """The axis that was named, or the mean toxicity, or the only one that was scored; else raises InputError."""
    if axis == MEAN_TOXICITY:
        return axis  # the scores say whether they hold it
    if axis is None and len(scored) != 1:
        raise InputError(f"several axes were scored, choose one with --axis: {', '.join(scored)}")
    if axis is not None and axis not in scored:
        raise InputError(f"no scores for axis '{axis}'; {nearest(axis, scored)}")
    return axis or scored[0]


def axis_of(study: Study | None, table: HeadScores, axis: str | None) -> str:
    """`one_axis` of scores; where there are several to choose from, those by its other metrics are named too."""
    from fasp_core.study.views import scored_axes

    if axis is not None:
        return table.known_axis(axis)
    return one_axis(table.axes if study is None or len(table.axes) == 1 else scored_axes(study), None)


def metric_for(study: Study, axis: str | None, metric: str | None) -> str:
    """The metric that was named; else by which the bias of the axis, or of the only one, is clearest."""
    from fasp_core.study.clearest import clearest_metric_for
    from fasp_core.study.views import scored_axes

    if metric is None and axis is None and len(scored := scored_axes(study)) == 1:
        axis = scored[0]
    if metric is None and axis is not None:
        metric = clearest_metric_for(study, axis)
    return metric or next(iter(study.metrics), "toxicity")


def share_within(
    study: Study | None, table: HeadScores, axis: str | None, gamma: float, limit: float, compensate: Compensate
) -> float:
    """The α of fasp_iterative that prunes as many heads as keep the budget, as measured at its stages."""
    from fasp_core.selection.rules import gamma_key
    from fasp_core.selection.select_heads import share_of
    from fasp_core.study.orders import OrderKey, heads_within

    if study is None:
        raise InputError("a file of scores holds no measured perplexity of stages; give the study")
    axis, metric = one_axis(table.axes, axis), table.meta.metric or "toxicity"
    heads = heads_within(study, OrderKey(axis, gamma_key(gamma), metric, compensate), limit)
    return share_of(len(heads), table.n_heads)


def select_by(
    study: Study | None,
    table: HeadScores,
    axis: str | None,
    gamma: float,
    alpha: float,
    method: str,
    seed: int,
    budget_ppl: float | None = None,
) -> Selection:
    """The heads that the method chooses; stderr says where it chooses by a bias that is not clear."""
    from fasp_core.selection.rules import RULES
    from fasp_core.selection.select_heads import select_heads
    from fasp_core.words.verdicts import describe_unclear

    uses_axis = method in RULES and RULES[method].uses_axis
    if uses_axis:
        axis = axis_of(study, table, axis)
    selection = select_heads(table, method, axis=axis, gamma=gamma, alpha=alpha, seed=seed, budget_ppl=budget_ppl)
    if uses_axis and (unclear := describe_unclear(table.verdict(selection.axis or ""), unit=table.meta.unit)):
        print(f"note: {unclear}", file=sys.stderr)
    return selection


def heads_given(heads: str) -> tuple[Head, ...]:
    """The heads that --heads names, at least one; else raises InputError."""
    found = parse_heads(heads, ",")
    if not found:
        raise InputError("no head was given; write layer.head with commas between heads, as in 0.3,5.1")
    return found


def named_heads(table: HeadScores, heads: str, axis: str | None) -> Selection:
    """The heads that --heads names, as a selection; the axis is what they are for, if that is said."""
    from fasp_core.selection.select_heads import selection_by_hand

    return selection_by_hand(table, heads_given(heads), axis=None if axis is None else table.known_axis(axis))


def measure_set(
    study: Study,
    lm: LanguageModel,
    pruned: Sequence[Head],
    axes: Sequence[str] | None,
    split: str,
    metric: str | None = None,
    compensate: Compensate = "none",
    cluster: Cluster | None = None,
) -> Evaluation:
    """Evaluate to the end, with progress; None: all scored axes, by all metrics. The app shares what was measured."""
    from fasp_core.evaluation.evaluate import evaluate_study
    from fasp_core.evaluation.store import EvaluationStore
    from fasp_core.progress import StageClock

    store, metrics = EvaluationStore(study.folder.parent), [metric] if metric else None
    with ProgressReport() as progress:
        clock = StageClock(f"evaluating on {split}", 100, "%", progress)
        for result in evaluate_study(
            study,
            lm,
            pruned,
            axes,
            metrics=metrics,
            split=split,
            compensate=compensate,
            store=store,
            cluster=cluster,
        ):
            clock.step(int(100 * result.fraction_done) - clock.done)
    return result
