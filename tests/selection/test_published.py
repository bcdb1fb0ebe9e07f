"""The authors' published files against pandas, and what is said about those that are not right."""

from __future__ import annotations

import json
import os

import numpy as np
import pandas as pd
import pytest
from helpers.published_files import (
    JSON,
    published_file,
    published_json,
    published_rows,
    published_scores,
    published_values,
)
from scipy.stats import spearmanr

from fasp_core.errors import InputError
from fasp_core.files import reading as tables
from fasp_core.selection.head_scores import HeadScores
from fasp_core.selection.published import LAYOUTS
from fasp_core.selection.score_files import read_head_scores


class TestPublished:
    @pytest.mark.parametrize("model", ["gpt2", "distilgpt2"])
    def test_csv_values_are_the_means_over_seeds(self, model):
        table, (ppl, biases) = published_scores(model, "csv"), published_values(model, "csv")
        assert table.n_heads == len(ppl)
        np.testing.assert_allclose(table.z_ppl, ppl - np.median(ppl), rtol=0, atol=1e-12)
        for axis, bias in biases.items():
            np.testing.assert_allclose(table.z_bias(axis), np.median(bias) - bias, rtol=0, atol=1e-12)

    def test_the_worked_head(self):
        # distilgpt2, layer 0, head 1 (Head id 2): the three valid rows of its gender axis, by hand.
        rows = published_rows("distilgpt2")
        three = rows[(rows["Head id"] == 2) & (rows["Group"] == "gender_and_sex")]["Bias"].to_numpy()
        assert three.size == 3
        table = published_scores("distilgpt2", "csv")
        assert table.frame["bias_without_head.gender_and_sex"][1] == pytest.approx(three.sum() / 3, abs=1e-15)
        # Its error is that of the difference to each seed's median head.
        medians = rows[rows["Group"] == "gender_and_sex"].groupby("Seed")["Bias"].median().to_numpy()
        sd = np.sqrt(((three - medians - (three - medians).mean()) ** 2).sum() / 2)
        assert table.z_bias_se("gender_and_sex")[1] == pytest.approx(sd / np.sqrt(3), abs=1e-15)

    def test_reliability_is_spearman_brown_of_the_seeds(self):
        rows, table = published_rows("distilgpt2"), published_scores("distilgpt2", "csv")
        unprotected = np.argsort(published_values("distilgpt2", "csv")[0], kind="stable")[:50]  # ⌊0.7 × 72⌋
        for axis, known in table.intact.items():
            seeds = rows[rows["Group"] == axis].pivot(index="Head id", columns="Seed", values="Bias").to_numpy()
            a, b, c = seeds[unprotected].T
            rho = np.mean([spearmanr(a, b)[0], spearmanr(a, c)[0], spearmanr(b, c)[0]])
            assert known.reliability == pytest.approx(3 * rho / (1 + 2 * rho) if rho > 0 else rho)

    @pytest.mark.parametrize(("model", "rho"), [("gpt2", 0.18), ("distilgpt2", 0.10)])
    def test_two_published_seeds_hardly_agree(self, model, rho):
        """Mean Spearman of gender's bias between two seeds over the 70 % least critical heads, from the raw rows."""
        rows = published_rows(model)
        critical = rows.groupby("Head id")["PPL"].mean().sort_values(kind="stable")
        seeds = rows[rows["Group"] == "gender_and_sex"].pivot(index="Head id", columns="Seed", values="Bias")
        seeds = seeds.loc[critical.index[: int(0.7 * len(critical))]]
        pairs = [spearmanr(seeds[a], seeds[b])[0] for a, b in ((1, 2), (1, 3), (2, 3))]
        k = 3 * np.mean(pairs) / (1 + 2 * np.mean(pairs))
        assert published_scores(model, "csv").reliability("gender_and_sex") == pytest.approx(k, abs=1e-12)
        assert np.mean(pairs) == pytest.approx(rho, abs=0.005)

    def test_json_and_csv_agree(self):
        from_csv, from_json = (published_scores("distilgpt2", kind) for kind in ("csv", "json"))
        assert from_csv.axes == from_json.axes
        for axis in from_csv.axes:
            np.testing.assert_allclose(from_csv.z_bias(axis), from_json.z_bias(axis), atol=1e-12)
        np.testing.assert_allclose(from_csv.z_ppl, from_json.z_ppl, atol=1e-3)  # the JSON rounded some runs

    def test_json_has_the_weight_scores_and_says_what_it_lacks(self):
        table = published_scores("gpt2", "json")
        assert table.column("magnitude_l2").tolist() == published_json()["gpt2"]["magnitude_l2_structured"]
        assert table.column("mask_gradient_l2").tolist() == published_json()["gpt2"]["mask_gradient_l2_structured"]
        assert np.isnan(table.z_ppl_se).all()
        assert any("median head" in note for note in table.meta.notes)

    def test_json_needs_the_model(self):
        path = published_file(JSON)
        with pytest.raises(InputError, match="it holds: distilgpt2, gpt2"):
            read_head_scores(path)
        with pytest.raises(InputError, match="did you mean 'gpt2'"):
            read_head_scores(path, model="gtp2")

    def test_a_published_file_survives_our_own_formats(self, tmp_path):
        table = published_scores("gpt2", "csv")
        table.to_parquet(tmp_path / "s.parquet")
        again = read_head_scores(tmp_path / "s.parquet")
        pd.testing.assert_frame_equal(again.frame, table.frame, check_exact=True)
        assert again.record() == table.record()


