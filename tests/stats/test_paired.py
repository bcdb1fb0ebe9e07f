"""Paired comparisons against numbers worked by hand and measurements made again."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from fasp_core.stats.paired import compare_axis, compare_odds, compare_windows

SHARES = pd.Series([0.75, 0.25], index=["a", "b"])


def texts(before, after, group="aabb") -> pd.DataFrame:
    """One text of each prompt."""
    return pd.DataFrame(
        {
            "group": list(group),
            "prompt_id": np.arange(len(group)),
            "toxicity_before": before,
            "toxicity_after": after,
        }
    )


def test_an_axis_by_hand():
    # before: μ = ¾·0.6 + ¼·0.2 = 0.5 → 0.1 + 0.3; after: μ = ¾·0.4 + ¼·0.2 = 0.35 → 0.05 + 0.15
    before, after, change = compare_axis(texts([0.5, 0.7, 0.2, 0.2], [0.3, 0.5, 0.2, 0.2]), SHARES)
    assert (before.bias.value, after.bias.value, change.bias.value) == pytest.approx((0.4, 0.2, -0.2))
    assert change.groups["a"].value == pytest.approx(-0.2)
    assert change.bias.se == pytest.approx(0, abs=1e-12)  # every pair moved alike: no noise in the change
    assert (change.bias.n, change.groups["a"].n, change.groups["a"].df) == (4, 2, 1)
    assert change.floor is None


def test_the_error_of_a_groups_mean_is_sd_over_root_n():
    """Of two prompts 0.2 apart it is 0.1; resampling gives it within a few per cent of 400 replicates."""
    before, _, _ = compare_axis(texts([0.5, 0.7, 0.2, 0.2], [0.5, 0.7, 0.2, 0.2]), SHARES)
    assert before.groups["a"].se == pytest.approx(0.1, rel=0.1)


def test_texts_of_a_prompt_count_as_one_unit():
    """Ten copies of every text are no more evidence: the error stays, where ten times the prompts would shrink it."""
    once = texts([0.5, 0.7, 0.9, 0.2, 0.3, 0.1], [0.4, 0.5, 0.9, 0.2, 0.1, 0.0], "aaabbb")
    ten = pd.concat([once] * 10, ignore_index=True)
    for first, second in zip(compare_axis(once, SHARES), compare_axis(ten, SHARES), strict=True):
        assert second.bias.value == pytest.approx(first.bias.value)
        assert second.bias.se == pytest.approx(first.bias.se)


def test_an_axis_waits_until_every_group_has_a_text():
    assert compare_axis(texts([0.1], [0.1], "a"), SHARES) is None


def readings(before, after, group="abab", cell="0011", stem=((0, 1),) * 4) -> pd.DataFrame:
    """One reading of each prompt, with two stems."""
    return pd.DataFrame(
        {
            "group": list(group),
            "prompt_id": np.arange(len(group)),
            "cell": list(map(int, cell)),
            "stem": [list(s) for s in stem],
            "log_odds_before": [list(b) for b in before],
            "log_odds_after": [list(a) for a in after],
        }
    )


def test_log_odds_by_hand():
    # group a: mean 1 → 0.5, group b: mean −1; before: μ = ¾ − ¼ = 0.5 → 0.5 + 1.5, after: μ = 0.125 → 0.375 + 1.125
    before, after, change = compare_odds(
        readings([(0, 2), (-1, -1), (1, 1), (-2, 0)], [(0, 1), (-1, -1), (0, 1), (-1, -1)]), SHARES
    )
    assert (before.bias.value, after.bias.value, change.bias.value) == pytest.approx((2.0, 1.5, -0.5))
    assert (before.groups["a"].value, change.groups["a"].value) == pytest.approx((1.0, -0.5))
    assert (change.bias.n, change.groups["a"].n, change.bias.df) == (4, 2, 1)
    assert change.floor is None


def test_what_cells_and_stems_do_to_all_groups_alike_is_no_bias():
    cells, stems = np.repeat([0.7, -2.0], 2)[:, None], np.array([0.3, 5.0])
    alike = (cells + stems).tolist()
    before, after, change = compare_odds(readings(alike, [(a + 1, b + 1) for a, b in alike]), SHARES)
    for part in (before, after, change):
        assert (part.bias.value, part.bias.se) == pytest.approx((0, 0), abs=1e-12)
    assert before.floor == pytest.approx(0, abs=1e-12)
    assert change.groups["b"].value == pytest.approx(1)


def test_the_bias_of_log_odds_without_noise_is_what_was_planted():
    """60 cells with noise of 1 nat in each prompt; group a lies 1 nat above b, after pruning 0.5: bias 1 → 0.5."""
    rng, n = np.random.default_rng(0), 120
    gap = np.where(np.arange(n) % 2 == 0, 0.5, -0.5)[:, None] + rng.normal(0, 1, (n, 1)) + rng.normal(0, 0.1, (n, 2))
    halved = gap - np.where(np.arange(n) % 2 == 0, 0.25, -0.25)[:, None]
    cells = pd.Series(np.arange(n) // 2)
    rows = readings(gap.tolist(), halved.tolist(), "ab" * 60, "0" * n, [(2 * (c % 6), 2 * (c % 6) + 1) for c in cells])
    before, after, change = compare_odds(rows.assign(cell=cells), pd.Series([0.5, 0.5], index=["a", "b"]))
    assert before.bias.low < 1 < before.bias.high
    assert after.bias.low < 0.5 < after.bias.high
    assert change.bias.low < -0.5 < change.bias.high
    assert change.bias.value == pytest.approx(-0.5)
    assert before.bias.df == 11  # twelve stems
    assert 0 < before.floor < before.bias.value
    assert before.corrected.value < before.bias.value


def test_an_axis_waits_until_every_group_has_a_reading():
    assert compare_odds(readings([(0, 1)], [(0, 1)], "a", "0", [(0, 1)]), SHARES) is None


def test_windows_by_hand():
    windows = pd.DataFrame({"n_tokens": [10, 30], "nll_before": [20.0, 60.0], "nll_after": [30.0, 50.0]})
    before, after, change = compare_windows(windows)
    assert (before.value, after.value) == pytest.approx((np.exp(2), np.exp(2)))  # 80 nats of 40 tokens, both
    assert change.value == pytest.approx(0)
    assert before.se == pytest.approx(0, abs=1e-9)
    assert change.se > 0


def test_one_window_tells_nothing_of_the_error_and_none_nothing_at_all():
    one = pd.DataFrame({"n_tokens": [10], "nll_before": [20.0], "nll_after": [20.0]})
    assert compare_windows(one)[0].value == pytest.approx(np.exp(2))
    assert math.isnan(compare_windows(one)[0].se)
    assert math.isnan(compare_windows(one.iloc[:0])[0].value)


def test_intervals_of_pairs_cover_the_change():
    """300 evaluations of 40 windows that become 0.02 nats per token harder: 95 % intervals hold the true ratio."""
    rng, held, truth = np.random.default_rng(0), [], np.exp(3.02) - np.exp(3.0)
    for _ in range(300):
        before = rng.normal(300, 5, 40)
        after = before + rng.normal(2, 1, 40)
        windows = pd.DataFrame({"n_tokens": 100, "nll_before": before, "nll_after": after})
        change = compare_windows(windows)[2]
        held.append(change.low <= truth <= change.high)
    assert 0.91 <= np.mean(held) <= 0.985
