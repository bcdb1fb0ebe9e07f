"""Selection against the published rule, written out plainly, and against what must hold for any scores."""

from __future__ import annotations

import json
import subprocess
import sys
from decimal import Decimal
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from published_files import published_json, published_scores, published_values

from fasp_core.errors import InputError
from fasp_core.head_scores import HeadScores, read_head_scores
from fasp_core.published import LAYOUTS
from fasp_core.rules import METHODS
from fasp_core.selection import head_count, select_heads
from fasp_core.shrinkage import posterior_mean

AXIS, OTHER = "gender_and_sex", "religion"


def make_scores(ppl, bias, heads_per_layer: int = 1, *, se=np.nan, meta=None, **extra) -> HeadScores:
    n = len(ppl)
    frame = {
        "layer": np.arange(n) // heads_per_layer, "head": np.arange(n) % heads_per_layer,
        "z_ppl": np.asarray(ppl, float), "z_ppl_se": np.full(n, np.nan),
        f"z_bias.{AXIS}": np.asarray(bias, float), f"z_bias_se.{AXIS}": np.broadcast_to(se, n).astype(float), **extra,
    }  # fmt: skip
    return HeadScores(pd.DataFrame(frame), n // heads_per_layer, heads_per_layer, meta or {})


def flat(heads, heads_per_layer: int = 1) -> list[int]:
    return [layer * heads_per_layer + head for layer, head in heads]


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
    [("bias_only", [0, 3]), ("ppl_only", [1, 4]), ("magnitude_l2", [2, 3]), ("mask_gradient_l2", [0, 1])],
)
def test_baselines_worked_by_hand(method, pruned):
    scores = make_scores(
        ppl=[5, 1, 2, 9, 0],
        bias=[0.9, 0.2, 0.1, 0.8, 0.3],
        magnitude_l2=[5.0, 4, 1, 2, 3],
        mask_gradient_l2=[1.0, 1, 1, 1, 1],
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
def test_a_needed_nan_is_refused_and_the_head_named(column, method):
    ppl, bias = [1.0, 2, 3, 4], [1.0, 2, 3, 4]
    (ppl if column == "z_ppl" else bias)[2] = np.nan
    scores = make_scores(ppl, bias, heads_per_layer=2)
    with pytest.raises(InputError, match=r"head \(1, 0\) has no z_"):
        select_heads(scores, method, axis=AXIS)


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
        draw(column), draw(column), per_layer,
        se=draw(st.lists(st.sampled_from([0.0, 0.5, 2.0]), min_size=per_layer * layers, max_size=per_layer * layers)),
        meta={"base_bias": {AXIS: 1.0}}, magnitude_l2=draw(column), mask_gradient_l2=draw(column),
    )  # fmt: skip


def ranked(values, ids) -> list[int]:
    """Ids by falling value, ties by id: a sort written out, independent of numpy's."""
    return sorted(ids, key=lambda i: (-values[i], i))


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


@given(scores=tables(), share=shares, method=st.sampled_from([m for m in METHODS if m != "fasp_iterative"]))
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


def test_robust_prefers_a_smaller_score_that_is_sure():
    """Twelve heads of pure noise, one large score with a huge error, one smaller with a small error."""
    z = [0.1, -0.1, 0.2, -0.2, 0.1, -0.1, 0.05, -0.05, 0.1, -0.1, 0.0, 0.1, 3.0, 1.0]
    scores = make_scores([0.0] * 14, z, se=[0.1] * 12 + [3.0, 0.1])
    assert flat(select_heads(scores, "fasp", axis=AXIS, gamma=0, alpha=0.08).pruned) == [12]
    assert flat(select_heads(scores, "fasp_robust", axis=AXIS, gamma=0, alpha=0.08).pruned) == [13]


def test_equal_errors_keep_the_order_of_the_scores():
    z = np.random.default_rng(0).normal(size=40)
    scores = make_scores(np.zeros(40), z, se=0.5)
    plain, robust = (select_heads(scores, m, axis=AXIS, gamma=0, alpha=0.25).pruned for m in ("fasp", "fasp_robust"))
    assert plain == robust