ROW = {"Group": "religion", "Bias": 0.5, "Head id": 1, "Seed": 1, "Split": "valid", "PPL": 30.0, "Model": "pythia-70m"}


def rows(**columns) -> pd.DataFrame:
    """A published table of pythia-70m (6 × 8 heads): 48 heads × 2 seeds of one axis; every PPL and Bias differs."""
    made = [
        {**ROW, "Head id": h, "Seed": s, "Bias": 0.5 + h / 1000 + s / 10, "PPL": 30.0 + h}
        for s in (1, 2)
        for h in range(1, 49)
    ]
    return pd.DataFrame(made).assign(**columns)


def write(table: pd.DataFrame, path) -> str:
    table.to_csv(path, index=False)
    return path


class TestPublishedLayoutsAndFaults:
    def test_only_valid_rows_score(self, tmp_path):
        table = pd.concat([rows(), rows(Split="test", Bias=99.0)])
        assert read_head_scores(write(table, tmp_path / "x.csv")).frame["bias_without_head.religion"].max() < 1

    def test_row_order_does_not_matter(self, tmp_path):
        a = read_head_scores(write(rows(), tmp_path / "a.csv"))
        b = read_head_scores(write(rows().sample(frac=1, random_state=3), tmp_path / "b.csv"))
        pd.testing.assert_frame_equal(a.frame, b.frame, check_exact=True)

    def test_a_head_without_rows_is_not_measured_and_said(self, tmp_path):
        table = read_head_scores(write(rows().query("`Head id` != 5"), tmp_path / "x.csv"))
        assert np.flatnonzero(np.isnan(table.z_bias("religion"))).tolist() == [4]
        assert np.flatnonzero(np.isnan(table.z_ppl)).tolist() == [4]
        assert "Some heads have no value for religion." in table.meta.notes

    def test_one_seed_has_no_error_and_no_reliability(self, tmp_path):
        table = read_head_scores(write(rows().query("Seed == 1"), tmp_path / "x.csv"))
        assert np.isnan(table.z_bias_se("religion")).all()
        assert table.reliability("religion") is None

    @pytest.mark.parametrize(
        ("name", "options", "layout"),
        [
            ("head_scores_EleutherAI_pythia-70m_other_biases.csv", {}, (6, 8)),
            ("x.csv", {"model": "EleutherAI/pythia-70m"}, (6, 8)),
            ("x.csv", {"n_layers": 4}, (4, 12)),
        ],
    )
    def test_layout_from_the_file_name_the_model_or_the_caller(self, tmp_path, name, options, layout):
        table = read_head_scores(write(rows().drop(columns="Model"), tmp_path / name), **options)
        assert (table.n_layers, table.heads_per_layer) == layout

    def test_a_published_model_column_with_underscores(self, tmp_path):
        table = read_head_scores(write(rows(Model="EleutherAI_pythia-70m"), tmp_path / "x.csv"))
        assert (table.n_layers, table.heads_per_layer) == (6, 8)

    def test_an_unknown_layout_says_how_to_give_it(self, tmp_path):
        with pytest.raises(InputError, match=r"layout of model 'mine' is not known; give its number of layers"):
            read_head_scores(write(rows(Model="mine"), tmp_path / "x.csv"))
        with pytest.raises(InputError, match="48 heads cannot be spread over 5 layers"):
            read_head_scores(write(rows(Model="mine"), tmp_path / "x.csv"), n_layers=5)

    @pytest.mark.parametrize(
        ("edit", "words"),
        [
            (lambda t: t.drop(columns="PPL"), "row 1: no column 'PPL'"),
            (lambda t: change(t, "Head id", 49), "row 7: Head id 49 is out of range.*ids are 1 to 48"),
            (lambda t: change(t, "Head id", 0), "row 7: Head id is '0' and must be a whole number from 1"),
            (lambda t: change(t, "Head id", 10**18), "row 7: Head id is '1000000000000000000'"),
            (lambda t: change(t, "Bias", np.nan), "row 7: Bias is empty"),
            (lambda t: change(t, "Bias", "n/a"), "row 7: Bias is 'n/a'"),
            (lambda t: change(t, "PPL", -3), "row 7: PPL is '-3' and must be a number of at least 0"),
            (lambda t: change(t, "PPL", "inf"), "row 7: PPL is 'inf'"),
            (lambda t: change(t, "Split", "train"), "row 7: Split is 'train'; known: test, valid"),
            (lambda t: change(t, "Group", ""), "row 7: Group is ''"),
            (lambda t: change(t, "Model", "gpt2"), "row 7: model 'gpt2', but row 2 has 'pythia-70m'"),
            (lambda t: pd.concat([t, t.tail(1)]), "row 98: Head id 48, seed 2, religion, valid is there twice"),
            (lambda t: t.assign(Split="test"), "no row with Split 'valid'"),
            (lambda t: t.head(0), "no row below the header"),
        ],
    )
    def test_a_fault_is_named_with_file_row_and_mend(self, tmp_path, edit, words):
        path = write(edit(rows()), tmp_path / "x.csv")
        with pytest.raises(InputError, match=words) as caught:
            read_head_scores(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_the_wrong_model_is_refused(self, tmp_path):
        with pytest.raises(InputError, match="holds scores of 'pythia-70m', not of 'gpt2'"):
            read_head_scores(write(rows(), tmp_path / "x.csv"), model="gpt2")

    @pytest.mark.parametrize(
        ("data", "words"),
        [
            (b"", "0 bytes"),
            (b"Group,Bias\x81\n", "row 1: not UTF-8"),
            (b"\x00\x00\x00", "no column"),
            (b"Group,Bias,Head id,Seed,Split,PPL\nreligion,1,1\n", "row 2: 3 cells, but the header has 6"),
            (b'Group,Bias,Head id,Seed,Split,PPL\n"religion,1,1,1,valid,3\n', "row 2: not a CSV row"),
            (b"Group,Bias,Bias,Head id,Seed,Split,PPL\n", "column 'Bias' is there twice"),
            (b"Head id" + b",x" * 5000, "no column|more than 1000 columns"),
            (b"Head id," + b"x" * 1_000_000, "no column"),
        ],
    )
    def test_what_is_no_table_is_refused(self, tmp_path, data, words):
        path = tmp_path / "head_scores_gpt2.csv"
        path.write_bytes(data)
        with pytest.raises(InputError, match=words) as caught:
            read_head_scores(path)
        assert len(str(caught.value)) < 1000

    def test_a_huge_file_is_refused_before_it_is_taken_in(self, tmp_path):
        path = tmp_path / "x.csv"
        with path.open("wb") as file:
            os.truncate(file.fileno(), tables.MAX_BYTES * 4)  # sparse: no such disk space is used
        with pytest.raises(InputError, match="larger than 64 MB"):
            read_head_scores(path)

    def test_what_is_no_file_is_refused(self, tmp_path):
        os.mkfifo(tmp_path / "pipe.csv")
        (tmp_path / "folder.csv").mkdir()
        for name, words in (("none.csv", "no such file"), ("folder.csv", "not a file"), ("pipe.csv", "not a file")):
            with pytest.raises(InputError, match=words):
                read_head_scores(tmp_path / name)
        with pytest.raises(InputError, match=r"read from \.csv, \.json or \.parquet"):
            read_head_scores(tmp_path / "x.txt")


ENTRY = {"cont_to_ppl": [30.0 + h for h in range(48)], "cont_to_religion_bias": [0.5 - h / 100 for h in range(48)]}


class TestContributions:
    def read(self, tmp_path, data, model="pythia-70m", **options) -> HeadScores:
        path = tmp_path / "head_contributions.json"
        path.write_text(data if isinstance(data, str) else json.dumps(data), "utf-8")
        return read_head_scores(path, model=model, **options)

    def test_nan_and_null_are_not_measured(self, tmp_path):
        entry = {**ENTRY, "cont_to_religion_bias": [None, float("nan"), *ENTRY["cont_to_religion_bias"][2:]]}
        table = self.read(tmp_path, {"pythia-70m": entry})
        assert np.flatnonzero(np.isnan(table.z_bias("religion"))).tolist() == [0, 1]
        assert any("cont_to_religion_bias" in note for note in table.meta.notes)

    @pytest.mark.parametrize(
        ("data", "words"),
        [
            ("{", "row 1: not JSON"),
            ("[" * 100_000, "not JSON"),
            ("[]", "not a table of head contributions"),
            ({"pythia-70m": [1]}, "not a table of head contributions"),
            ({"pythia-70m": {"cont_to_ppl": [1.0]}}, "no list 'cont_to_<axis>_bias'"),
            ({"pythia-70m": {"cont_to_religion_bias": [1.0]}}, "no list 'cont_to_ppl'"),
            ({"pythia-70m": {**ENTRY, "cont_to_ppl": "abc"}}, "cont_to_ppl: must be a list of numbers"),
            ({"pythia-70m": {**ENTRY, "cont_to_ppl": [1.0, "a"]}}, r"cont_to_ppl\[1\]: is 'a'"),
            ({"pythia-70m": {**ENTRY, "cont_to_ppl": [1.0, -1.0]}}, r"cont_to_ppl\[1\]: is '-1.0'"),
            ({"pythia-70m": {**ENTRY, "cont_to_ppl": [10**400]}}, r"cont_to_ppl\[0\]: is '1000"),
            ({"pythia-70m": {**ENTRY, "cont_to_ppl": [True]}}, r"cont_to_ppl\[0\]: is 'True'"),
            ({"pythia-70m": {**ENTRY, "cont_to_ppl": [1.0]}}, "cont_to_religion_bias has 48 values, cont_to_ppl has 1"),
            ({"pythia-70m": {k: v[:40] for k, v in ENTRY.items()}}, "40 heads, but pythia-70m has 6 layers × 8 heads"),
        ],
    )
    def test_a_fault_is_named(self, tmp_path, data, words):
        with pytest.raises(InputError, match=words) as caught:
            self.read(tmp_path, data)
        assert "\n" not in str(caught.value)

    def test_an_own_model_with_its_layers(self, tmp_path):
        table = self.read(tmp_path, {"mine": ENTRY}, model="mine", n_layers=12)
        assert (table.n_layers, table.heads_per_layer) == (12, 4)


def test_layouts_of_models_known_from_the_published_files():
    assert LAYOUTS["gpt-j-6B"][0] * LAYOUTS["gpt-j-6B"][1] == 448  # the published list has 448 values


def change(table: pd.DataFrame, name: str, value) -> pd.DataFrame:
    """The table with one cell of row 7 of the file (index 5) replaced."""
    table = table.astype({name: object})
    table.loc[5, name] = value
    return table
