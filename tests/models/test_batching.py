"""Batches: like lengths together, within the bound, and halved when the device runs out of memory."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fasp_core.models.batching import Sequences, batches_by_length, halving, pad_batch
from fasp_core.passes.knockout import _resumed_values, gradient_log_ratios
from fasp_core.passes.sampling import SamplingSettings, sample_continuations
from fasp_core.scoring import log_ratios
from fasp_core.scoring.log_ratios import gradient_table, knockout_table
from fasp_core.study.shard_tables import table_ratios

SEQUENCES = Sequences(list(range(6)), [[5 + i, 6, 7, 8, 9][: 3 + i % 3] for i in range(6)], [2] * 6)


@given(st.lists(st.integers(1, 50), max_size=60), st.integers(1, 200))
def test_every_sequence_is_in_one_batch_within_the_bound(lengths, most):
    batches = list(batches_by_length(lengths, most))
    assert sorted(i for rows in batches for i in rows) == list(range(len(lengths)))
    for rows in batches:
        assert len(rows) == 1 or len(rows) * max(lengths[i] for i in rows) <= most
        assert [lengths[i] for i in rows] == sorted((lengths[i] for i in rows), reverse=True)


def test_padding_is_on_the_left_and_scored_tokens_end_the_rows():
    batch = pad_batch([[1, 2, 3], [4]], [2, 1], pad_id=9, device=torch.device("cpu"))
    assert batch.ids.tolist() == [[1, 2, 3], [9, 9, 4]]
    assert batch.mask.tolist() == [[1, 1, 1], [0, 0, 1]]
    assert batch.scored.tolist() == [[True, True], [False, True]]
    assert batch.targets.tolist() == [[2, 3], [9, 4]]


@given(st.lists(st.integers(), max_size=40), st.integers(1, 50), st.integers(1, 9))
def test_halving_gives_every_item_once_in_order_and_never_grows(items, size, room):
    done, sizes = [], []

    def work(some):
        sizes.append(len(some))
        if len(some) > room:
            raise torch.OutOfMemoryError
        done.extend(some)

    left = halving(work, items, size)
    assert done == items
    assert left <= size
    failed = [n for n in sizes if n > room]
    assert sizes[: len(failed)] == failed  # once a size has failed, it is not tried again
    assert all(later <= before // 2 for before, later in pairwise(failed))


def short_of_memory(work, rows_of, most):
    """`work`, out of memory for more than `most` rows; and the list of row counts it was given."""
    seen = []

    def short(*args, **kwargs):
        seen.append(rows_of(args))
        if seen[-1] > most:
            raise torch.OutOfMemoryError
        return work(*args, **kwargs)

    return short, seen


def test_gradient_halves_its_batch(tiny_llama, monkeypatch):
    whole = table_ratios(gradient_table(tiny_llama, SEQUENCES))[1]
    short, seen = short_of_memory(gradient_log_ratios, lambda args: args[1].ids.shape[0], 2)
    monkeypatch.setattr(log_ratios, "gradient_log_ratios", short)
    halved = table_ratios(gradient_table(tiny_llama, SEQUENCES))[1]
    assert max(seen) == 6
    assert halved == pytest.approx(whole, abs=1e-4)


def test_knockout_halves_its_batch(tiny_llama, monkeypatch):
    heads = range(tiny_llama.layout.n_heads)
    whole = table_ratios(knockout_table(tiny_llama, SEQUENCES, heads))[1]
    short, seen = short_of_memory(_resumed_values, lambda args: len(args[3]), 1)
    monkeypatch.setattr("fasp_core.passes.knockout._resumed_values", short)
    assert table_ratios(knockout_table(tiny_llama, SEQUENCES, heads))[1] == pytest.approx(whole, abs=1e-5)
    assert max(seen) == 4
    assert seen.count(1) == len(heads)


def test_sampling_halves_its_batch(tiny_llama, monkeypatch):
    arguments = (tiny_llama, SEQUENCES.tokens, [str(i) for i in range(6)], SamplingSettings(max_new_tokens=3))
    whole = sample_continuations(*arguments)
    generate = tiny_llama.model.generate

    def short(**kwargs):
        if kwargs["input_ids"].shape[0] > 2:
            raise torch.OutOfMemoryError
        return generate(**kwargs)

    monkeypatch.setattr(tiny_llama.model, "generate", short)
    assert sample_continuations(*arguments) == whole


def test_one_sequence_that_does_not_fit_is_an_error(tiny_llama, monkeypatch):
    short, _ = short_of_memory(gradient_log_ratios, lambda args: args[1].ids.shape[0], 0)
    monkeypatch.setattr(log_ratios, "gradient_log_ratios", short)
    with pytest.raises(torch.OutOfMemoryError):
        gradient_table(tiny_llama, SEQUENCES)