def test_posterior_mean_of_a_normal_prior_by_its_formula():
    """Many scores from N(0, 2²) with error 1: E[true | z] = z · 4 / 5; the fitted mixture comes close to it."""
    rng = np.random.default_rng(1)
    z = rng.normal(0, 2, 4000) + rng.normal(0, 1, 4000)
    inside = np.abs(z) < 4
    assert posterior_mean(z, np.ones(4000))[inside] == pytest.approx(0.8 * z[inside], abs=0.25)


@given(st.lists(st.tuples(st.floats(-50, 50), st.sampled_from([0.0, 1e-9, 0.3, 7.0])), min_size=1, max_size=20))
def test_a_posterior_mean_lies_between_0_and_the_score(pairs):
    z, se = np.array(pairs).T
    shrunken = posterior_mean(z, se)
    assert np.isfinite(shrunken).all()
    assert ((shrunken * z >= 0) & (np.abs(shrunken) <= np.abs(z) * (1 + 1e-12))).all()


@pytest.mark.parametrize("seed", range(5))
def test_robust_beats_fasp_out_of_sample_when_scores_are_noisy(seed):
    """True scores are known here: what fasp_robust prunes drives more bias, on average of 40 measurements."""
    rng = np.random.default_rng(seed)
    true = rng.normal(size=200)
    yields = {"fasp": [], "fasp_robust": []}
    for _ in range(40):
        se = np.exp(rng.normal(0.5, 0.6, 200))
        scores = make_scores(np.zeros(200), true + se * rng.normal(size=200), se=se)
        for method, found in yields.items():
            found.append(true[flat(select_heads(scores, method, axis=AXIS, gamma=0, alpha=0.1).pruned)].sum())
    gain = np.subtract(yields["fasp_robust"], yields["fasp"])
    assert gain.mean() > 4 * gain.std(ddof=1) / np.sqrt(40)


@pytest.mark.parametrize("seed", range(5))
def test_fasp_finds_the_best_set_when_effects_add_up(seed):
    """A model of bias in which every head takes away its own share: no other set of that size removes more."""
    rng = np.random.default_rng(seed)
    effect, needed = rng.normal(size=12), rng.normal(size=12)
    selection = select_heads(make_scores(needed, effect), axis=AXIS, gamma=0.25, alpha=0.25)
    protected = set(np.argsort(-needed)[:3])
    sets = [s for s in combinations(range(12), 3) if not protected & set(s)]
    assert tuple(flat(selection.pruned)) == max(sets, key=lambda s: effect[list(s)].sum())


def two_axes(first, second, base=(1.0, 1.0), se=1e-3):
    n = len(first)
    return make_scores(
        np.zeros(n), first, se=se, meta={"base_bias": {AXIS: base[0], OTHER: base[1]}},
        **{f"z_bias.{OTHER}": np.asarray(second, float), f"z_bias_se.{OTHER}": np.full(n, se)},
    )  # fmt: skip


def test_multi_adds_up_shares_of_each_bias():
    # Shares removed: head 0: 0.3/1 + 0; head 1: 0.1/1 + 3/10 = 0.4; head 2: 0 + 2/10.
    scores = two_axes([0.3, 0.1, 0.0, -0.2], [0.0, 3.0, 2.0, -1.0], base=(1.0, 10.0))
    chosen = {
        weights: flat(select_heads(scores, "fasp_multi", gamma=0, alpha=0.25, weights=weights and dict(weights)).pruned)
        for weights in (None, ((AXIS, 1.0),), ((AXIS, 1.0), (OTHER, 0.0)), ((OTHER, 2.0),), ((AXIS, 9), (OTHER, 1)))
    }
    assert list(chosen.values()) == [[1], [0], [0], [1], [0]]
    assert select_heads(scores, "fasp_multi", gamma=0, alpha=0.25).weights == ((AXIS, 1.0), (OTHER, 1.0))


