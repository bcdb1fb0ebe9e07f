"""Shards to samples: every number in the place of its unit and head, and nothing where nothing was measured."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from helpers.made_study import make_study

from fasp_core.data.pairs import COLUMNS, PairSet
from fasp_core.errors import InputError
from fasp_core.study.orders import iterative_orders
from fasp_core.study.shard_names import (
    ODDS,
    ODDS_KNOCKOUT,
    PAIRS,
    REGENERATED,
    RETOXICITY,
    SAMPLES,
    order_name,
    shard_name,
)
from fasp_core.study.shard_tables import odds_table, ratio_table
from fasp_core.study.views import (
    axis_samples,
    knockout_counts,
    likelihood_axes,
    odds_samples,
    sample_frame,
    study_pairs,
    window_samples,
)

AXIS = "gender_and_sex"
N_HEADS = 24


@pytest.fixture
def study(tmp_path):
    return make_study(tmp_path, samples=12, windows=5)


def knockout(study, stream: str, number: int, units: range, heads: list[int]) -> np.ndarray:
    """Write a knock-out shard; the log-ratio of unit u and head h is u + h / 100."""
    ratios = np.array([[u + h / 100 for h in heads] for u in units])
    table = ratio_table(units, [3] * len(units), np.zeros(len(units)), ratios, heads)
    study.write_shard(shard_name("knockout", stream, number, heads=heads), table)
    return ratios


def test_without_knock_outs_there_is_no_matrix_of_them(study):
    assert window_samples(study).knockout is None
    assert axis_samples(study, AXIS).knockout is None
    assert axis_samples(study, AXIS).regenerated is None
    assert knockout_counts(study, AXIS, 4).shape == (0, N_HEADS)


def test_a_knock_out_lands_at_its_unit_and_head_and_the_rest_is_nan(study):
    knockout(study, AXIS, 0, range(0, 4), [7, 2])
    knockout(study, AXIS, 1, range(4, 8), [2])
    matrix = axis_samples(study, AXIS).knockout
    assert matrix.shape == (12, N_HEADS)
    expected = np.full((12, N_HEADS), np.nan)
    expected[0:4, 7] = np.arange(4) + 0.07
    expected[0:8, 2] = np.arange(8) + 0.02
    np.testing.assert_allclose(matrix, expected, atol=1e-6)
    counts = knockout_counts(study, AXIS, 4)
    assert np.argwhere(counts).tolist() == [[0, 2], [0, 7], [1, 2]]


def test_knock_outs_of_units_that_have_no_gradient_yet_wait(study):
    knockout(study, "text", 4, range(4, 6), [0])  # of windows 4 and 5, where five were measured
    matrix = window_samples(study).knockout
    assert np.argwhere(np.isfinite(matrix)).tolist() == [[4, 0]]


def test_samples_come_with_their_prompt_group_and_toxicity(study):
    frame = sample_frame(study, AXIS)
    stored = study.read_shard(shard_name(SAMPLES, AXIS, 0)).to_pandas()
    prompts = study.prompts.frame.set_index("prompt_id")
    assert frame["prompt_id"].tolist() == stored["prompt_id"].tolist()
    assert frame["continuation"].tolist() == [f" continuation {i}" for i in range(12)]
    assert frame["group"].tolist() == prompts.loc[frame["prompt_id"], "group"].tolist()
    samples = axis_samples(study, AXIS)
    assert [samples.groups[code] for code in samples.group] == frame["group"].tolist()
    assert samples.shares.sum() == pytest.approx(1)
    with pytest.raises(InputError, match="has no axis 'gender'"):
        sample_frame(study, "gender")
    with pytest.raises(InputError, match="no scores of 'vader'; known: embedded"):
        sample_frame(study, AXIS, scorer="vader")


def test_samples_that_are_not_rated_yet_are_left_out(study):
    units = pa.array(range(12, 14), pa.int32())
    more = pa.table(
        {"unit": units, "prompt_id": pa.array([0, 0]), "draw": pa.array([9, 9]), "continuation": ["a", "b"]}
    ).append_column("token_ids", pa.array([[1], [2]]))
    first = study.read_shard(shard_name(SAMPLES, AXIS, 0)).schema
    study.write_shard(shard_name(SAMPLES, AXIS, 1), more.select(first.names).cast(first.remove_metadata()))
    assert len(sample_frame(study, AXIS)) == 12


def test_rows_after_a_shard_that_was_deleted_wait_until_it_is_measured_again(study):
    """By place they would stand beside other units: gradients of texts 24 to 35 beside toxicities of 12 to 23."""
    for kind, scorer in (("samples", None), ("toxicity", "embedded"), ("gradient", None)):
        first = study.read_shard(shard_name(kind, AXIS, 0, scorer=scorer))
        for number in (1, 2):
            place = first.schema.get_field_index("unit")
            units = pa.array(np.arange(12) + 12 * number, first.schema.field("unit").type)
            later = first.set_column(place, first.schema.field("unit"), units)
            study.write_shard(shard_name(kind, AXIS, number, scorer=scorer), later)
    assert len(axis_samples(study, AXIS).toxicity) == 36
    study.drop_shards([shard_name("gradient", AXIS, 1)])
    assert len(axis_samples(study, AXIS).gradient) == 12
    study.drop_shards([shard_name("toxicity", AXIS, 0, scorer="embedded")])
    with pytest.raises(InputError, match="holds no toxicity"):
        axis_samples(study, AXIS)


def test_regenerated_toxicities_land_at_their_unit_and_head(study):
    table = pa.table({"unit": pa.array([0, 1, 0], pa.int32()), "toxicity": [0.1, 0.2, 0.3], "head": [3, 3, 5]})
    study.write_shard(shard_name(RETOXICITY, AXIS, 0, heads=[3, 5], scorer="embedded"), table)
    matrix = axis_samples(study, AXIS).regenerated
    assert np.argwhere(np.isfinite(matrix)).tolist() == [[0, 3], [0, 5], [1, 3]]
    assert (matrix[0, 3], matrix[1, 3], matrix[0, 5]) == (0.1, 0.2, 0.3)
    assert study.shard_names(REGENERATED, AXIS) == []


def test_stages_of_an_order_are_joined_in_their_order(study):
    for gamma, stage, heads in (("0.3", 1, [4]), ("0.3", 0, [9, 2]), ("0.5", 0, [1])):
        table = pa.table({"head": pa.array(heads, pa.int32())})
        made = json.dumps({"gamma": gamma})
        study.write_shard(order_name(AXIS, gamma, stage), table.replace_schema_metadata({"stage": made}))
    assert iterative_orders(study) == {AXIS: {"0.3": (9, 2, 4), "0.5": (1,)}}
    assert study.scores().orders == iterative_orders(study)


def test_an_order_by_the_ratings_of_another_scorer_is_not_this_one_s(study):
    made = {"gamma": "0.3", "scorer": "vader"}
    table = pa.table({"head": pa.array([9], pa.int32())}).replace_schema_metadata({"stage": json.dumps(made)})
    study.write_shard(order_name(AXIS, "0.3", 0), table)
    assert iterative_orders(study) == {}
    assert iterative_orders(study, scorer="vader") == {AXIS: {"0.3": (9,)}}


def test_a_study_without_log_odds_says_so(study):
    assert likelihood_axes(study) == []
    assert study_pairs(study) is None


def test_what_was_written_in_this_run_and_what_is_on_disk_are_read_alike(study):
    """Inside `remembering` a shard is the table that was written; outside it is what the file holds."""
    with study.remembering():
        knockout(study, AXIS, 0, range(0, 4), [1])
        inside = axis_samples(study, AXIS)
        texts = sample_frame(study, AXIS)
    outside = axis_samples(study, AXIS)
    np.testing.assert_array_equal(inside.knockout, outside.knockout)
    pd.testing.assert_frame_equal(texts, sample_frame(study, AXIS))


def write_odds(study, n_stems: int) -> tuple[np.ndarray, np.ndarray]:
    """Six prompts, each read with a block of three stems, an exact change of heads 1 and 3 of the first four; what was
    written, (6, 3) log-odds and (6, 3, N) changes."""
    pairs = PairSet(pd.DataFrame([(f"... {k}", "bad", "good") for k in range(n_stems)], columns=list(COLUMNS)))
    rng, valid = np.random.default_rng(0), study.prompts.select(axes=[AXIS], split="valid").frame
    study.write_shard(PAIRS, pa.Table.from_pandas(pairs.frame, preserve_index=False))
    order = pd.DataFrame({"prompt_id": valid["prompt_id"].to_numpy()[:6], "cell": range(6), "block": range(6)})
    log_odds, changes = rng.normal(size=(6, 3)), rng.normal(size=(6, 3, N_HEADS)).astype(np.float16).astype(float)
    stems, heads = pairs.block_stems(order["block"]), range(N_HEADS)
    for number, part, by_block in ((0, slice(0, 3), False), (1, slice(3, 6), pairs.kept_by_block)):
        some = odds_table(order[part], stems[part], log_odds[part], changes[part], heads, by_block=by_block)
        study.write_shard(shard_name(ODDS, AXIS, number), some)
    exact = odds_table(order[:4], stems[:4], log_odds[:4], -changes[:4, :, [1, 3]], [1, 3], by_block=False)
    study.write_shard(shard_name(ODDS_KNOCKOUT, AXIS, 0, heads=[1, 3]), exact)
    return log_odds, changes


def test_with_few_stems_every_one_of_them_is_resampled(study):
    log_odds, changes = write_odds(study, 18)
    samples = odds_samples(study, AXIS)
    np.testing.assert_array_equal(samples.stem, np.arange(18).reshape(6, 3))
    np.testing.assert_array_equal(samples.log_odds, log_odds)
    np.testing.assert_array_equal(samples.gradient, changes)
    np.testing.assert_array_equal(samples.knockout[:4, :, 3], -changes[:4, :, 3])
    assert np.isnan(samples.knockout[4:]).all()


def test_with_many_stems_blocks_are_resampled_and_shards_of_before_are_folded_alike(study):
    """The first shard still holds a change for each stem, the second their mean over the block."""
    log_odds, changes = write_odds(study, 60)
    samples = odds_samples(study, AXIS)
    np.testing.assert_array_equal(samples.stem, np.arange(6)[:, None])
    np.testing.assert_allclose(samples.log_odds[:, 0], log_odds.mean(1))
    np.testing.assert_allclose(samples.gradient[:, 0], changes.mean(1), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(samples.knockout[:4, 0, 1], -changes[:4, :, 1].mean(1), rtol=1e-3, atol=1e-4)
    assert np.isnan(samples.knockout[:, :, 0]).all()
    sizes = [(study.folder / shard_name(ODDS, AXIS, number)).stat().st_size for number in (0, 1)]
    assert sizes[1] < sizes[0]
