"""The command `compare`: methods side by side on one model, or how heads work together (`--interactions`)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict
from functools import partial
from itertools import starmap
from pathlib import Path
from typing import TYPE_CHECKING, cast

from fasp_core.cli.options import (
    Alphas,
    AsJson,
    Axis,
    ClusterAddress,
    ComparedAxes,
    ComparedBy,
    Compensations,
    Device,
    Gammas,
    IterativeGammas,
    IterativeReadings,
    IterativeSamples,
    IterativeStep,
    Methods,
    MostWorkers,
    Pairs,
    PairsGamma,
    PplLimit,
    Seeds,
    StudyName,
    TableFile,
    TestBlocks,
    ValidBlocks,
    Weights,
    WorkerCores,
    WorkerGpus,
    split_names,
)
from fasp_core.cli.output import percent, print_json, print_table
from fasp_core.cli.sources import chosen, one_axis, reopened
from fasp_core.cli.terminal import ProgressReport
from fasp_core.comparison.shares import parse_shares
from fasp_core.errors import InputError
from fasp_core.models.compensation_choice import SPOKEN, Compensate
from fasp_core.words.numbers import bias_text, format_interval

if TYPE_CHECKING:
    from fasp_core.cluster.cluster import Cluster
    from fasp_core.comparison.configurations import ComparisonSettings
    from fasp_core.comparison.interactions import Interactions
    from fasp_core.comparison.table import ComparisonTable
    from fasp_core.models.language_model import LanguageModel
    from fasp_core.study.study import Study

    Reopened = Callable[[], AbstractContextManager[tuple[LanguageModel, Cluster | None]]]

LIMITS = (0.05, 0.1)  # rises of perplexity that the printed tables look at


def compare(
    study: StudyName,
    axis: Axis = None,
    metric: ComparedBy = None,
    methods: Methods = "all",
    compensate: Compensations = "none",
    alphas: Alphas = "0:0.2:0.02",
    gammas: Gammas = "0.2:0.7:0.1",
    seeds: Seeds = 1,
    axes: ComparedAxes = None,
    valid_blocks: ValidBlocks = 10,
    test_blocks: TestBlocks = 25,
    ppl_limit: PplLimit = 0.1,
    weights: Weights = None,
    iterative_samples: IterativeSamples = 512,
    iterative_readings: IterativeReadings = 180,
    iterative_step: IterativeStep = 0.04,
    iterative_gammas: IterativeGammas = None,
    interactions: Pairs = None,
    gamma: PairsGamma = 0.3,
    device: Device = "auto",
    cluster: ClusterAddress = None,
    workers: MostWorkers = None,
    worker_cores: WorkerCores = 1,
    worker_gpus: WorkerGpus = 1,
    to: TableFile = None,
    as_json: AsJson = False,
) -> None:
    """Measure methods of pruning side by side, and keep the result with the study.

    gamma is chosen on valid prompts for each method, compensation and alpha; the numbers printed are of test prompts.
    After a stop, run it again to continue; sets of heads that were measured before cost nothing.
    """
    from fasp_core.study.study import open_study
    from fasp_core.study.views import measured_axes, scored_axes

    if to is not None and to.suffix not in (".csv", ".parquet"):
        raise InputError(f"{to}: comparisons are written to .csv or .parquet files")
    opened = open_study(study)
    if metric not in (None, *opened.metrics):
        raise InputError(f"study '{study}' holds no scores by {metric}; add them: see score, with --metric {metric}")
    axis = one_axis(measured_axes(opened, metric) if metric else scored_axes(opened), axis)
    on = partial(reopened, opened, device, chosen(cluster, workers, worker_cores, worker_gpus))
    if interactions is not None:
        from fasp_core.study.clearest import clearest_metric_for

        by = metric or clearest_metric_for(opened, axis)
        _interactions(opened, axis, by, interactions, gamma, test_blocks, on, device, to, as_json)
        return
    from fasp_core.comparison.configurations import ComparisonSettings, complete_settings
    from fasp_core.scoring.iterative_settings import IterativeSettings

    settings = ComparisonSettings(
        axis=axis,
        metric=metric,
        methods=None if methods == "all" else tuple(split_names(methods)),
        compensations=cast("tuple[Compensate, ...]", tuple(split_names(compensate))),
        alphas=parse_shares(alphas, "--alphas"),
        gammas=parse_shares(gammas, "--gammas"),
        seeds=seeds,
        axes=tuple(split_names(axes or "")),
        valid_blocks=valid_blocks,
        test_blocks=test_blocks,
        ppl_limit=ppl_limit,
        weights=parse_weights(weights),
        iterative=IterativeSettings(iterative_samples, iterative_step, iterative_readings),
        iterative_gammas=parse_shares(iterative_gammas, "--iterative-gammas") if iterative_gammas else (),
    )
    table = _run(opened, complete_settings(opened, settings), on, device)
    if to is not None:
        from fasp_core.comparison.table import export_rows

        export_rows(table.rows, to)
    if as_json:
        rows, differences = (part.to_dict("records") for part in (table.frame, table.differences))
        print_json({"study": study, "comparison": table.name, **table.meta, "rows": rows, "differences": differences})
    else:
        _print(opened, table)


def _run(study: Study, settings: ComparisonSettings, on: Reopened, device: str) -> ComparisonTable:
    from fasp_core.comparison.measure import StudyMeasure
    from fasp_core.comparison.run_comparison import run_comparison
    from fasp_core.evaluation.evaluate import scorer_for

    metric = settings.metric or ""
    scorer = scorer_for(study, [metric], device)
    with on() as (lm, on_workers), ProgressReport() as progress:
        measure = StudyMeasure(lm, study, settings.axes, metric, scorer=scorer, cluster=on_workers)
        return run_comparison(lm, study, settings, scorer=scorer, measure=measure, progress=progress)


def _print(study: Study, table: ComparisonTable) -> None:
    """What each method does to the bias on test at no more than 5 % and 10 % more perplexity."""
    from fasp_core.comparison.budget import affordable
    from fasp_core.words.captions import describe_compared_scores

    print(f"Comparison '{table.name}' in {study.folder}; claims on test prompts, 95 % intervals")
    if chosen_by := describe_compared_scores(table.scores_under):
        print(chosen_by)
    test = table.frame[table.frame["split"] == "test"]
    bias = f"change of {bias_text(table.axis, table.metric)}"
    for limit in LIMITS:
        best = affordable(table.frame, f"bias.{table.axis}", limit)
        best = best[best["n_pruned"] > 0]
        print(f"\nAt no more than {100 * limit:g} % more perplexity:")
        print_table(
            ("method", "in their place", "alpha", "gamma", "perplexity", bias, "95 % interval"),
            [
                (
                    row.method,
                    SPOKEN[row.compensate],
                    f"{row.alpha:g}",
                    _gamma(row.gamma),
                    percent(row.ppl_relative),
                    percent(row.relative),
                    _interval(row.relative_low, row.relative_high),
                )
                for row in best.itertuples()
            ],
        )
        curves = ["method", "compensate"]
        within = set(best[curves].itertuples(index=False, name=None))
        too_dear = [
            each for each in test[curves].drop_duplicates().itertuples(index=False, name=None) if each not in within
        ]
        if too_dear:
            print(f"at no alpha that was measured: {', '.join(starmap(_curve, too_dear))}")
    _print_differences(table)


def _print_differences(table: ComparisonTable) -> None:
    """How the pruned models differ from FASP's and from random ones, from pairs."""
    from fasp_core.comparison.differences import differences_on_test

    bias = bias_text(table.axis, table.metric)
    for (method, way), rows in differences_on_test(table).groupby(["against", "against_compensate"], sort=False):
        print(f"\nAgainst {_curve(method, way)} at the same alpha, in % of what that leaves:")
        print_table(
            ("method", "in their place", "alpha", "heads", "perplexity", "95 % interval", bias, "95 % interval"),
            [
                (
                    row.method,
                    SPOKEN[row.compensate],
                    f"{row.alpha:g}",
                    row.n_pruned,
                    percent(row.relative_ppl),
                    _interval(row.relative_low_ppl, row.relative_high_ppl),
                    percent(row.relative),
                    _interval(row.relative_low, row.relative_high),
                )
                for row in rows.itertuples()
            ],
        )


