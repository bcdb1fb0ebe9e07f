"""Selection against the rule of the paper, written out plainly, and against what must hold for any scores."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from helpers.made_scores import AXIS, flat, make_scores, ranked
from hypothesis import given
from hypothesis import strategies as st

from fasp_core.errors import InputError
from fasp_core.selection.rules import METHODS
from fasp_core.selection.select_heads import head_count, select_heads


def test_fasp_worked_by_hand():
    # z_ppl protects heads 3 and 0 (γ = 0.4 of 5); of 1, 2, 4 the highest z_bias is head 4's, then head 1's.
    scores = make_scores(ppl=[5, 1, 2, 9, 0], bias=[0.9, 0.2, 0.1, 0.8, 0.3])
    selection = select_heads(scores, axis=AXIS, gamma=0.4, alpha=0.4)
    assert selection.protected == ((0, 0), (3, 0))
    assert selection.pruned == ((1, 0), (4, 0))
    assert selection.kept == ((2, 0),)
    assert selection.roles().tolist() == ["protected", "pruned", "kept", "protected", "pruned"]


def test_heads_are_layer_and_head():
    scores = make_scores(ppl=[0, 0, 0, 7, 0, 0], bias=[0, 0, 0, 9, 5, 0], heads_per_layer=3)
    selection = select_heads(scores, axis=AXIS, gamma=0.2, alpha=0.2)
    assert selection.protected == ((1, 0),)
    assert selection.pruned == ((1, 1),)


@pytest.mark.parametrize(
    ("method", "pruned"),
    [
        ("bias_only", [0, 3]),
        ("ppl_only", [1, 4]),
        ("magnitude_l2", [2, 3]),
        ("mask_gradient_l2", [0, 1]),
        ("activation_difference", [1, 4]),
    ],
)
def test_baselines_worked_by_hand(method, pruned):
    scores = make_scores(
        ppl=[5, 1, 2, 9, 0],
        bias=[0.9, 0.2, 0.1, 0.8, 0.3],
        magnitude_l2=[5.0, 4, 1, 2, 3],
        mask_gradient_l2=[1.0, 1, 1, 1, 1],
        **{f"activation_difference.{AXIS}": [0.1, 0.3, 0.2, 0.1, 0.4]},
    )
    selection = select_heads(scores, method, axis=AXIS, gamma=0.9, alpha=0.4)
    assert flat(selection.pruned) == pruned
    assert selection.protected == ()
    assert selection.gamma == 0


def test_random_is_seeded_and_changes_with_the_seed():
    scores = make_scores(ppl=range(100), bias=range(100))
    chosen = [select_heads(scores, "random", alpha=0.2, seed=seed).pruned for seed in (1, 1, 2)]
    assert chosen[0] == chosen[1] != chosen[2]
    assert len(set(chosen[0])) == 20


@pytest.mark.parametrize(
    ("share", "n", "count"),
    [
        (0.29, 100, 29),
        (0.57, 100, 57),
        (0.3, 10, 3),
        (0.1, 144, 14),
        (0.0, 9, 0),
        (1.0, 9, 9),
        (1, 9, 9),
        (np.float32(0.29), 100, 29),
    ],
)
def test_head_count_is_that_of_the_decimal_number(share, n, count):
    assert head_count(share, n) == count


@given(cents=st.integers(0, 100), n=st.integers(1, 2000))
def test_head_count_of_two_decimals_is_integer_division(cents, n):
    assert head_count(cents / 100, n) == cents * n // 100


def test_gamma_and_alpha_may_fill_up_exactly():
    # 1 − 0.9 is 0.09999999999999998 in floats; as decimals 0.9 + 0.1 is 1.
    scores = make_scores(ppl=range(10), bias=range(10))
    selection = select_heads(scores, axis=AXIS, gamma=0.9, alpha=0.1)
    assert flat(selection.pruned) == [0]
    assert selection.kept == ()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"gamma": -0.1}, "gamma must be a number from 0 to 1"),
        ({"gamma": 1.01}, "gamma must be a number from 0 to 1"),
        ({"alpha": float("nan")}, "alpha must be a number from 0 to 1"),
        ({"alpha": "0.1"}, "alpha must be a number from 0 to 1"),
        ({"alpha": True}, "alpha must be a number from 0 to 1"),
        ({"gamma": 0.8, "alpha": 0.3}, "alpha 0.3 is more than 1 − gamma = 0.2"),
        ({"axis": "gender_and_sx"}, "did you mean 'gender_and_sex'"),
        ({"axis": None}, "needs an axis"),
        ({"method": "fsap"}, "did you mean 'fasp'"),
        ({"method": "magnitude_l2"}, "no column 'magnitude_l2'"),
        ({"method": "random", "seed": -1}, "seed must be"),
    ],
)
def test_bad_input_is_one_clear_line(options, words):
    scores = make_scores(ppl=range(4), bias=range(4))
    with pytest.raises(InputError, match=words) as caught:
        select_heads(scores, **{"axis": AXIS, **options})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("column", "method"), [("z_ppl", "fasp"), ("bias", "fasp"), ("bias", "bias_only"), ("z_ppl", "ppl_only")]
)
def test_too_few_values_are_refused_and_a_head_without_one_is_named(column, method):
    ppl, bias = [1.0, 2, 3, 4], [1.0, 2, 3, 4]
    (ppl if column == "z_ppl" else bias)[2] = np.nan
    scores = make_scores(ppl, bias, heads_per_layer=2)
    with pytest.raises(
        InputError, match=r"4 heads are wanted and only 3 of 4 have a value \(z_.*head \(1, 0\) has none"
    ):
        select_heads(scores, method, axis=AXIS, gamma=0.0, alpha=1.0)


def test_one_unmeasured_head_is_never_chosen_and_said_so():
    # Head 2 has no z_bias: of the others 1 and 4 drive most; head 0 has no z_ppl, so γ protects 3 and 1 instead.
    scores = make_scores(ppl=[5, 1, 2, 9, 0], bias=[0.9, 0.2, np.nan, 0.8, 0.3])
    selection = select_heads(scores, axis=AXIS, gamma=0.0, alpha=0.8)
    assert flat(selection.pruned) == [0, 1, 3, 4]
    assert flat(selection.kept) == flat(selection.unmeasured) == [2]
    assert selection.note == "head 2.0 (layer.head): not measured, so never pruned by this rule"
    scores = make_scores(ppl=[np.nan, 1, 2, 9, 0], bias=[0.9, 0.2, 0.1, 0.8, 0.3])
    selection = select_heads(scores, axis=AXIS, gamma=0.4, alpha=0.4)
    assert flat(selection.protected) == [2, 3]
    assert flat(selection.pruned) == [1, 4]
    assert flat(selection.unmeasured) == [0]
    assert select_heads(make_scores(range(5), range(5)), axis=AXIS).note is None


def test_many_unmeasured_heads_are_counted():
    scores = make_scores(range(20), [np.nan] * 8 + [1.0] * 12, heads_per_layer=2)
    note = select_heads(scores, "bias_only", axis=AXIS).note
    assert note == "heads 0.0, 0.1, 1.0, 1.1, 2.0 and 3 more (layer.head): not measured, so never pruned by this rule"


def test_a_nan_that_is_not_needed_does_not_matter():
    scores = make_scores([1.0, 2, 3, np.nan], [1.0, 2, 3, 4])
    assert flat(select_heads(scores, "bias_only", axis=AXIS, alpha=0.25).pruned) == [3]


few_values = st.integers(-2, 2).map(float)  # few different values: many ties
shares = st.tuples(st.integers(0, 100), st.integers(0, 100)).filter(lambda s: sum(s) <= 100)


@st.composite
def tables(draw, values=few_values):
    per_layer, layers = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    column = st.lists(values, min_size=per_layer * layers, max_size=per_layer * layers)
    return make_scores(
        draw(column),
        draw(column),
        per_layer,
        se=draw(st.lists(st.sampled_from([0.0, 0.5, 2.0]), min_size=per_layer * layers, max_size=per_layer * layers)),
        meta={"base_bias": {AXIS: 1.0}},
        magnitude_l2=draw(column),
        mask_gradient_l2=draw(column),
        **{f"activation_difference.{AXIS}": draw(column)},
    )


@given(scores=tables(), share=shares)
def test_fasp_equals_the_rule_written_out(scores, share):
    gamma, alpha = share[0] / 100, share[1] / 100
    n = scores.n_heads
    protected = ranked(scores.z_ppl, range(n))[: share[0] * n // 100]
    rest = [i for i in range(n) if i not in protected]
    pruned = ranked(scores.z_bias(AXIS), rest)[: share[1] * n // 100]
    selection = select_heads(scores, axis=AXIS, gamma=gamma, alpha=alpha)
    assert flat(selection.protected, scores.heads_per_layer) == sorted(protected)
    assert flat(selection.pruned, scores.heads_per_layer) == sorted(pruned)


@given(
    scores=tables(),
    share=shares,
    method=st.sampled_from([m for m in METHODS if m not in ("fasp_iterative", "fasp_joint")]),
)
def test_exact_counts_and_a_partition(scores, share, method):
    selection = select_heads(scores, method, axis=AXIS, gamma=share[0] / 100, alpha=share[1] / 100)
    assert len(selection.pruned) == share[1] * scores.n_heads // 100
    parts = [*selection.pruned, *selection.protected, *selection.kept]
    assert sorted(parts) == [
        (layer, head) for layer in range(scores.n_layers) for head in range(scores.heads_per_layer)
    ]


@given(scores=tables(st.floats(-1, 1)), share=shares, data=st.data())
def test_relabelling_heads_relabels_the_selection(scores, share, data):
    """Without ties, the choice depends on a head's scores, not on its place."""
    n = scores.n_heads
    order = data.draw(st.permutations(range(n)))
    ppl, bias = (
        np.argsort(np.argsort(scores.z_ppl, kind="stable")),
        np.argsort(np.argsort(scores.z_bias(AXIS), kind="stable")),
    )
    gamma, alpha = share[0] / 100, share[1] / 100
    plain = select_heads(make_scores(ppl, bias), axis=AXIS, gamma=gamma, alpha=alpha)
    moved = select_heads(make_scores(ppl[order], bias[order]), axis=AXIS, gamma=gamma, alpha=alpha)
    assert sorted(order[i] for i in flat(moved.pruned)) == flat(plain.pruned)
    assert sorted(order[i] for i in flat(moved.protected)) == flat(plain.protected)


