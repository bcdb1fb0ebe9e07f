"""An evaluation whose blocks other workers measure is the same, block for block and step by step."""

from __future__ import annotations

import pytest
from helpers.fake_cluster import FakeCluster

from fasp_core.errors import Cancelled
from fasp_core.evaluation.blocks import MemoryStore
from fasp_core.evaluation.evaluate import evaluate
from fasp_core.evaluation.keys import EvaluationSettings
from fasp_core.toxicity.scorers import open_scorer

SETTINGS = EvaluationSettings(blocks=3, texts_per_block=6, prompts_per_block=6, max_new_tokens=4, window_tokens=24)


def measured(lm, store, heads=((0, 1),), **more):
    metrics, scorer = ("toxicity", "likelihood"), open_scorer("embedded")
    asked = evaluate(lm, heads, ["religion"], metrics=metrics, scorer=scorer, settings=SETTINGS, store=store, **more)
    return [evaluation.to_json() for evaluation in asked]


@pytest.mark.parametrize("heads", [(), ((0, 1),), ((0, 1), (1, 2), (2, 0))])
def test_the_same_as_here(tiny_llama, heads):
    """None, one (coupled to the intact texts) and three heads; every step, not only the last."""
    here, there, cluster = MemoryStore(), MemoryStore(), FakeCluster(tiny_llama)
    assert measured(tiny_llama, there, heads, cluster=cluster) == measured(tiny_llama, here, heads)
    assert there._blocks == here._blocks
    assert cluster.tasks == 9  # three streams, three blocks


def test_what_the_store_has_is_not_measured_again(tiny_llama):
    store = MemoryStore()
    whole = measured(tiny_llama, store)
    gone = sorted(store._blocks)[0]
    del store._blocks[gone]
    store._evaluations.clear()
    cluster = FakeCluster(tiny_llama)
    assert measured(tiny_llama, store, cluster=cluster) == whole
    assert cluster.tasks == 1


def test_it_stops_and_keeps_what_was_measured(tiny_llama):
    store, seen = MemoryStore(), []
    evaluations = evaluate(
        tiny_llama,
        [(0, 1)],
        ["religion"],
        scorer=open_scorer("embedded"),
        settings=SETTINGS,
        store=store,
        stop=lambda: len(seen) >= 2,
        cluster=FakeCluster(tiny_llama),
    )

    def look_on():
        for evaluation in evaluations:
            seen.append(evaluation)

    with pytest.raises(Cancelled):
        look_on()
    assert len(seen) == 2
    assert store._blocks
