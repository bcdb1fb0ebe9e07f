"""The score table and its own files, and what is said about files that are not right."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fasp_core.errors import InputError
from fasp_core.selection.description import from_record
from fasp_core.selection.head_scores import HeadScores
from fasp_core.selection.score_files import read_head_scores

META = {
    "source": "test",
    "base_ppl": 12.5,
    "base_bias": {"religion": 0.25},
    "reliability": {"religion": 0.5},
    "notes": ["n"],
}


def frame(layers: int = 2, heads: int = 3, **changes) -> pd.DataFrame:
    n = layers * heads
    columns = {
        "layer": np.repeat(np.arange(layers), heads),
        "head": np.tile(np.arange(heads), layers),
        "z_ppl": np.linspace(-1, 2, n),
        "z_ppl_se": np.full(n, 0.1),
        "z_bias.religion": np.linspace(1, 0, n),
        "z_bias_se.religion": np.full(n, 0.2),
    }
    return pd.DataFrame(columns | changes)


def scores(**changes) -> HeadScores:
    return HeadScores(frame(**changes), 2, 3, *from_record(META))


class TestTable:
    def test_columns_and_sizes(self):
        table = scores()
        assert (table.n_heads, table.axes) == (6, ["religion"])
        assert table.z_bias("religion").tolist() == pytest.approx([1, 0.8, 0.6, 0.4, 0.2, 0])
        assert table.z_ppl.shape == table.z_ppl_se.shape == table.z_bias_se("religion").shape == (6,)

    def test_is_not_changed_through_what_it_gave_or_got(self):
        given_frame = frame()
        table = HeadScores(given_frame, n_layers=2, heads_per_layer=3)
        given_frame.loc[0, "z_ppl"] = 99
        assert table.z_ppl[0] == -1
        with pytest.raises(ValueError, match="read-only"):
            table.z_ppl[0] = 5

    def test_nan_means_not_measured(self):
        assert np.isnan(scores(z_ppl=[np.nan, 0, 1, 2, 3, 4]).z_ppl[0])

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"layer": [0, 0, 0, 1, 1, 2]}, "at place 5, layer is 2 and must be 1"),
            ({"head": [0, 2, 1, 0, 1, 2]}, "at place 1, head is 2 and must be 1"),
            ({"z_ppl": [0, 1, np.inf, 3, 4, 5]}, r"z_ppl of head \(0, 2\) is inf"),
            ({"z_bias_se.religion": [0, 1, 2, 3, 4, -1.0]}, r"z_bias_se.religion of head \(1, 2\) is -1.0"),
            ({"z_ppl": list("abcdef")}, "'z_ppl' does not hold numbers"),
            ({"z_bias.age": np.zeros(6)}, "lack the column 'z_bias_se.age'"),
        ],
    )
    def test_a_wrong_frame_is_refused(self, changes, words):
        with pytest.raises(InputError, match=words):
            scores(**changes)

    def test_a_wrong_size_or_missing_column_is_refused(self):
        with pytest.raises(InputError, match="6 rows, but 3 layers × 3 heads are 9"):
            HeadScores(frame(), n_layers=3, heads_per_layer=3)
        with pytest.raises(InputError, match="lack the column 'z_ppl_se'"):
            HeadScores(frame().drop(columns="z_ppl_se"), n_layers=2, heads_per_layer=3)

    def test_an_unknown_axis_gets_the_nearest_name(self):
        with pytest.raises(InputError, match="did you mean 'religion'"):
            scores().z_bias("religon")


class TestOwnFiles:
    def test_parquet_keeps_everything(self, tmp_path):
        table = scores(**{"z_ppl": [np.nan, 0.1, 1 / 3, 2, 3, 4], "magnitude_l2": np.arange(6.0)})
        table.to_parquet(tmp_path / "s.parquet")
        again = read_head_scores(tmp_path / "s.parquet")
        pd.testing.assert_frame_equal(again.frame, table.frame, check_exact=True)
        assert again.record() == table.record()
        assert (again.n_layers, again.heads_per_layer) == (2, 3)

    @given(st.lists(st.floats(allow_infinity=False), min_size=6, max_size=6))
    def test_csv_keeps_every_number(self, tmp_path_factory, values):
        path = tmp_path_factory.mktemp("csv") / "s.csv"
        scores(z_ppl=values).to_csv(path)
        np.testing.assert_array_equal(read_head_scores(path).z_ppl, values)

    def test_rows_may_come_in_any_order(self, tmp_path):
        frame().sample(frac=1, random_state=1).to_csv(tmp_path / "s.csv", index=False)
        pd.testing.assert_frame_equal(read_head_scores(tmp_path / "s.csv").frame, scores().frame)

    @pytest.mark.parametrize(
        ("edit", "words"),
        [
            (lambda f: f.drop(index=4), r"head \(1, 1\) is missing"),
            (lambda f: pd.concat([f, f.tail(1)]), r"row 8: head \(1, 2\) is there twice"),
            (
                lambda f: f.assign(z_ppl="x"),
                "row 2: z_ppl is 'x' and must be a finite number|'z_ppl' holds large_string",
            ),
            (lambda f: f.assign(layer=0.5), "row 2: layer is '0.5' and must be a whole number"),
            (lambda f: f.assign(layer=-1), "row 2: layer is '-1'"),
            (lambda f: f.drop(columns="z_ppl"), "row 1: no column 'z_ppl'; did you mean 'z_ppl_se'"),
            (lambda f: f.drop(columns="z_bias_se.religion"), "lack the column 'z_bias_se.religion'"),
            (lambda f: f.head(0), "no row below the header"),
        ],
    )
    @pytest.mark.parametrize("kind", ["csv", "parquet"])
    def test_a_wrong_table_is_refused(self, tmp_path, edit, words, kind):
        path = tmp_path / f"s.{kind}"
        table = edit(frame())
        table.to_csv(path, index=False) if kind == "csv" else table.to_parquet(path)
        with pytest.raises(InputError, match=words) as caught:
            read_head_scores(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_a_damaged_parquet_is_refused(self, tmp_path):
        path = tmp_path / "s.parquet"
        scores().to_parquet(path)
        whole = path.read_bytes()
        for damaged in (whole[: len(whole) // 2], b"PAR1" + whole[5:], whole[:-4] + b"xxxx", b"PAR1PAR1"):
            path.write_bytes(damaged)
            with pytest.raises(InputError, match="not a whole Parquet file"):
                read_head_scores(path)