@given(scores=tables(), share=shares, data=st.data())
def test_a_pruned_head_that_drives_more_bias_stays_pruned(scores, share, data):
    gamma, alpha = share[0] / 100, share[1] / 100
    before = flat(select_heads(scores, axis=AXIS, gamma=gamma, alpha=alpha).pruned, scores.heads_per_layer)
    if not before:
        return
    head, bias = data.draw(st.sampled_from(before)), scores.z_bias(AXIS).copy()
    bias[head] += data.draw(st.floats(0, 10))
    after = make_scores(scores.z_ppl, bias, scores.heads_per_layer)
    assert flat(select_heads(after, axis=AXIS, gamma=gamma, alpha=alpha).pruned, scores.heads_per_layer) == before


@given(scores=tables(), gamma=st.integers(0, 50), low=st.integers(0, 50), high=st.integers(0, 50))
def test_a_larger_alpha_only_adds_heads(scores, gamma, low, high):
    low, high = sorted((low, high))
    small, large = (select_heads(scores, axis=AXIS, gamma=gamma / 100, alpha=a / 100).pruned for a in (low, high))
    assert set(small) <= set(large)


# -- three methods of our own ---------------------------------------------------------------------------------------


def test_selecting_never_imports_torch():
    code = (
        "import sys, fasp_core as f; f.select_heads, f.read_head_scores, f.HeadScores; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0


def test_a_nan_matters_only_where_its_head_must_be_ranked():
    ppl, bias = [9.0, 1, 2, 3, 4, 5, 6, 7, 8, 0], np.arange(10.0)
    bias[0] = np.nan  # head 0 is the first that γ protects
    scores = make_scores(ppl, bias, magnitude_l2=np.arange(10.0), mask_gradient_l2=np.arange(10.0))
    assert flat(select_heads(scores, axis=AXIS, gamma=0.1, alpha=0.2).pruned) == [8, 9]
    for method in ("ppl_only", "magnitude_l2", "mask_gradient_l2", "random"):
        assert len(select_heads(scores, method, axis=AXIS, alpha=0.2).pruned) == 2
    for method, gamma in (("fasp", 0.0), ("bias_only", 0.1)):
        selection = select_heads(scores, method, axis=AXIS, gamma=gamma, alpha=0.9)
        assert flat(selection.pruned) == list(range(1, 10))
        assert flat(selection.unmeasured) == [0]
        with pytest.raises(InputError, match=r"\(z_bias of gender_and_sex\), head \(0, 0\) has none: it was not"):
            select_heads(
                scores, method, axis=AXIS, gamma=gamma, alpha=1.0 if gamma == 0 or method == "bias_only" else 0.9
            )


def test_a_nan_of_a_protected_head_leaves_the_expected_values_alone():
    rng = np.random.default_rng(0)
    ppl, bias, se = np.arange(20.0), rng.normal(size=20), rng.uniform(0.1, 1, 20)
    with_nan, se_with_nan = bias.copy(), se.copy()
    with_nan[19] = se_with_nan[19] = np.nan
    chosen = [
        select_heads(make_scores(ppl, b, **{f"z_bias_se.{AXIS}": s}), "fasp_robust", axis=AXIS, gamma=0.2, alpha=0.2)
        for b, s in ((bias, se), (with_nan, se_with_nan))
    ]
    assert chosen[0].pruned == chosen[1].pruned
