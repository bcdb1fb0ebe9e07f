"""How a stream is cut into shards: every unit once, the same shard whatever is asked for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fasp_core.scoring.stage import Shard, shards_of

sizes = st.integers(1, 20)


def test_by_hand():
    assert shards_of(5, 2) == [Shard(0, range(0, 2)), Shard(1, range(2, 4)), Shard(2, range(4, 6))]
    assert shards_of(5, 2, end=5)[-1] == Shard(2, range(4, 5))
    assert shards_of(9, 3, end=4, heads=[7, 2]) == [Shard(0, range(0, 3), (7, 2)), Shard(1, range(3, 4), (7, 2))]
    assert [shard.number for shard in shards_of(8, 2, first=3)] == [3]
    assert shards_of(0, 4) == []
    assert Shard(0, range(3), (7, 2)).size == 6
    assert Shard(0, range(3)).size == 3


@given(st.integers(0, 200), sizes)
def test_every_unit_is_in_one_shard(n, size):
    units = [unit for shard in shards_of(n, size) for unit in shard.units]
    assert units == list(range(-(-n // size) * size))


@given(st.integers(0, 200), st.integers(0, 200), sizes)
def test_a_stream_ends_where_its_units_do(n, end, size):
    units = [unit for shard in shards_of(n, size, end=end) for unit in shard.units]
    assert units == list(range(min(end, -(-min(n, end) // size) * size)))


@given(st.integers(0, 100), st.integers(0, 100), sizes)
def test_more_units_are_the_same_shards_and_further_ones(n, more, size):
    some = shards_of(n, size)
    assert shards_of(n + more, size)[: len(some)] == some
