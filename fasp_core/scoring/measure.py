"""What a run measures, part by part: text windows, continuations of an axis, log-odds of an axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import torch

from fasp_core.errors import InputError
from fasp_core.models.batching import Sequences
from fasp_core.passes.precision import PrecisionError, precision_error
from fasp_core.scoring.advantages import Advantage, FittedCritic, Prefixes
from fasp_core.scoring.budgets import LOG_RATIO_TEXTS, Budget
from fasp_core.scoring.context import RunContext, residuals_fitted_on
from fasp_core.scoring.log_ratios import Gradient, Knockout
from fasp_core.scoring.odds import Odds, OddsKnockout
from fasp_core.scoring.run import Run
from fasp_core.scoring.stage import shards_of
from fasp_core.scoring.texts import Echo, Rating, Sampling
from fasp_core.stats.log_odds import doubtful_heads
from fasp_core.study.manifest import StudySettings
from fasp_core.study.shard_names import GRADIENT, ODDS_KNOCKOUT, TEXT, measured_kind, shard_of
from fasp_core.study.shard_tables import table_calibration, table_changes
from fasp_core.study.views import odds_samples


def has_advantages(settings: StudySettings) -> bool:
    """Whether heads are scored by advantages, which need texts of the model's own distribution."""
    return settings.top_k is None


def measure_windows(run: Run, n: int, *, exact: int, compensated: bool = False) -> None:
    """First-order log-ratios of all heads on the first `n` windows, and exact ones on the first `exact` of them.

    `compensated`: of what the other heads of the layer cannot supply, here and in `measure_odds`.
    """
    end = len(run.context.windows)
    run.fill(Gradient(TEXT, shards_of(n, run.context.settings.windows_per_shard, end=end), compensated))
    run.fill(Knockout(TEXT, shards_of(exact, 1, end=end, heads=run.all_heads), compensated))


def measure_samples(run: Run, axis: str, n: int, *, exact: int = 0) -> None:
    """The first `n` continuations of an axis, their toxicity, and what they tell of all heads to first order.

    On the first `exact` of them, or a few less to fill whole shards, also exact log-ratios of all heads. Log-ratios by
    gradient are measured where those are needed, and on the first LOG_RATIO_TEXTS: they tell how far weights can be
    trusted. Texts that do not follow the model's own distribution have no advantages, and all have log-ratios.
    """
    settings, scorer = run.context.settings, run.context.scorer.name
    size = settings.samples_per_shard
    shards = shards_of(n, size)
    sampling = Sampling(axis, shards)
    run.fill(sampling)
    run.fill(Rating.of(sampling, scorer))
    run.fill(Echo.of(axis, len(run.context.axis(axis).frame), scorer))
    if has_advantages(settings):
        run.fill(Gradient(axis, shards_of(min(n, max(LOG_RATIO_TEXTS, exact)), size)))
        run.fill(Prefixes(axis, shards, scorer))
        run.fill(FittedCritic.of_first(axis, shards, scorer))
        run.fill(Advantage(axis, shards, scorer))
    else:
        run.fill(Gradient(axis, shards))
    size = settings.knockout_samples_per_shard
    run.fill(Knockout(axis, shards_of(min(exact, n) // size * size, size, heads=run.all_heads)))


def measure_odds(run: Run, axis: str, n: int, *, exact: int, compensated: bool = False) -> None:
    """Log-odds of the study's pairs on `n` reads, each a prompt of the axis and a few stems; first-order changes.

    Every prompt is read once before one is read again, with other stems; there are no more reads once every prompt has
    been read with every stem. On the first `exact` reads also exact changes: of all heads in the first shard of these,
    then only of the heads whose first order that shard shows to be doubtful.
    """
    settings, end = run.context.settings, len(run.context.axis(axis).frame) * run.context.pairs.n_blocks
    run.fill(Odds(axis, shards_of(n, settings.odds_per_shard, end=end), compensated))
    size = settings.knockout_samples_per_shard
    run.fill(OddsKnockout(axis, shards_of(exact, size, end=end, heads=run.all_heads)[:1], compensated))
    if exact and (heads := _heads_to_knock_out(run, axis, compensated)):
        run.fill(OddsKnockout(axis, shards_of(exact, size, end=end, heads=heads)[1:], compensated))


def _heads_to_knock_out(run: Run, axis: str, compensated: bool) -> list[int]:
    """The heads that exact changes were begun with beyond the first shard; where none were, the doubtful ones.

    What is found with them would make other heads doubtful, and the same call would measure more each time.
    """
    names = run.study.shard_names(measured_kind(ODDS_KNOCKOUT, compensated=compensated), axis)
    begun = next((name for name in names if shard_of(name).shard > 0), None)
    if begun is not None:
        return table_changes(run.study.read_shard(begun), by_block=True)[0]
    return doubtful_heads(odds_samples(run.study, axis, compensated=compensated))


def measure_compensated(run: Run, axes: Sequence[str], budget: Budget) -> None:
    """Windows and log-odds as the budget has them, of what the other heads of a layer cannot supply of each.

    Raises InputError where the study has such measurements that were fitted on another text or with another ridge.
    """
    kind = measured_kind(GRADIENT, compensated=True)
    for name in run.study.shard_names(kind, TEXT)[:1]:
        if table_calibration(run.study.read_shard(name)) != residuals_fitted_on():
            raise InputError(
                f"study '{run.study.name}' has scores under compensation by another fit (text or ridge); delete its "
                f"files {kind.split('-')[0]}-*.parquet to measure them anew"
            )
    measure_windows(run, budget.windows, exact=budget.knockout_windows, compensated=True)
    for axis in axes:
        measure_odds(run, axis, budget.likelihood_reads, exact=budget.likelihood_knockout, compensated=True)


def keep_precision(run: Run) -> None:
    """Measure, once, what a reduced precision does to log-ratios, and keep it in the manifest."""
    lm = run.context.lm
    if lm.dtype != torch.float32 and not run.study.manifest.precision:
        (error,) = run.each([_precision])
        run.study.update(precision={"dtype": lm.dtype_name, **asdict(error)})


def _precision(context: RunContext) -> PrecisionError:
    windows = context.windows
    return precision_error(context.lm, Sequences(list(range(len(windows))), windows, [len(w) - 1 for w in windows]))
