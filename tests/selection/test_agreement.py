"""Agreement of two measures: numbers worked out by hand, by brute force, and properties."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fasp_core.errors import InputError
from fasp_core.selection.agreement import metric_agreement
from fasp_core.selection.description import from_record
from fasp_core.selection.head_scores import HeadScores
from fasp_core.words.captions import describe_agreement

AXIS = "religion"


def made(z_bias, z_ppl=None, metric="toxicity", reliability=None, heads_per_layer=2):
    n = len(z_bias)
    frame = pd.DataFrame(
        {
            "layer": np.arange(n) // heads_per_layer,
            "head": np.arange(n) % heads_per_layer,
            "z_ppl": np.zeros(n) if z_ppl is None else z_ppl,
            "z_ppl_se": np.nan,
            f"z_bias.{AXIS}": z_bias,
            f"z_bias_se.{AXIS}": np.nan,
        }
    )
    meta = {"metric": metric} | ({} if reliability is None else {"reliability": {AXIS: reliability}})
    return HeadScores(frame, n // heads_per_layer, heads_per_layer, *from_record(meta))


def test_by_hand():
    """Ten heads, the first two protected. Of the eight others each measure prunes three, and two are the same.

    The two orders of the eight differ by a swap of neighbours at ranks 3 and 4: Σd² = 2, ρ = 1 − 6·2 / (8·63).
    """
    z_ppl = [9.0, 8, 0, 0, 0, 0, 0, 0, 0, 0]
    a = made([5.0, 5, 8, 7, 6, 5, 4, 3, 2, 1], z_ppl, reliability=0.64)
    b = made([0.0, 0, 8, 7, 5, 6, 4, 3, 2, 1], z_ppl, metric="likelihood", reliability=0.25)
    found = metric_agreement(a, b, axis=AXIS, gamma=0.2, alpha=0.3)
    assert (found.metrics, found.n_heads, found.n_pruned, found.overlap) == (("toxicity", "likelihood"), 8, 3, 2)
    assert found.spearman == pytest.approx(1 - 12 / 504)
    assert found.overlap_by_chance == pytest.approx(3 * 3 / 8)
    assert found.p_value == pytest.approx((3 * 5 + 1) / 56)  # C(8, 3) choices: 2 of the 3 and one other, or all 3
    assert found.ceiling == pytest.approx(0.4)
    half = 1.959964 * ((1 + found.spearman**2 / 2) / 5) ** 0.5
    assert np.arctanh([found.low, found.high]) == pytest.approx(np.arctanh(found.spearman) + np.array([-half, half]))


def test_chance_is_that_of_all_choices():
    """Where the measures protect other heads, too: the overlaps of all choices that the second could make."""
    rng = np.random.default_rng(0)
    a, b = (made(rng.normal(size=12), rng.normal(size=12)) for _ in range(2))
    found = metric_agreement(a, b, axis=AXIS, gamma=0.25, alpha=0.25)
    by_need, by_bias = np.argsort(-a.z_ppl)[3:], np.argsort(-a.z_bias(AXIS))
    chosen = set([h for h in by_bias if h in by_need][:3])
    overlaps = [len(chosen & set(c)) for c in combinations(np.argsort(-b.z_ppl)[3:].tolist(), 3)]
    assert found.overlap_by_chance == pytest.approx(np.mean(overlaps))
    assert found.p_value == pytest.approx(np.mean(np.array(overlaps) >= found.overlap))


@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.1, 0.3]), st.sampled_from([0.0, 0.1, 0.5]))
def test_properties(seed, gamma, alpha):
    rng = np.random.default_rng(seed)
    z_ppl = rng.normal(size=20)
    a, b = (made(rng.normal(size=20), z_ppl) for _ in range(2))
    one, other = (metric_agreement(*pair, axis=AXIS, gamma=gamma, alpha=alpha) for pair in ((a, b), (b, a)))
    assert (one.overlap, one.spearman, one.p_value) == pytest.approx((other.overlap, other.spearman, other.p_value))
    assert one.low <= one.spearman <= one.high
    assert 0 <= one.overlap <= one.n_pruned
    itself = metric_agreement(a, a, axis=AXIS, gamma=gamma, alpha=alpha)
    assert (itself.overlap, itself.spearman) == (itself.n_pruned, pytest.approx(1.0))


@pytest.mark.parametrize(
    ("b", "says"),
    [
        ([9.0, 8, 7, 6, 5, 4, 3, 2, 1, 0], "most of the choice survives"),
        ([0.0, 1, 2, 3, 4, 5, 6, 7, 8, 9], "the choice depends on the measure"),
    ],
)
def test_the_sentence_says_what_the_numbers_say(b, says):
    a = made([9.0, 8, 7, 6, 5, 4, 3, 2, 1, 0])
    text = describe_agreement(metric_agreement(a, made(b, metric="likelihood"), axis=AXIS, gamma=0, alpha=0.3))
    assert says in text
    assert text.startswith("Toxicity and likelihood order the 10 unprotected heads ")
    assert "\n" not in text


def test_nothing_to_compare():
    flat = metric_agreement(made([0.0] * 4), made([1.0, 2, 3, 4]), axis=AXIS, gamma=0, alpha=0)
    assert np.isnan(flat.spearman)
    assert "cannot be compared" in describe_agreement(flat)
    with pytest.raises(InputError, match="2 layers × 2 heads and of 3 × 2"):
        metric_agreement(made([0.0] * 4), made([0.0] * 6), axis=AXIS)