@given(scale=st.floats(0.01, 100))
def test_multi_does_not_depend_on_the_unit_of_an_axis(scale):
    rng = np.random.default_rng(2)
    first, second = rng.normal(size=20), rng.normal(size=20)
    chosen = [
        select_heads(two_axes(first, s * second, base=(1, 3 * s), se=1e-9), "fasp_multi", gamma=0, alpha=0.3).pruned
        for s in (1.0, scale)
    ]
    assert chosen[0] == chosen[1]


def test_iterative_takes_the_stored_order():
    scores = make_scores([9.0, 0, 0, 0, 0], range(5), meta={"iterative": {AXIS: {"0.2": [2, 1, 4]}}, "study": "mine"})
    chosen = [
        flat(select_heads(scores, "fasp_iterative", axis=AXIS, gamma=0.2, alpha=a).pruned) for a in (0.2, 0.4, 0.6)
    ]
    assert chosen == [[2], [1, 2], [1, 2, 4]]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "fasp_robust"}, "by its standard error, and these scores hold none"),
        ({"method": "fasp_multi"}, "by its standard error, and these scores hold none"),
        ({"method": "fasp_multi", "weights": {"age": 1}}, "no scores for axis 'age'"),
        ({"method": "fasp_multi", "weights": {AXIS: -1}}, "must be a number of at least 0"),
        ({"method": "fasp_multi", "weights": {AXIS: 0}}, "an axis with a weight above 0"),
        ({"method": "fasp_iterative"}, r"gamma 0\.3 is not known; the model finds it: python -m fasp_core compare"),
    ],
)
def test_what_a_method_lacks_is_one_clear_line(options, words):
    with pytest.raises(InputError, match=words) as caught:
        select_heads(make_scores(range(10), range(10)), **{"axis": AXIS, **options})
    assert "\n" not in str(caught.value)


