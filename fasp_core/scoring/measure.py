"""What a run measures, part by part: text windows, continuations of an axis, log-odds of an axis."""

from __future__ import annotations

from fasp_core.scoring.advantages import Advantage, FittedCritic, Prefixes
from fasp_core.scoring.budgets import LOG_RATIO_TEXTS
from fasp_core.scoring.log_ratios import Gradient, Knockout
from fasp_core.scoring.odds import Odds, OddsKnockout
from fasp_core.scoring.run import Run
from fasp_core.scoring.stage import shards_of
from fasp_core.scoring.texts import Echo, Rating, Sampling
from fasp_core.stats.log_odds import doubtful_heads
from fasp_core.study.manifest import StudySettings
from fasp_core.study.shard_names import TEXT
from fasp_core.study.views import odds_samples


def has_advantages(settings: StudySettings) -> bool:
    """Whether heads are scored by advantages, which need texts of the model's own distribution."""
    return settings.top_k is None


def measure_windows(run: Run, n: int, *, exact: int) -> None:
    """First-order log-ratios of all heads on the first `n` windows, and exact ones on the first `exact` of them."""
    end = len(run.context.windows)
    run.fill(Gradient(TEXT, shards_of(n, run.context.settings.windows_per_shard, end=end)))
    run.fill(Knockout(TEXT, shards_of(exact, 1, end=end, heads=run.all_heads)))


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


def measure_odds(run: Run, axis: str, n: int, *, exact: int) -> None:
    """Log-odds of the study's pairs on `n` reads, each a prompt of the axis and a few stems; first-order changes.

    Every prompt is read once before one is read again, with other stems; there are no more reads once every prompt has
    been read with every stem. On the first `exact` reads also exact changes: of all heads in the first shard of these,
    then only of the heads whose first order that shard shows to be doubtful.
    """
    settings, end = run.context.settings, len(run.context.axis(axis).frame) * run.context.pairs.n_blocks
    run.fill(Odds(axis, shards_of(n, settings.odds_per_shard, end=end)))
    size = settings.knockout_samples_per_shard
    run.fill(OddsKnockout(axis, shards_of(exact, size, end=end, heads=run.all_heads)[:1]))
    if exact and (heads := doubtful_heads(odds_samples(run.study, axis))):
        run.fill(OddsKnockout(axis, shards_of(exact, size, end=end, heads=heads)[1:]))