def _interval(low: float, high: float) -> str:
    return format_interval(100 * low, 100 * high, signed=True) + " %"


def _curve(method: str, compensate: Compensate) -> str:
    return method if compensate == "none" else f"{method} ({SPOKEN[compensate]})"


def _interactions(
    study: Study,
    axis: str,
    metric: str,
    pairs: int,
    gamma: float,
    blocks: int,
    on: Reopened,
    device: str,
    to: Path | None,
    as_json: bool,
) -> None:
    from fasp_core.comparison.interactions import measure_interactions
    from fasp_core.comparison.table import export_rows
    from fasp_core.evaluation.evaluate import scorer_for

    scorer = scorer_for(study, [metric], device)
    with on() as (lm, on_workers), ProgressReport() as progress:
        found = measure_interactions(
            lm,
            study,
            axis,
            pairs=pairs,
            gamma=gamma,
            blocks=blocks,
            scorer=scorer,
            metric=metric,
            progress=progress,
            cluster=on_workers,
        )
    if to is not None:
        export_rows(found.frame, to)
    if as_json:
        shares = {metric: asdict(share) for metric, share in found.shares.items()}
        pairs_found = found.frame.to_dict("records")
        print_json({"study": study.name, "axis": axis, "metric": metric, "shares": shares, "pairs": pairs_found})
    else:
        _print_interactions(found, bias_text(axis, metric))


def _print_interactions(found: Interactions, bias: str) -> None:
    for metric, share in found.shares.items():
        low, high = (100 * end for end in share.interval)
        print(
            f"{'perplexity' if metric == 'ppl' else bias}: removing two heads differs from the sum of removing each in "
            f"{share.n_differ} of {share.n_pairs} pairs (95 % intervals); beyond chance {share.beyond_chance:.0%} "
            f"({format_interval(low, high)} %)"
        )


def parse_weights(text: str | None) -> dict[str, float] | None:
    """`religion=2,gender_and_sex=1` as weights by axis; raises InputError for anything else."""
    if text is None:
        return None
    weights = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = part.partition("=")
        try:
            weights[name.strip()] = float(value)
        except ValueError as error:
            raise InputError(f"--weights is '{text}'; give axis=weight with commas, as religion=2") from error
    return weights


def _gamma(gamma: float) -> str:
    return "none" if gamma != gamma else f"{gamma:g}"