def test_selecting_never_imports_torch():
    code = (
        "import sys, fasp_core as f; f.select_heads, f.read_head_scores, f.HeadScores; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0


def published_rule(ppl, bias, gamma: float, alpha: float) -> tuple[set[int], set[int], bool]:
    """The paper's rule on knocked-out values: (protected, pruned, whether both cuts fall between different values)."""
    n = len(ppl)
    n_protected, n_pruned = int(Decimal(str(gamma)) * n), int(Decimal(str(alpha)) * n)
    by_ppl = sorted(range(n), key=lambda i: -ppl[i])
    protected, rest = set(by_ppl[:n_protected]), by_ppl[n_protected:]
    by_bias = sorted(rest, key=lambda i: bias[i])
    clear = ppl[by_ppl[n_protected - 1]] != ppl[by_ppl[n_protected]]
    clear &= n_pruned == 0 or bias[by_bias[n_pruned - 1]] != bias[by_bias[n_pruned]]
    return protected, set(by_bias[:n_pruned]), clear


GRID = [(g / 100, a / 100) for g in range(20, 71, 5) for a in range(2, 21)]


@pytest.mark.parametrize("model", ["gpt2", "distilgpt2"])
@pytest.mark.parametrize("kind", ["csv", "json"])
def test_published_files_give_the_published_selection(model, kind):
    scores = published_scores(model, kind)
    ppl, biases = published_values(model, kind)
    compared = 0
    for axis, bias in biases.items():
        for gamma, alpha in GRID:
            protected, pruned, clear = published_rule(ppl, bias, gamma, alpha)
            selection = select_heads(scores, axis=axis, gamma=gamma, alpha=alpha)
            assert len(selection.pruned) == len(pruned)
            if clear:
                compared += 1
                assert set(flat(selection.protected, 12)) == protected
                assert set(flat(selection.pruned, 12)) == pruned
    assert compared > 0.9 * len(biases) * len(GRID)


@pytest.mark.parametrize("model", ["gpt2", "distilgpt2"])
def test_published_baselines_give_the_published_selection(model):
    scores, entry = published_scores(model, "json"), published_json()[model]
    names = {
        "bias_only": f"cont_to_{AXIS}_bias", "ppl_only": "cont_to_ppl", "magnitude_l2": "magnitude_l2_structured",
        "mask_gradient_l2": "mask_gradient_l2_structured",
    }  # fmt: skip
    for method, name in names.items():
        values = np.array(entry[name])
        for percent in range(1, 21):
            pruned = select_heads(scores, method, axis=AXIS, alpha=percent / 100).pruned
            count = percent * values.size // 100
            if count and np.sort(values)[count - 1] != np.sort(values)[count]:
                assert set(flat(pruned, 12)) == set(np.flatnonzero(values <= np.sort(values)[count - 1]))
            assert len(pruned) == count


@settings(max_examples=200)
@given(st.lists(st.floats(30, 31).map(lambda x: round(x, 14)), min_size=4, max_size=12))
def test_differences_to_the_median_never_decide_ties(values):
    """Two different values whose z is rounded to the same number keep their order."""
    z = np.array(values) - np.median(values)
    scores = make_scores(z, z, ppl_without_head=np.array(values))
    count = len(values) // 2
    expected = sorted(range(len(values)), key=lambda i: (values[i], i))[:count]
    assert flat(select_heads(scores, "ppl_only", alpha=0.5).pruned) == sorted(expected)


@pytest.mark.parametrize(
    "model", ["gpt-j-6B", "EleutherAI/gpt-neo-1.3B", "facebook/opt-350m", "meta-llama/Llama-2-7b-chat-hf"]
)
@pytest.mark.parametrize("kind", ["csv", "json"])
def test_other_files_of_the_published_kinds(tmp_path, model, kind):
    """Coarse perplexities, as published, make ties: exactly the asked number is taken, lowest flat id first."""
    layers, heads = LAYOUTS[model.split("/")[-1]]
    n, rng = layers * heads, np.random.default_rng(len(model))
    ppl, bias = rng.choice(np.linspace(9, 9.3, 16).round(3), n), 0.4 + rng.normal(0, 0.02, n).round(3)
    path = tmp_path / f"head_scores_{model.replace('/', '_')}.{kind}"
    if kind == "json":
        path.write_text(json.dumps({model: {"cont_to_ppl": ppl.tolist(), f"cont_to_{AXIS}_bias": bias.tolist()}}))
    else:
        pd.DataFrame({
            "Group": AXIS, "Bias": np.tile(bias, 3), "Head id": np.tile(np.arange(1, n + 1), 3),
            "Seed": np.repeat([1, 2, 3], n), "Split": "valid", "PPL": np.tile(ppl, 3),
        }).to_csv(path, index=False)  # fmt: skip
    scores = read_head_scores(path)
    for gamma in range(20, 71, 10):
        for alpha in range(2, 21, 2):
            protected = ranked(ppl, range(n))[: gamma * n // 100]
            rest = sorted(set(range(n)) - set(protected), key=lambda i: (bias[i], i))
            selection = select_heads(scores, axis=AXIS, gamma=gamma / 100, alpha=alpha / 100)
            assert flat(selection.protected, heads) == sorted(protected)
            assert flat(selection.pruned, heads) == sorted(rest[: alpha * n // 100])


def test_a_nan_matters_only_where_its_head_must_be_ranked():
    ppl, bias = [9.0, 1, 2, 3, 4, 5, 6, 7, 8, 0], np.arange(10.0)
    bias[0] = np.nan  # head 0 is the first that γ protects
    scores = make_scores(ppl, bias, magnitude_l2=np.arange(10.0), mask_gradient_l2=np.arange(10.0))
    assert flat(select_heads(scores, axis=AXIS, gamma=0.1, alpha=0.2).pruned) == [8, 9]
    for method in ("ppl_only", "magnitude_l2", "mask_gradient_l2", "random"):
        assert len(select_heads(scores, method, axis=AXIS, alpha=0.2).pruned) == 2
    for method, gamma in (("fasp", 0.0), ("bias_only", 0.1)):
        with pytest.raises(InputError, match=r"head \(0, 0\) has no z_bias of gender_and_sex: it was not measured"):
            select_heads(scores, method, axis=AXIS, gamma=gamma)


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
