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
from fasp_core.stats.unit_effects import unit_effects
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

    The units are descriptors where every group has MIN_DESCRIPTORS of them, else prompts. What template and stems do to
    the log-odds of all groups alike is no noise: see `unit_effects` and, where prompts are dealt, `block` of the test.
    """
    unit, known = unit_of(groups), groups.prompts.drop_duplicates("prompt_id")
    block = None
    if metric == "likelihood":
        rows = odds_values(study, axis).merge(known, on="prompt_id")
        shared = _share_templates(rows)
        if unit == "descriptor":
            contexts = rows.groupby(["template", "block"], sort=False).ngroup().to_numpy()
            rows = _of_descriptors(rows, contexts if shared else np.zeros(len(rows), int))
        else:
            rows = rows.assign(n=1.0, f=rows["value"], f2=rows["value"] ** 2)
            rows = rows.groupby(["group", unit, "template"], sort=True)[["n", "f", "f2"]].sum().reset_index()
            block = rows["template"] if shared else None
    else:
        sums = toxicity_sums(study, axis, scorer=scorer).merge(known, on="prompt_id")
        rows = sums.groupby(["group", unit], sort=True)[["n", "f", "f2"]].sum().reset_index()
    return _test(
        groups, rows["n"], rows["f"], rows["group"], squares=rows["f2"], block=block, permutations=permutations
    )


def unit_of(groups: AxisGroups) -> str:
    """What is dealt among groups: "descriptor" or, where a group has fewer than MIN_DESCRIPTORS, "prompt_id"."""
    fewest = groups.prompts.groupby("group")["descriptor"].nunique().min()
    return "descriptor" if fewest >= MIN_DESCRIPTORS else "prompt_id"


def _share_templates(rows: pd.DataFrame) -> bool:
    """Whether half the readings, at least, of the group with the fewest have a template with stems that others have."""
    groups = rows.groupby(["template", "block"])["group"].transform("nunique")
    fewest = rows["group"].value_counts().idxmin()
    return bool((groups > 1)[rows["group"] == fewest].mean() >= 0.5)


def _of_descriptors(rows: pd.DataFrame, context: np.ndarray) -> pd.DataFrame:
    """group, n, f and f2 of each descriptor: its readings, their summed effect, and squares that tell their noise.

    `context` (readings) are the codes of what is shared with other descriptors.
    """
    units = rows.groupby(["group", "descriptor"], sort=True)
    names = units.size().index
    group = names.codes[0]
    found = unit_effects(rows["value"].to_numpy(), units.ngroup().to_numpy(), context, group)
    n, f = found.readings.astype(float), found.readings * found.effect
    noise = (found.noise * np.bincount(group, n))[group]  # of a single reading
    return pd.DataFrame({"group": names.get_level_values("group"), "n": n, "f": f, "f2": f**2 / n + noise * (n - 1)})


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
    block: pd.Series | None = None,
    permutations: int = PERMUTATIONS,
) -> Omnibus | None:
    codes, shares = groups.codes(group), groups.shares.to_numpy()
    if len(shares) < 2 or np.bincount(codes, minlength=len(shares)).min() == 0:
        return None
    squares = None if squares is None else squares.to_numpy()
    blocks = None if block is None else block.to_numpy()
    parts = np.asarray(sizes), np.asarray(sums), codes, shares
    return omnibus_test(*parts, squares=squares, block=blocks, permutations=permutations)


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
