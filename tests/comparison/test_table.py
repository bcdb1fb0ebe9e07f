"""The rows of a comparison: pooled over seeds by hand, and kept as files. Covers `differences`."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.comparison_rows import AXIS, valid_rows
from helpers.made_comparison import make_comparison
from helpers.made_study import make_study

from fasp_core.comparison.configurations import ComparisonSettings, complete_settings
from fasp_core.comparison.table import (
    COLUMNS,
    META_KEY,
    ComparisonTable,
    comparison_file,
    export_rows,
    list_comparisons,
    pool,
    read_comparison,
)
from fasp_core.errors import InputError
from fasp_core.selection.head_scores import HeadScores


@pytest.fixture
def study(tmp_path):
    return make_study(tmp_path, "s", n_layers=5, heads_per_layer=4)


def test_pooled_over_seeds_by_hand():
    rows = valid_rows([(0.3, 0.1, -0.2)])
    later = rows.assign(seed=1, **{name: rows[name] + 0.4 for name in ("change", "change_low", "change_high")})
    line = pool(pd.concat([rows, later])).set_index("metric").loc["ppl"]
    assert line["change"] == pytest.approx(0.3)
    # own error 0.2 / 1.96 = 0.10204; variance of 0.1 and 0.5: 0.08, beyond own 0.08 − 0.010413 = 0.069587;
    # t(0.975, 1) = 12.706; half = √((0.2² + 12.706² · 0.069587) / 2) = 2.3743
    assert line["change_high"] - line["change"] == pytest.approx(2.3743, abs=2e-3)
    one = pool(valid_rows([(0.3, 0.1, -0.2)])).set_index("metric").loc[f"bias.{AXIS}"]
    assert (one["relative"], one["relative_low"], one["relative_high"]) == pytest.approx((-0.2, -0.4, 0.0))


def test_compensations_are_not_pooled():
    rows = valid_rows([(0.3, 0.1, -0.2)])
    taken_over = rows.assign(compensate="least_squares", change=rows["change"] / 2)
    lines = pool(pd.concat([rows, taken_over])).set_index(["metric", "compensate"])["change"]
    assert lines["ppl"].to_dict() == pytest.approx({"none": 0.1, "least_squares": 0.05})


def test_no_interval_says_that_more_than_all_may_go():
    line = pool(valid_rows([(0.3, 0.1, -0.95)])).set_index("metric").loc[f"bias.{AXIS}"]
    assert (line["relative_low"], line["relative_high"]) == pytest.approx((-1.0, -0.75))


def test_intervals_of_pooled_seeds_cover():
    """Points whose true change is 0: heads differ between seeds (sd 0.1) and each has an own error (0.1)."""
    rng, inside = np.random.default_rng(0), []
    for _ in range(60):
        rows = []
        for alpha in range(5):
            for seed in range(3):
                change = rng.normal(0, np.hypot(0.1, 0.1))
                row = valid_rows([(0.3, change, 0)]).iloc[:1]
                half = 1.96 * 0.1
                rows.append(row.assign(alpha=alpha, seed=seed, change_low=change - half, change_high=change + half))
        pooled = pool(pd.concat(rows))
        inside += ((pooled["change_low"] < 0) & (pooled["change_high"] > 0)).tolist()
    assert 0.92 < np.mean(inside) < 0.99


def test_a_table_goes_to_csv_and_back(study, tmp_path):
    table = make_comparison(study)
    export_rows(table.frame, tmp_path / "out.csv")
    frame = pd.read_csv(tmp_path / "out.csv")
    assert list(frame.columns) == list(table.frame.columns)
    np.testing.assert_allclose(frame["change"], table.frame["change"])
    assert math.isnan(frame.loc[frame["method"] == "random", "gamma"].iloc[0])
    with pytest.raises(InputError, match=r"written to \.csv or \.parquet"):
        export_rows(table.frame, tmp_path / "out.xlsx")


def test_a_table_of_a_study_that_is_gone_makes_no_folder_of_it(study):
    table = make_comparison(study, methods=("fasp",), alphas=(0.1,))
    shutil.move(study.folder, study.folder.with_name("renamed"))
    with pytest.raises(InputError, match="was renamed or deleted meanwhile"):
        table.save(study)
    assert not study.folder.exists()


def test_differences_are_kept_beside_the_rows(study, tmp_path):
    ways = ("none", "least_squares")
    table = make_comparison(study, methods=("fasp", "random", "ppl_only"), alphas=(0.1, 0.2), compensations=ways)
    back = read_comparison(study, table.name)
    pd.testing.assert_frame_equal(back.frame, table.frame, check_dtype=False)
    pd.testing.assert_frame_equal(back.differences, table.differences, check_dtype=False)
    assert not {"against", "against_compensate"} & set(back.frame)
    export_rows(table.rows, tmp_path / "out.csv")
    rows = pd.read_csv(tmp_path / "out.csv", keep_default_na=False)
    assert (rows["against"] == "").sum() == len(table.frame)
    assert len(rows) == len(table.frame) + len(table.differences)


def test_differences_are_pooled_for_each_other_model():
    rows = valid_rows([(0.3, 0.1, -0.2)]).assign(method="fasp_joint", against="fasp", against_compensate="none")
    lines = pool(pd.concat([rows, rows.assign(against="random", before=0.5)]))
    bias = lines[lines["metric"] == f"bias.{AXIS}"].set_index("against")["relative"]
    assert bias.to_dict() == pytest.approx({"fasp": -0.2, "random": -0.4})


def test_comparisons_are_listed_by_when_they_were_begun(study):
    """Not by when their files were written: the first is written last. Begun at once: by name; damaged: at the end."""
    methods = ("fasp", "random", "bias_only", "ppl_only")
    tables = sorted((make_comparison(study, methods=(method,)) for method in methods), key=lambda table: table.name)
    begun = ("2026-01-02T00:00:00+00:00", "2026-01-03T00:00:00+00:00", "2026-01-02T00:00:00+00:00")
    damaged, *whole = tables
    comparison_file(study, damaged.name).write_bytes(b"PAR1 not")
    for table, created in reversed(list(zip(whole, begun, strict=True))):
        table.meta["created"] = created
        table.save(study)
    first, last, same = (table.name for table in whole)
    assert list_comparisons(study) == [last, first, same, damaged.name]


def test_damage_and_wrong_names_are_one_line(study):
    table = make_comparison(study)
    for name in ("x", f"../comparisons/{table.name}"):
        with pytest.raises(InputError, match=f"has no comparison '{name}'"):
            read_comparison(study, name)
    (study.folder / "comparisons" / f"{table.name}.parquet").write_bytes(b"PAR1 not")
    with pytest.raises(InputError, match="not a whole Parquet file"):
        read_comparison(study, table.name)


def test_a_table_of_the_time_without_measures_opens_and_is_resumed(study):
    """Its file has no column `compensate` and no metric, and its name is the digest of settings without either."""
    settings = json.loads(
        json.dumps(asdict(complete_settings(study, ComparisonSettings(AXIS, methods=("fasp",), axes=(AXIS,)))))
    )
    known = {name: value for name, value in settings.items() if name not in ("metric", "compensations")}
    content = json.dumps(known, sort_keys=True).encode() + study.scores().frame.to_csv(index=False).encode()
    name = f"{AXIS}.{hashlib.sha256(content).hexdigest()[:8]}"
    rows = valid_rows([(0.3, 0.1, -0.2)]).drop(columns="compensate")
    table = pa.Table.from_pandas(rows, preserve_index=False)
    meta = {"settings": known, "complete": False, "created": "2026-01-01T00:00:00+00:00"}
    path = comparison_file(study, name)
    path.parent.mkdir()
    pq.write_table(table.replace_schema_metadata({META_KEY: json.dumps(meta)}), path)
    opened = read_comparison(study, name)
    assert (opened.axis, opened.metric, opened.compensations) == (AXIS, "toxicity", ["none"])
    assert list(opened.frame.columns) == COLUMNS
    assert opened.differences.empty
    assert set(opened.frame["compensate"]) == {"none"}
    resumed = ComparisonTable.begin(study, {"none": study.scores()}, settings)
    assert resumed.name == name
    assert len(resumed.frame) == len(rows)
    assert resumed.scores_under == {"none": "none"}
    both = {"none": study.scores(), "mean": study.scores()}
    other = ComparisonTable.begin(study, both, settings | {"compensations": ["none", "mean"]})
    assert other.name != name
    assert other.scores_under == {"none": "none", "mean": "none"}


def test_a_table_is_of_the_scores_and_orders_that_choose_its_heads(study):
    """Another name where scores under compensation choose; and where fasp_iterative has an order for each way."""
    plain = study.scores()
    compensated = replace(plain, meta=plain.meta.model_copy(update={"compensate": "least_squares"}))
    settings = {"axis": AXIS, "methods": ["fasp"], "compensations": ["none", "least_squares"]}

    def begun(compensate: HeadScores, settings: dict = settings) -> ComparisonTable:
        return ComparisonTable.begin(study, {"none": plain, "least_squares": compensate}, settings)

    def once(settings: dict) -> str:
        """What a table was named when plain scores, and the orders of "none", chose in every way."""
        content = json.dumps(settings, sort_keys=True).encode() + plain.frame.to_csv(index=False).encode()
        return f"{AXIS}.{hashlib.sha256(content).hexdigest()[:8]}"

    assert begun(plain).name == once(settings)
    assert begun(compensated).name != once(settings)
    assert begun(compensated).scores_under == {"none": "none", "least_squares": "least_squares"}
    staged = settings | {"methods": ["fasp_iterative"]}
    assert begun(plain, staged).name != once(staged)
    alone = {"axis": AXIS, "methods": ["fasp_iterative"]}
    assert ComparisonTable.begin(study, {"none": plain}, alone | {"compensations": ["none"]}).name == once(alone)
