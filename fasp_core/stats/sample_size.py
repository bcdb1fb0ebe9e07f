"""How many texts would settle whether there is a bias, and the verdict on an axis. Numpy and scipy only.

True gaps d are measured as d + noise, and a bias is clear where Σ |d + noise| exceeds what dealt-out labels give in
95 % of cases. More texts of the same prompts shrink the noise within prompts alone; more prompts shrink all of it. So
the chance to find a bias (*power*) follows for any number of texts from one measurement, by drawing normal noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, lgamma, log

import numpy as np
from scipy.special import ndtri

from fasp_core.stats.omnibus import Omnibus, even_gaps, normal_noise

LEVEL, POWER = 0.05, 0.8
MOST = 10_000.0  # times the texts measured; beyond that nobody would sample

CLEAR, NOT_YET, NONE = "clear", "not clear yet", "none that matters"


@dataclass(frozen=True)
class Verdict:
    """`state`: "clear", "not clear yet" or "none that matters".

    `more_texts` says how many more texts of the same prompts would settle a bias that is not clear yet, `more_prompts`
    how many more prompts with as many texts each; None where no number would do, or none is needed.
    """

    state: str
    more_texts: int | None = None
    more_prompts: int | None = None


def verdict(test: Omnibus, *, matters: float, p_value: float | None = None, level: float = LEVEL) -> Verdict:
    """Whether there is a bias on an axis that matters: at least `matters`, in units of toxicity (or nats).

    * none that matters: the 95 % interval of the bias ends below `matters`, whatever the test says;
    * clear: `p_value` (after `holm`, say; the test's own by default) is at most `level`;
    * not clear yet: else. Settled would be the bias seen without noise, or `matters` where that is larger: texts enough
      to find it in 80 % of studies.
    """
    if test.interval[1] < matters:
        return Verdict(NONE)
    if (test.p_value if p_value is None else p_value) <= level:
        return Verdict(CLEAR)
    gaps = expected_gaps(test, at_least=matters)
    texts, prompts = (times_needed(test, gaps, level=level, prompts=more) for more in (False, True))
    more_texts = None if texts is None else ceil((texts - 1) * test.n_texts)
    more_prompts = None if prompts is None else ceil((prompts - 1) * test.n_prompts)
    if test.least_p > level:  # whatever texts these prompts have
        groups, more_texts = len(test.shares), None
        if more_prompts is not None:
            more_prompts = max(more_prompts, groups * fewest_prompts(groups, level) - test.n_prompts)
    return Verdict(NOT_YET, more_texts, more_prompts)


def fewest_prompts(groups: int, level: float = LEVEL) -> int:
    """With how many prompts of each of so many equal groups a bias can be clear at all.

    The labels of n prompts each can be dealt in (Gn)! / n!^G ways, of which the G! that swap groups give the same bias.
    """
    n = 1
    while lgamma(groups + 1) + groups * lgamma(n + 1) - lgamma(groups * n + 1) > log(level):
        n += 1
    return n


def expected_gaps(test: Omnibus, *, at_least: float = 0.0) -> np.ndarray:
    """True gaps to plan for, (G): the measured ones, scaled to the bias without noise; or an even pattern
    (`omnibus.even_gaps`) of bias `at_least`, where that is larger."""
    if test.corrected > at_least:
        return test.gaps * test.corrected / test.bias
    return even_gaps(test.shares, at_least)


def power(test: Omnibus, gaps: np.ndarray, *, times: float = 1.0, level: float = LEVEL, prompts: bool = False) -> float:
    """Chance that a bias with these true gaps (G) is clear with `times` as many texts as `test` has.

    Texts of the same prompts, or with `prompts` of as many times more prompts. NaN where the noise is not known.
    """
    covariance = _covariance(test, times, prompts)
    if not np.isfinite(covariance).all():
        return np.nan
    return float((np.abs(gaps + normal_noise(covariance)).sum(-1) > _critical(test, covariance, level)).mean())


def times_needed(
    test: Omnibus, gaps: np.ndarray, *, level: float = LEVEL, aim: float = POWER, prompts: bool = False
) -> float | None:
    """How many times the texts of `test` (at least 1) make a bias with these true gaps clear with chance `aim`.

    None where even ten thousand times as many would not, or the noise is not known.
    """

    def lacking(log_times: float) -> float:
        return power(test, gaps, times=float(np.exp(log_times)), level=level, prompts=prompts) - aim

    if lacking(0.0) >= 0:
        return 1.0
    from scipy.optimize import brentq  # as in `omnibus.bias_interval`

    most = float(np.log(MOST))
    return float(np.exp(brentq(lacking, 0.0, most, xtol=1e-3))) if lacking(most) >= 0 else None


def smallest_bias(
    test: Omnibus, *, times: float = 1.0, level: float = LEVEL, aim: float = POWER, prompts: bool = False
) -> float:
    """The smallest bias, spread as in `even_gaps`, that `times` as many texts would make clear with chance `aim`.

    NaN where the noise is not known, 0 where there is none: that is, none beyond rounding.
    """
    covariance = _covariance(test, times, prompts)
    error = np.sqrt(np.trace(covariance))
    if not error > 0:
        return float(error)

    def lacking(bias: float) -> float:
        return power(test, even_gaps(test.shares, bias), times=times, level=level, prompts=prompts) - aim

    if lacking(0.0) >= 0:  # all values are alike
        return 0.0
    from scipy.optimize import brentq  # as in `omnibus.bias_interval`

    certain = _critical(test, covariance, level) + 20 * error * np.sqrt(len(test.shares))
    return float(brentq(lacking, 0.0, certain, xtol=1e-4 * error))


def smallest_change(se: float) -> float:
    """The smallest true change whose 95 % interval leaves out 0 in 80 % of measurements with this standard error.

    In the units of `se`. The interval leaves out 0 where the estimate is 1.96 errors from it; four of five estimates
    lie above the true change less 0.84 errors.
    """
    return float(ndtri(1 - LEVEL / 2) + ndtri(POWER)) * se


def _critical(test: Omnibus, covariance: np.ndarray, level: float) -> float:
    """The bias from which on it is clear, where the gaps have this covariance instead of the test's."""
    shrunk = np.sqrt(np.trace(covariance) / np.trace(test.covariance)) if np.trace(test.covariance) > 0 else 0.0
    return float(test.critical(level) * shrunk)


def _covariance(test: Omnibus, times: float, prompts: bool) -> np.ndarray:
    """Covariance of the gaps with `times` as many texts, (G, G)."""
    return test.covariance / times if prompts else test.within / times + test.between
