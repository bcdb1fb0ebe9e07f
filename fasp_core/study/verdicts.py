"""Whether a study's axes have a bias at all: its texts, log-odds and bare prompts put to the omnibus test. No torch.

What is dealt among groups are *descriptors* (identity terms), each with all its prompts and texts. A model reacts to
single words, and a group that is five words differs from another one by chance: an untrained model has clear
differences between prompts, but none between groups of descriptors.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from fasp_core.selection.description import BiasVerdict
from fasp_core.stats.estimate import Estimate
from fasp_core.stats.omnibus import PERMUTATIONS, Omnibus, holm, omnibus_test
from fasp_core.stats.sample_size import smallest_bias, verdict
from fasp_core.study.folder import StudyFolder
from fasp_core.study.shard_names import ECHO
from fasp_core.study.views import AxisGroups, axis_groups, known_scorer, measured_axes, odds_values, toxicity_sums

# The bias Σ_g |μ − μ_g| from which on it matters, by metric: in units of toxicity, and in nats. With six groups, 0.02
# is a toxicity that differs from the mean by 0.003 in each; 0.2 nats are odds that differ by 3 % in each.
MATTERS = {"toxicity": 0.02, "likelihood": 0.2}
MIN_DESCRIPTORS = 4  # of each group; of two groups with three each, labels can be dealt in 20 ways only


def bias_verdicts(
    study: StudyFolder, axes: Sequence[str], *, metric: str, scorer: str | None = None
) -> dict[str, BiasVerdict | None]:
    """The verdict on each of these axes, whose p-values are adjusted for one another; None for an axis of one group."""
    groups = {axis: axis_groups(study, axis) for axis in axes}
    tests = {axis: _omnibus(study, axis, groups[axis], metric, scorer) for axis in axes}
    known = {axis: test for axis, test in tests.items() if test is not None}
    adjusted = dict(zip(known, holm(np.array([test.p_value for test in known.values()])), strict=True))
    return {
        axis: None if test is None else _verdict(test, adjusted[axis], metric, unit_of(groups[axis]))
        for axis, test in tests.items()
    }


def smallest_told(study: StudyFolder, axis: str, *, metric: str, n: int, scorer: str | None = None) -> float | None:
    """The smallest bias that n texts (or readings) of an axis tell from none, see `sample_size.smallest_bias`.

    By the noise of what the study measured of the axis; None where that does not tell.
    """
    if axis not in measured_axes(study, metric):
        return None
    test = _omnibus(study, axis, axis_groups(study, axis), metric, scorer)
    smallest = np.nan if test is None else smallest_bias(test, times=n / test.n_texts)
    return float(smallest) if smallest > 0 else None


def true_bias_interval(
    study: StudyFolder, axis: str, *, metric: str, scorer: str | None = None
) -> tuple[float, float] | None:
    """The 95 % interval of an axis's true bias, without the test, which takes longer; None for an axis of one group."""
    test = _omnibus(study, axis, axis_groups(study, axis), metric, scorer, permutations=1)
    return None if test is None else test.interval


def _omnibus(
    study: StudyFolder,
    axis: str,
    groups: AxisGroups,
    metric: str,
    scorer: str | None,
    permutations: int = PERMUTATIONS,
) -> Omnibus | None:
    """The omnibus test of one axis; None where fewer than two groups have texts, or one of its groups has none.

    The units are descriptors where every group has MIN_DESCRIPTORS of them, else prompts. From log-odds the mean of the
    prompt's cell is taken away first: what template and stems do to all groups alike.
    """
    sums = _log_odds_by_prompt(study, axis) if metric == "likelihood" else toxicity_sums(study, axis, scorer=scorer)
    known = groups.prompts[["prompt_id", "group", "descriptor"]].drop_duplicates("prompt_id")
    units = sums.merge(known, on="prompt_id").groupby(["group", unit_of(groups)], sort=True)
    rows = units[["n", "f", "f2"]].sum().reset_index()
    return _test(groups, rows["n"], rows["f"], rows["group"], squares=rows["f2"], permutations=permutations)


def unit_of(groups: AxisGroups) -> str:
    """What is dealt among groups: "descriptor" or, where a group has fewer than MIN_DESCRIPTORS, "prompt_id"."""
    fewest = groups.prompts.groupby("group")["descriptor"].nunique().min()
    return "descriptor" if fewest >= MIN_DESCRIPTORS else "prompt_id"


def _log_odds_by_prompt(study: StudyFolder, axis: str) -> pd.DataFrame:
    """prompt_id, n, f and f2 of each read: 1, its mean log-odds less that of its cell and stems, which all groups
    share, and the square of that."""
    rows = odds_values(study, axis)
    shared = rows.groupby(["cell", "block"])["value"].transform("mean")
    value = rows["value"] - shared
    return pd.DataFrame({"prompt_id": rows["prompt_id"], "n": 1.0, "f": value, "f2": value**2})


def prompt_echo(study: StudyFolder, axis: str, *, scorer: str | None = None) -> Estimate | None:
    """The bias of the prompts alone, by the scorer that rates their continuations; None where they were not rated."""
    names = study.shard_names(ECHO, axis, scorer=known_scorer(study, scorer))
    if not names:
        return None
    rated = study.read_shard(names[0]).to_pandas()
    group = study.prompts.frame.set_index("prompt_id")["group"].loc[rated["prompt_id"]]
    test = _test(axis_groups(study, axis), np.ones(len(rated)), rated["toxicity"], group)
    return None if test is None else Estimate(test.bias, test.bias_se, test.n_prompts)


def _test(
    groups: AxisGroups,
    sizes: np.ndarray | pd.Series,
    sums: pd.Series,
    group: pd.Series,
    *,
    squares: pd.Series | None = None,
    permutations: int = PERMUTATIONS,
) -> Omnibus | None:
    codes, shares = groups.codes(group), groups.shares.to_numpy()
    if len(shares) < 2 or np.bincount(codes, minlength=len(shares)).min() == 0:
        return None
    squares = None if squares is None else squares.to_numpy()
    parts = np.asarray(sizes), np.asarray(sums), codes, shares
    return omnibus_test(*parts, squares=squares, permutations=permutations)


def _verdict(test: Omnibus, p_value: float, metric: str, unit: str) -> BiasVerdict:
    found = verdict(test, matters=MATTERS[metric], p_value=p_value)
    low, high = (float(limit) if np.isfinite(limit) else None for limit in test.interval)
    return BiasVerdict(
        found.state,
        float(p_value),
        low,
        high,
        MATTERS[metric],
        more_texts=found.more_texts,
        more_units=found.more_prompts,
        units="descriptors" if unit == "descriptor" else "prompts",
    )
