"""Score files that nobody wrote: mutated, huge when unpacked, under a wrong name. Only InputError may come of them."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from fasp_core.errors import InputError
from fasp_core.files import csv_files
from fasp_core.selection.description import Provenance, _Record, from_record
from fasp_core.selection.head_scores import META_KEY, HeadScores
from fasp_core.selection.score_files import read_head_scores
from fasp_core.selection.select_heads import METHODS, select_heads
from fasp_core.study.importing import import_scores


def published_csv() -> bytes:
    rows = [
        f"religion,{0.4 + h / 1000 + s / 100},pythia-70m,{h},{s},valid,{30 + h / 7}"
        for s in (1, 2)
        for h in range(1, 49)
    ]
    return ("Group,Bias,Model,Head id,Seed,Split,PPL\n" + "\n".join(rows) + "\n").encode()


def contributions() -> bytes:
    entry = {"cont_to_ppl": [30.5 + h for h in range(48)], "cont_to_religion_bias": [0.5 - h / 99 for h in range(48)]}
    return json.dumps({"pythia-70m": entry}).encode()


def own_frame(layers: int = 6) -> pd.DataFrame:
    n = layers * 8
    return pd.DataFrame(
        {
            "layer": np.repeat(np.arange(layers), 8),
            "head": np.tile(np.arange(8), layers),
            "z_ppl": np.arange(n) / 7,
            "z_ppl_se": np.full(n, 0.1),
            "z_bias.religion": np.sin(np.arange(n)),
            "z_bias_se.religion": np.full(n, 0.2),
        }
    )


def own_parquet() -> bytes:
    meta = {"base_ppl": 12.5, "notes": ["n"], "reliability": {"religion": 0.5}, "model": {"name": "m"}}
    sink = io.BytesIO()
    pq.write_table(HeadScores(own_frame(), 6, 8, *from_record(meta)).to_table(), sink)
    return sink.getvalue()


FILES = {
    "x.csv": published_csv(),
    "own.csv": own_frame().to_csv(index=False).encode(),
    "x.json": contributions(),
    "x.parquet": own_parquet(),
}
BITS = [
    b"",
    b"nan",
    b"-1",
    b"1e400",
    b"9" * 5000,
    b"\x00",
    b"\xff\xfe",
    b'"',
    b",",
    b"\n",
    b"{",
    b"[",
    b"\r",
    b"NaN",
    b"null",
]


def outcome(work: Callable[[], Any]) -> tuple[Any, str]:
    """What the work gives and no refusal, or None and the line that refuses; any other error goes on."""
    try:
        return work(), ""
    except InputError as error:
        return None, str(error)


@st.composite
def mutated(draw) -> tuple[str, bytes]:
    """A valid file with some of its bytes cut out, doubled, or replaced by something unpleasant."""
    name = draw(st.sampled_from(sorted(FILES)))
    data = FILES[name]
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = draw(st.integers(start, min(len(data), start + draw(st.sampled_from([0, 1, 8, 200])))))
        new = draw(st.sampled_from(BITS) | st.binary(max_size=6) | st.just(data[start:end] * 2))
        data = data[:start] + new + data[end:]
    return name, data


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(file=mutated())
def test_a_mutated_file_is_read_or_refused(tmp_path_factory, file):
    name, data = file
    path = tmp_path_factory.mktemp("fuzz") / name
    path.write_bytes(data)
    scores, refusal = outcome(lambda: read_head_scores(path))
    if scores is None:
        assert str(path) in refusal
        assert "\n" not in refusal
        return
    for method in METHODS:
        for axis in scores.axes:
            chosen, refusal = outcome(lambda m=method, a=axis: select_heads(scores, m, axis=a, alpha=0.25))
            assert refusal or len(chosen.pruned) == scores.n_heads // 4


CELL = st.none() | st.text(max_size=5) | st.floats() | st.integers(-(10**20), 10**20) | st.booleans()


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(
    column=st.sampled_from(["Group", "Bias", "Model", "Head id", "Seed", "Split", "PPL"]),
    row=st.integers(0, 95),
    cell=CELL,
)
def test_one_wrong_cell_is_named_with_its_row(tmp_path_factory, column, row, cell):
    path = tmp_path_factory.mktemp("fuzz") / "x.csv"
    table = pd.read_csv(io.BytesIO(FILES["x.csv"]), dtype=object)
    table.loc[row, column] = cell
    table.to_csv(path, index=False)
    _, refusal = outcome(lambda: read_head_scores(path))
    assert not refusal or (str(path) in refusal and ("row" in refusal or "layout" in refusal))


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(value=JSON, place=st.sampled_from(["model", "ppl", "bias", "cell"]))
def test_any_json_is_read_or_refused(tmp_path_factory, value, place):
    data = json.loads(FILES["x.json"])
    entry = data["pythia-70m"]
    if place == "model":
        data["pythia-70m"] = value
    elif place == "cell":
        entry["cont_to_ppl"][7] = value
    else:
        entry["cont_to_ppl" if place == "ppl" else "cont_to_religion_bias"] = value
    path = tmp_path_factory.mktemp("fuzz") / "x.json"
    path.write_text(json.dumps(data), "utf-8")
    _, refusal = outcome(lambda: read_head_scores(path))
    assert not refusal or str(path) in refusal


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@example(meta={"": None}, key="prompts")
@given(meta=JSON, key=st.sampled_from([*Provenance.model_fields, *_Record.model_fields]))
def test_any_description_in_a_parquet_is_taken_in_or_refused(tmp_path_factory, meta, key):
    from fasp_core.export.pruning_config import PruningConfig

    folder = tmp_path_factory.mktemp("fuzz")
    described = {META_KEY: json.dumps({key: meta}).encode()}
    pq.write_table(HeadScores(own_frame(), 6, 8).to_table().replace_schema_metadata(described), folder / "x.parquet")
    study, refusal = outcome(lambda: import_scores(folder / "x.parquet", root=folder / "cache"))
    if study is None:
        assert refusal.startswith(str(folder / "x.parquet"))
        return
    scores = study.scores()
    PruningConfig.from_selection(select_heads(scores, axis="religion"), scores)


@pytest.mark.parametrize("name", ["own.csv", "x.csv"])
@pytest.mark.parametrize(
    "written",
    [
        {"sep": ";", "decimal": ","},
        {"sep": "\t", "decimal": ",", "encoding": "utf-16"},
        {"sep": "\t", "lineterminator": "\r\n"},
        {"decimal": ",", "lineterminator": "\r"},  # quoted cells
        {"sep": ";", "encoding": "utf-8-sig", "index": True},
        {"sep": "|", "encoding": "cp1252"},
    ],
)
def test_other_programs_write_the_same_scores(tmp_path, name, written):
    """As pandas writes them for other countries; the same numbers come back."""
    (tmp_path / name).write_bytes(FILES[name])
    table = pd.read_csv(io.BytesIO(FILES[name]))
    table.columns = [f" {column} " for column in table.columns]
    table.to_csv(tmp_path / f"other-{name}", **{"index": False, **written})
    plain, other = read_head_scores(tmp_path / name), read_head_scores(tmp_path / f"other-{name}")
    pd.testing.assert_frame_equal(other.frame, plain.frame, rtol=1e-12)
    assert other.meta.notes == plain.meta.notes


class TestBombs:
    def refused(self, path, words: str) -> None:
        with pytest.raises(InputError, match=words) as caught:
            read_head_scores(path)
        assert str(path) in str(caught.value)

    def test_a_parquet_that_unpacks_to_gigabytes(self, tmp_path):
        path, column = tmp_path / "x.parquet", pa.array(np.zeros(1_000_000))
        pq.write_table(pa.table({f"c{i}": column for i in range(20)}), path, compression="zstd")
        assert path.stat().st_size < 100_000
        self.refused(path, "unpacks to more than 64 MB")

    def test_a_parquet_of_one_long_text_many_times(self, tmp_path):
        path = tmp_path / "x.parquet"
        text = pa.array(["x" * 1_000_000]).dictionary_encode()
        pq.write_table(pa.table({**own_frame().head(1), "note": text.take(pa.array([0]))}), path)
        self.refused(path, "column 'note' holds .* and must hold numbers")

    @pytest.mark.parametrize("pack", ["gzip", "zip"])
    def test_a_packed_csv_is_not_unpacked(self, tmp_path, pack):
        data = b"Head id," + b"0" * 50_000_000
        sink = io.BytesIO()
        if pack == "zip":
            with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as file:
                file.writestr("x.csv", data)
        packed = gzip.compress(data, 1) if pack == "gzip" else sink.getvalue()
        (tmp_path / "x.csv").write_bytes(packed)
        self.refused(tmp_path / "x.csv", "not UTF-8 text|no column")
        (tmp_path / "x.csv.gz").write_bytes(packed)
        self.refused(tmp_path / "x.csv.gz", r"read from \.csv, \.json or \.parquet")

    def test_a_csv_of_too_many_cells(self, tmp_path, monkeypatch):
        monkeypatch.setattr(csv_files, "MAX_CELLS", 1000)
        (tmp_path / "x.csv").write_bytes(FILES["own.csv"] * 40)
        self.refused(tmp_path / "x.csv", "row|more than this program reads")
        header, *rows = FILES["own.csv"].splitlines(keepends=True)
        (tmp_path / "x.csv").write_bytes(header + b"".join(rows) * 10)
        self.refused(tmp_path / "x.csv", "more than 166 rows, more than this program reads")

    def test_a_json_of_many_lists(self, tmp_path):
        (tmp_path / "x.json").write_bytes(b"[" + b"[]," * 6_000_000 + b"[]]")
        self.refused(tmp_path / "x.json", "larger than 16 MB")

    @pytest.mark.parametrize("encoding", ["utf-32", "cp037"])
    def test_another_encoding(self, tmp_path, encoding):
        (tmp_path / "x.csv").write_bytes(FILES["x.csv"].decode().replace("religion", "réligion").encode(encoding))
        self.refused(tmp_path / "x.csv", "not UTF-8 text; save the file as UTF-8|no column")
