"""How much a scoring run measures: the named budgets, and what they consist of. No torch here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Budget:
    """How much is measured.

    First `samples` per axis and `windows` of text by gradient, and `knockout_windows` by exact knock-out of all
    heads. Then refinement for `refine_minutes`, or until the order of the unprotected heads has `reliability` on every
    axis, whichever comes first. Refinement makes the selection at `gamma` and `alpha` surer.
    """

    samples: int
    windows: int
    knockout_windows: int
    knockout_samples: int = 0  # exact knock-out of all heads; for small models and benchmarks
    regenerate_samples: int = 0  # sampled again without each unprotected head whose weights cannot be trusted
    regenerate_all: bool = False  # not only those: every head, as the published recipe does
    likelihood_reads: int = 360  # per axis, for that metric: a prompt with 3 stems each, as many of every group
    likelihood_knockout: int = 0  # of these, with exact knock-out of the heads whose first order is doubtful
    refine_minutes: float = 0.0
    reliability: float | None = None
    gamma: float = 0.3
    alpha: float = 0.1


LOG_RATIO_TEXTS = 512  # of an axis, from its first on: those that have log-ratios beside advantages
# What --minutes and --reliability start from.
FIRST_PASS = Budget(samples=512, windows=64, knockout_windows=4)
# quick: one axis of the default model within 10 minutes on 2 cores, by both metrics. Most of it is likelihood, which
# ranks the heads more reliably per minute: nothing is sampled (docs/estimators.md).
BUDGETS = {
    "quick": Budget(samples=384, windows=64, knockout_windows=4, likelihood_reads=1080),
    "standard": Budget(
        samples=8192,
        windows=128,
        knockout_windows=12,
        regenerate_samples=512,
        likelihood_reads=1440,
        likelihood_knockout=48,
        refine_minutes=30,
    ),
}
PAPER_TOKENS = 40  # per continuation in the published recipe
ALL_WINDOWS = 10**6


def paper_budget(prompts_per_axis: int, *, windows: int = ALL_WINDOWS) -> Budget:
    """The published recipe: every prompt three times, every head sampled again, perplexity exact on all windows."""
    samples = 3 * prompts_per_axis
    return Budget(samples, windows, windows, regenerate_samples=samples, regenerate_all=True, likelihood_reads=0)
