"""run_comparison(): what is measured, how often, how γ is chosen, what is kept. Covers `measure`."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from helpers.log_odds import PAIRS
from helpers.made_metrics import made_metrics
from helpers.made_study import make_study
from helpers.scored_both_ways import score_both_ways

from fasp_core.comparison.budget import affordable
from fasp_core.comparison.configurations import ComparisonSettings
from fasp_core.comparison.measure import StudyMeasure
from fasp_core.comparison.run_comparison import run_comparison
from fasp_core.comparison.table import list_comparisons, read_comparison
from fasp_core.data.calibration import calibration_windows
from fasp_core.errors import Cancelled
from fasp_core.evaluation.evaluate import evaluate, scorer_for
from fasp_core.evaluation.history import measured_sets
from fasp_core.evaluation.keys import EvaluationSettings
from fasp_core.evaluation.result import Evaluation
from fasp_core.evaluation.store import EvaluationStore
from fasp_core.head import parse_heads
from fasp_core.scoring import context, stage_scores
from fasp_core.scoring.iterative_settings import IterativeSettings
from fasp_core.scoring.score_heads import Budget, score_heads
from fasp_core.selection.select_heads import select_heads
from fasp_core.stats.estimate import Estimate
from fasp_core.study.orders import OrderKey, stored_order
from fasp_core.study.study import open_study
from fasp_core.toxicity.scorers import open_scorer

AXIS = "gender_and_sex"
MADE = ComparisonSettings(
    AXIS,
    methods=("fasp", "ppl_only", "random"),
    alphas=(0.0, 0.1, 0.2),
    gammas=(0.3, 0.5),
    seeds=2,
    valid_blocks=1,
    test_blocks=2,
)


class CountingMeasure:
    """Gives made-up results and notes what was asked; each pruned head costs 1 perplexity and takes 0.01 of bias 1."""

    def __init__(self) -> None:
        self.asked: list[tuple] = []

    def __call__(self, model, split, seed, blocks):
        heads, compensate = model
        self.asked.append((heads, compensate, split, seed))
        for block in range(1, blocks + 1):
            yield replace(made_result(heads, split, seed, block / blocks), compensate=compensate)

    def difference(self, model, other, split, seed, blocks):
        first, second = (made_result(heads, split, seed) for heads, _ in (other, model))
        bias = second.bias[AXIS] - first.bias[AXIS]
        metrics = made_metrics(Estimate(second.ppl - first.ppl, 0.1, 50), {AXIS: Estimate(bias, 0.02, 500)})
        return replace(second, before=first.after, change=metrics, compensate=model.compensate)


class OddsMeasure(CountingMeasure):
    """The same by likelihood."""

    def __call__(self, *asked):
        yield from map(by_odds, super().__call__(*asked))

    def difference(self, *asked):
        return by_odds(super().difference(*asked))


def by_odds(result: Evaluation) -> Evaluation:
    parts = {name: getattr(result, name) for name in ("before", "after", "change")}
    return replace(result, **{name: replace(part, axes={}, odds=part.axes) for name, part in parts.items()})


def made_result(heads, split, seed=0, done=1.0, *, ppl=None, bias=None) -> Evaluation:
    ppl = len(heads) if ppl is None else ppl
    bias = -0.01 * len(heads) + 0.001 * seed if bias is None else bias

    def metrics(p, b):
        corrected = {AXIS: Estimate(b if b > 0.5 else -0.02, 0.02, 500)}
        return made_metrics(Estimate(p, 0.1, 50), {AXIS: Estimate(b, 0.02, 500)}, corrected=corrected)

    return Evaluation(
        tuple(heads), split, metrics(20, 1), metrics(20 + ppl, 1 + bias), metrics(ppl, bias), 500, 50, done
    )


@pytest.fixture
def study(tmp_path):
    return make_study(tmp_path, "s", n_layers=5, heads_per_layer=4)


def compare(study, settings=MADE, measure=None, **more):
    return run_comparison(
        None, study, settings, scorer=open_scorer("embedded"), measure=measure or CountingMeasure(), **more
    )


# -- what is measured ----------------------------------------------------------------------------------------------


def test_each_set_of_heads_is_measured_once_and_test_only_with_the_chosen_gamma(study):
    measure = CountingMeasure()
    table = compare(study, measure=measure)
    assert len(measure.asked) == len(set(measure.asked))
    frame = table.frame
    assert set(frame.loc[frame["split"] == "valid", "method"]) == {"fasp"}  # only fasp has a γ to choose
    test = frame[(frame["split"] == "test") & (frame["metric"] == "ppl")]
    assert test.groupby(["method", "alpha", "seed"]).size().eq(1).all()
    assert len(test) == 3 * 3 * 2
    assert table.complete


def test_rows_say_what_was_pruned_measured_and_predicted(study):
    scores = study.scores()
    table = compare(study)
    row = table.frame.query("method == 'fasp' and alpha == 0.2 and seed == 1 and split == 'test'").set_index("metric")
    selection = select_heads(scores, axis=AXIS, gamma=float(row["gamma"].iloc[0]), alpha=0.2)
    bias = row.loc[f"bias.{AXIS}"]
    assert bias["heads"] == "-".join(f"{layer}.{head}" for layer, head in selection.pruned)
    assert bias["n_pruned"] == 4
    assert bias["change"] == pytest.approx(-0.04 + 0.001)
    assert (bias["change_low"], bias["change_high"]) == pytest.approx((-0.039 - 0.0392, -0.039 + 0.0392), abs=1e-4)
    flat = [layer * 4 + head for layer, head in selection.pruned]
    assert bias["predicted"] == pytest.approx(-scores.z_bias(AXIS)[flat].sum())
    assert row.loc["ppl", "predicted"] == pytest.approx(scores.z_ppl[flat].sum())
    corrected = row.loc[f"bias_corrected.{AXIS}"]
    assert corrected["change"] == pytest.approx(-0.02)
    assert math.isnan(corrected["predicted"])


def test_every_model_on_test_is_compared_with_the_baselines(study):
    table = compare(study, replace(MADE, methods=("fasp", "ppl_only", "random"), compensations=("none", "mean")))
    found = table.differences[table.differences["metric"] == "ppl"]
    assert set(found["split"]) == {"test"}
    point = found.query("method == 'ppl_only' and compensate == 'mean' and alpha == 0.2 and seed == 1")
    others = list(zip(point["against"], point["against_compensate"], strict=True))
    assert others == [("fasp", "none"), ("fasp", "mean"), ("random", "mean")]
    measured = table.frame[(table.frame["split"] == "test") & (table.frame["metric"] == "ppl")]
    after = measured.set_index(["method", "compensate", "alpha", "seed"])["after"]
    for row in found.itertuples():
        own = after[row.method, row.compensate, row.alpha, row.seed]
        assert row.before == after[row.against, row.against_compensate, row.alpha, row.seed]
        assert (row.after, row.change) == (own, pytest.approx(own - row.before))


def test_seeds_are_the_heads_of_random_and_the_noise_of_all(study):
    measure = CountingMeasure()
    compare(study, measure=measure)
    pruned = [heads for heads, _, split, _ in measure.asked if split == "test" and len(heads) == 4]
    assert {seed for *_, seed in measure.asked} == {0, 1}
    random = [select_heads(study.scores(), "random", alpha=0.2, seed=s).pruned for s in (0, 1)]
    assert random[0] != random[1]
    assert set(random) <= set(pruned)


def test_each_set_is_measured_with_each_compensation_and_the_intact_model_once(study):
    measure = CountingMeasure()
    ways = ("none", "least_squares")
    table = compare(study, replace(MADE, methods=("fasp", "random"), compensations=ways, seeds=1), measure)
    assert len(measure.asked) == len(set(measure.asked))
    for heads in {heads for heads, *_ in measure.asked}:
        asked = {compensate for one, compensate, *_ in measure.asked if one == heads}
        assert asked == (set(ways) if heads else {"none"})
    test = table.frame[(table.frame["split"] == "test") & (table.frame["metric"] == f"bias.{AXIS}")]
    assert test.groupby(["method", "alpha", "compensate"]).size().eq(1).all()
    assert len(test) == 2 * 3 * 2
    intact = test[test["alpha"] == 0]
    assert intact.groupby("method")["compensate"].agg(set).tolist() == [set(ways)] * 2
    assert (intact["change"] == 0).all()
    pruned = test[test["n_pruned"] > 0]
    assert (pruned["predicted"].isna() == (pruned["compensate"] != "none")).all()  # scores know no compensation


def test_by_likelihood_every_row_is_what_an_evaluation_of_its_set_says(tiny_llama, tmp_path, short_calibration_text):
    study = score_both_ways(tiny_llama, tmp_path, "s", toxicity=False)
    small = EvaluationSettings(prompts_per_block=6, windows_per_block=1)
    settings = ComparisonSettings(
        AXIS,
        methods=("fasp", "random"),
        compensations=("none", "least_squares"),
        alphas=(0.0, 0.25),
        gammas=(0.25, 0.5),
        axes=(AXIS,),
        valid_blocks=1,
        test_blocks=2,
    )
    scorer, store = scorer_for(study, ["likelihood"]), NotingStore(tmp_path)

    def run():
        measure = StudyMeasure(tiny_llama, study, [AXIS], "likelihood", scorer=scorer, store=store, settings=small)
        return run_comparison(tiny_llama, study, settings, scorer=scorer, measure=measure)

    table = run()
    assert (table.metric, table.complete) == ("likelihood", True)  # the one the study has
    assert store.put_blocks == list(dict.fromkeys(store.put_blocks))  # differences measure nothing anew
    test = table.frame[table.frame["split"] == "test"].set_index("metric")
    assert set(test["compensate"]) == {"none", "least_squares"}
    for row in test.loc[f"bias.{AXIS}"].itertuples():
        *_, told = evaluate(
            tiny_llama,
            parse_heads(row.heads),
            [AXIS],
            metrics=["likelihood"],
            split="test",
            compensate=row.compensate,
            prompts=study.prompts,
            windows=study.windows,
            pairs=PAIRS,
            settings=replace(small, blocks=2),
        )
        bias = told.change.bias_by("likelihood")[AXIS]
        assert (row.change, row.change_low, row.change_high, row.n) == pytest.approx(
            (bias.value, bias.low, bias.high, bias.n)
        )
        assert row.before == pytest.approx(told.before.bias_by("likelihood")[AXIS].value)
    both = test.loc[f"bias.{AXIS}"].query("n_pruned > 0").groupby("method")["change"].nunique()
    assert (both == 2).all()  # refitted layers make another model
    found = {one.target.compensate for one in measured_sets(study, split="test", stream=f"likelihood.{AXIS}")}
    assert found == {"none", "least_squares"}  # the app finds them
    asked = len(store.put_blocks)
    run()
    assert len(store.put_blocks) == asked


def test_by_likelihood_each_way_has_its_order_and_least_squares_its_scores(
    tiny_llama, tmp_path, short_calibration_text, monkeypatch
):
    """Stopped after the first stage of the second order, it goes on there; heads are those of `choosing_scores`."""
    for module in (context, stage_scores):
        monkeypatch.setattr(module, "calibration_windows", lambda *_: calibration_windows(*_)[:8])
    study = score_both_ways(tiny_llama, tmp_path, "s", toxicity=False, compensated=True)
    ways = ("none", "least_squares")
    settings = ComparisonSettings(
        AXIS,
        methods=("fasp", "fasp_iterative"),
        compensations=ways,
        alphas=(0.25, 0.5),
        gammas=(0.25,),
        axes=(AXIS,),
        test_blocks=1,
        iterative=IterativeSettings(readings=24, step=0.25),
    )
    stages = []

    def run(**more):
        scorer = scorer_for(study, ["likelihood"])
        return run_comparison(tiny_llama, study, settings, scorer=scorer, measure=OddsMeasure(), **more)

    kept = {way: OrderKey(AXIS, "0.25", "likelihood", way) for way in ways}
    with pytest.raises(Cancelled):
        run(progress=stages.append, stop=lambda: len(stored_order(study, kept["least_squares"]).stages) > 0)
    assert [len(stored_order(study, key).stages) for key in kept.values()] == [2, 1]
    assert "fasp_iterative, gamma 0.25, least squares in their place" in {told.stage for told in stages}
    begun = stored_order(study, kept["least_squares"]).stages
    table = run()
    orders = {way: stored_order(study, key) for way, key in kept.items()}
    assert orders["least_squares"].stages[:1] == begun
    assert table.scores_under == {"none": "none", "least_squares": "least_squares"}
    test = table.frame[table.frame["metric"] == "ppl"]
    assert len(test) == 2 * 2 * 2
    for row in test.itertuples():
        found = {layer * tiny_llama.layout.heads_per_layer + head for layer, head in parse_heads(row.heads)}
        if row.method == "fasp_iterative":
            assert found == set(orders[row.compensate].heads[: row.n_pruned])
            continue
        frame = study.scores(metric="likelihood", compensate=row.compensate).frame
        free = frame.drop(frame["z_ppl"].nlargest(len(frame) // 4).index)
        assert found == set(free[f"z_bias.{AXIS}"].nlargest(row.n_pruned).index)
    measured = len(study.manifest.shards)
    assert run().name == table.name
    assert len(open_study("s", tmp_path).manifest.shards) == measured


# -- stopped, resumed, shared ---------------------------------------------------------------------------------------


def test_a_stopped_run_keeps_its_rows_and_says_it_is_not_complete(study):
    measure, asked = CountingMeasure(), []

    def stop():
        asked.append(1)
        return len(asked) > 6

    with pytest.raises(Cancelled):
        compare(study, measure=measure, stop=stop)
    (name,) = list_comparisons(study)
    left = read_comparison(study, name)
    assert not left.complete
    assert len(left.frame) > 0
    whole = compare(study)
    assert whole.name == name
    assert read_comparison(study, name).complete


def test_more_scores_or_other_settings_make_another_table(study):
    first = compare(study)
    second = compare(study, ComparisonSettings(AXIS, methods=("fasp",), alphas=(0.1,), gammas=(0.3,), test_blocks=1))
    assert set(list_comparisons(study)) == {first.name, second.name}


class NotingStore(EvaluationStore):
    """Notes every block that is put, and dies of one of them like a killed process: after it was written."""

    def __init__(self, root, die_after: int = 0) -> None:
        super().__init__(root)
        self.put_blocks, self.die_after = [], die_after

    def put(self, stream, heads, block, record):
        super().put(stream, heads, block, record)
        self.put_blocks.append((stream, heads, block))
        if len(self.put_blocks) == self.die_after:
            raise KeyboardInterrupt


def test_a_real_run_repeats_no_block_and_two_comparisons_share_them(tiny_llama, tmp_path):
    """Killed after some blocks, a second run measures the rest; a third, overlapping comparison nothing at all."""
    study = score_heads(tiny_llama, axes=[AXIS], budget=Budget(24, 4, 1), name="s", root=tmp_path)
    small = EvaluationSettings(max_new_tokens=3, texts_per_block=9, windows_per_block=1)
    scorer = open_scorer("embedded")

    def run(methods, store):
        settings = ComparisonSettings(
            AXIS,
            methods=methods,
            alphas=(0.0, 0.17, 0.34),
            gammas=(0.2, 0.5),
            valid_blocks=2,
            test_blocks=2,
            iterative=IterativeSettings(samples=16, step=0.17),
            iterative_gammas=(0.5,),
        )
        measure = StudyMeasure(tiny_llama, study, [AXIS], "toxicity", scorer=scorer, store=store, settings=small)
        return run_comparison(tiny_llama, study, settings, scorer=scorer, measure=measure)

    stores = [NotingStore(tmp_path, die_after) for die_after in (7, 0, 0)]
    with pytest.raises(KeyboardInterrupt):
        run(("fasp", "bias_only", "magnitude_l2", "fasp_iterative"), stores[0])
    table = run(("fasp", "bias_only", "magnitude_l2", "fasp_iterative"), stores[1])
    assert set(table.frame["method"]) == {"fasp", "bias_only", "magnitude_l2", "fasp_iterative"}
    assert set(table.frame.loc[table.frame["method"] == "fasp_iterative", "split"]) == {"test"}  # one γ: no choice
    put = stores[0].put_blocks + stores[1].put_blocks
    assert len(stores[0].put_blocks) == 7
    assert len(put) == len(set(put)) > 20
    run(("fasp", "bias_only", "magnitude_l2"), stores[2])
    assert stores[2].put_blocks == []


# -- reading results ------------------------------------------------------------------------------------------------


def test_what_is_affordable_is_within_the_limit(study):
    table = compare(study)  # each head costs 1 of 20 perplexity: 2 heads 10 %, 4 heads 20 %
    for limit, most in ((0.05, 0.0), (0.1, 0.1), (0.25, 0.2)):
        best = affordable(table.frame, f"bias.{AXIS}", limit)
        assert best["alpha"].max() == most
        assert set(best["method"]) == {"fasp", "ppl_only", "random"}
        assert (best["ppl_relative"] <= limit).all()
