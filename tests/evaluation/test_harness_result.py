"""The change of a task's metric, from pairs of documents, against numbers worked by hand (`scorecard_row`)."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from helpers.made_study import make_study

from fasp_core.evaluation.harness_result import (
    digest,
    ideal_of,
    kept_task_rows,
    key_start,
    pooled,
    replicates,
    task_rows,
)
from fasp_core.evaluation.scorecard_result import kept_scorecard
from fasp_core.evaluation.store import EvaluationStore

BEFORE = [1] * 30 + [0] * 10  # right and wrong of 40 documents
AFTER = [1] * 27 + [0] * 3 + [1] * 1 + [0] * 9  # three are lost, one is gained
HEADS = ((0, 0), (2, 1))


def mean(items):
    return sum(items) / len(items)


def made_record(items, *, name="quiz", metric="acc", aggregate=mean, ideal="high", documents="a", source="lm-eval"):
    row = {"task": name, "metric": metric, "ideal": ideal, "n": len(items), "documents": documents}
    return {"name": name, "source": source, "rows": [{**row, "values": replicates(items, aggregate, name)}]}


def test_a_change_has_the_error_of_the_documents_differences():
    (row,) = task_rows(made_record(BEFORE), made_record(AFTER))
    assert (row.measure, row.axis, row.source) == ("quiz acc", None, "lm-eval, 40 documents")
    made = row.compared
    assert (made.before.value, made.after.value) == (0.75, 0.7)
    assert made.change.value == pytest.approx(-0.05)
    # Three documents −1, one +1, the others 0: the standard deviation is √((4 − 40·0.05²) / 39) = 0.3162.
    assert made.change.se == pytest.approx(0.3162 / math.sqrt(40), rel=0.1)
    assert made.before.se == pytest.approx(statistics.stdev(BEFORE) / math.sqrt(40), rel=0.1)
    assert made.change.se < 0.6 * math.hypot(made.before.se, made.after.se)  # what unpaired documents would give
    assert made.verdict == "no clear change"


def test_a_metric_that_is_no_mean_is_paired_too():
    """Every document has one nat less: perplexity grows e-fold in every sample, so the ratio has no error."""
    before = np.linspace(-3, -1, 20).tolist()
    records = [
        made_record([x - lost for x in before], metric="ppl", aggregate=lambda x: math.exp(-mean(x)), ideal="low")
        for lost in (0, 1)
    ]
    (row,) = task_rows(*records)
    first, second = (np.array(record["rows"][0]["values"]) for record in records)
    assert second / first == pytest.approx(np.full(first.shape, math.e))
    assert row.compared.before.value == pytest.approx(math.e**2)
    assert row.compared.verdict == "worse"


def test_with_few_documents_there_is_no_interval():
    (row,) = task_rows(made_record([1, 0, 1]), made_record([1, 1, 1]))
    assert math.isnan(row.compared.change.se)
    assert row.compared.verdict == "no clear change"


def test_directions():
    assert [ideal_of(better) for better in (True, False, None)] == ["high", "low", "none"]
    (row,) = task_rows(made_record([0] * 20, ideal="none"), made_record([1] * 20, ideal="none"))
    assert row.compared.verdict == "changed"


def test_a_group_is_the_mean_over_tasks_or_over_documents():
    parts = [{**made_record([1] * 30, name="a")["rows"][0]}, {**made_record([0] * 10, name="b")["rows"][0]}]
    assert (pooled("g", "acc", parts, True)["values"][0], pooled("g", "acc", parts, False)["values"][0]) == (0.75, 0.5)
    assert pooled("g", "acc", parts, True)["n"] == 40
    mixed = [made_record([1, 0] * 20, name=name)["rows"][0] for name in ("a", "b")]
    spread = np.std(pooled("g", "acc", mixed, True)["values"][1:])
    assert spread == pytest.approx(0.5 / math.sqrt(80), rel=0.1)  # each task's samples are its own


@pytest.fixture
def kept(tmp_path):
    """A store with the task 'quiz' of a set, on 40 documents and on the first 10."""
    store, start = EvaluationStore(tmp_path), key_start("f" * 16, "float32")
    for size in (40, 10):
        key = start + digest([str(size)])
        store.put(key, "", 0, made_record(BEFORE[:size]))
        store.put(key, "0.0-2.1", 0, made_record(AFTER[:size]))
    return store


def test_of_a_task_the_largest_measurement_is_shown(kept):
    (row,) = kept_task_rows(kept, "f" * 16, "float32", HEADS)
    assert row.source == "lm-eval, 40 documents"
    assert kept_task_rows(kept, "f" * 16, "bfloat16", HEADS) == []
    assert kept_task_rows(kept, "f" * 16, "float32", [(0, 0)]) == []
    assert kept_task_rows(kept, "f" * 16, "float32", HEADS, "mean") == []


def test_measurements_of_other_documents_are_not_compared(kept):
    key = key_start("f" * 16, "float32") + digest(["other"])
    kept.put(key, "", 0, made_record([1] * 50, name="other", documents="a"))
    kept.put(key, "0.0-2.1", 0, made_record([0] * 50, name="other", documents="b"))
    assert [row.measure for row in kept_task_rows(kept, "f" * 16, "float32", HEADS)] == ["quiz acc"]


def test_the_scorecard_of_the_set_ends_with_the_tasks(tmp_path, kept):
    study = make_study(tmp_path, "t", n_layers=3, heads_per_layer=4)
    study.update(model={**study.manifest.model, "fingerprint": "f" * 16, "dtype": "float32"})
    assert kept_scorecard(study, HEADS, split="test", store=kept) is None  # nothing of a scorecard was read
    from fasp_core.evaluation.reading_tasks import reading_tasks

    task = reading_tasks("f" * 16, "float32", "test")[0]
    for name in ("", "0.0-2.1"):
        kept.put(task.key, name, 0, [[-1.0, -2.0]] * len(task.block(0)))
    card = kept_scorecard(study, HEADS, split="test", store=kept)
    assert card.rows[-1].measure == "quiz acc"
    assert not card.done
