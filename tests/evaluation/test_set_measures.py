"""Measures of pruned sets side by side: how much worse each found a set, from what is kept of it."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.app_pages import AXIS, keep
from helpers.made_study import make_study

from fasp_core.evaluation.history import measured_sets
from fasp_core.evaluation.reading_tasks import reading_tasks
from fasp_core.evaluation.set_measures import set_measures
from fasp_core.evaluation.store import EvaluationStore
from fasp_core.head import heads_text
from fasp_core.stats.rank_agreement import rank_agreement

SETS = [((0, i),) for i in range(4)] + [((1, i),) for i in range(4)]


@pytest.fixture
def study(tmp_path):
    """Eight sets whose facts are lost the more, the more a stereotype is preferred; the passages are noise."""
    study = make_study(tmp_path)
    store, model, rng = EvaluationStore(tmp_path), study.manifest.model, np.random.default_rng(0)
    for at, heads in enumerate(SETS):
        keep(study, heads)
        for task in reading_tasks(model["fingerprint"], "float32", "valid"):
            for name, worse in (("", 0.0), (heads_text(heads), 0.1 * at)):
                if task.scored is None:
                    rows = [[1.0, 2.0, float(rng.uniform(20, 30)), 10.0] for _ in task.block(0)]
                elif task.source == "facts":
                    rows = [[-1 - worse, -2.0] for _ in task.block(0)]
                else:
                    rows = [[-1 + worse, -1.0] for _ in task.block(0)]
                store.put(task.key, name, 0, rows)
    return study


def test_what_goes_together_in_the_sets_is_found_and_what_does_not_is_not(study):
    found = measured_sets(study, split="valid")
    measures = set_measures(study, found, AXIS)
    assert measures.values.shape == (8, len(measures.names))
    assert {"bias by toxicity", "perplexity", "loss per token"} <= set(measures.names)
    assert not {"length", "parameters", "size on disk"} & set(measures.names)
    pairs, facts, loss, bias = (
        measures.names.index(name)
        for name in (
            "log-ratio of more and less stereotyped",
            "log-probability of the right word",
            "loss per token",
            "bias by toxicity",
        )
    )
    agreement = rank_agreement(measures.values)
    assert agreement.r[pairs, facts] == pytest.approx(1)
    assert agreement.low[pairs, loss] < 0 < agreement.high[pairs, loss]
    assert np.isnan(agreement.r[pairs, bias])  # the made evaluations have one bias for all sets


def test_without_sets_there_is_nothing(study):
    assert set_measures(study, [], AXIS).values.shape == (0, 0)
