"""Imported scores as studies: what they can do, what they say they cannot, and that none is left half-made."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from helpers.made_study import make_study
from helpers.published_files import JSON, published_file, published_rows, published_scores
from streamlit.testing.v1 import AppTest
from typer.testing import CliRunner

from fasp_core.cli.app import app
from fasp_core.errors import InputError
from fasp_core.export.pruning_config import PruningConfig
from fasp_core.files import writing as files
from fasp_core.files.paths import PROJECT
from fasp_core.jobs.client import EvaluationClient
from fasp_core.limits import MAX_LAYERS
from fasp_core.models.open_model import reopen_model
from fasp_core.selection.head_scores import META_KEY
from fasp_core.selection.score_files import read_head_scores
from fasp_core.selection.select_heads import select_heads
from fasp_core.study.importing import EXAMPLE, example_study, import_scores, models_in
from fasp_core.study.study import list_studies, open_study

AXES = ("age", "religion")
PAGES = sorted(path.relative_to(PROJECT).as_posix() for path in (PROJECT / "pages").glob("*.py"))


def published_table(path: Path, *, model: str = "pythia-70m", seeds: int = 3) -> Path:
    """A file of the published kind, of random numbers: 6 × 8 heads, two axes."""
    rng = np.random.default_rng(0)
    drives, needed = rng.normal(0, 0.05, (2, 48)), rng.gamma(1, 5, 48)
    pd.DataFrame(
        [
            {
                "Group": axis,
                "Bias": 0.4 + drives[a, h] + rng.normal(0, 0.02),
                "Head id": h + 1,
                "Seed": seed,
                "Split": "valid",
                "PPL": 30 + needed[h],
                "Model": model,
            }
            for a, axis in enumerate(AXES)
            for seed in range(1, seeds + 1)
            for h in range(48)
        ]
    ).to_csv(path, index=False)
    return path


def contributions(path: Path, *models: str) -> Path:
    entry = {"cont_to_ppl": [30.0 + h for h in range(48)], "cont_to_religion_bias": [0.5 - h / 100 for h in range(48)]}
    path.write_text(json.dumps({model: entry for model in models}), "utf-8")
    return path


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("FASP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def run(cache):
    return lambda *args: CliRunner().invoke(app, [str(arg) for arg in args], prog_name="python -m fasp_core")


def refused(result, words: str) -> None:
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    assert result.stderr.count("\n") == 1
    assert words in result.stderr


class TestStudy:
    def test_it_gives_the_scores_of_the_file(self, cache, tmp_path):
        path = published_table(tmp_path / "head_scores_pythia-70m.csv")
        study = import_scores(path)
        assert (study.name, study.has_model, study.axes) == ("head_scores_pythia-70m", False, list(AXES))
        table, given = open_study(study.name).scores(), read_head_scores(path)
        pd.testing.assert_frame_equal(table.frame, given.frame, check_exact=True)
        assert table.meta.n_seeds == 3
        assert table.intact == given.intact
        assert set(table.intact) == set(AXES)
        assert table.meta.source == path.name
        assert (table.z_bias_se("age") > 0).all()

    def test_the_published_seeds_give_errors_and_reliability(self, cache):
        table = import_scores(published_file("head_scores_gpt2.csv")).scores()
        given = published_scores("gpt2", "csv")
        pd.testing.assert_frame_equal(table.frame, given.frame, check_exact=True)
        rows = published_rows("gpt2")
        seeds = rows[rows["Group"] == "religion"].pivot(index="Head id", columns="Seed", values="Bias")
        expected = (seeds - seeds.median()).std(axis=1, ddof=1) / np.sqrt(seeds.count(axis=1))
        np.testing.assert_allclose(table.z_bias_se("religion"), expected, rtol=1e-9)
        assert table.meta.n_seeds == 3
        assert select_heads(table, axis="religion").pruned == select_heads(given, axis="religion").pruned

    def test_what_needs_the_model_says_so_in_one_line(self, cache, tmp_path):
        study = import_scores(published_table(tmp_path / "x.csv"))
        for ask in (
            lambda: study.samples("age"),
            lambda: study.prompts,
            lambda: study.windows,
            lambda: reopen_model(study.model_record, study.name),
        ):
            with pytest.raises(InputError, match=r"holds imported scores only.*measure a model") as error:
                ask()
            assert "\n" not in str(error.value)
        with pytest.raises(InputError, match="scorer cannot be chosen"):
            study.scores(scorer="embedded")

    def test_a_configuration_says_where_its_scores_come_from(self, cache, tmp_path):
        study = import_scores(published_table(tmp_path / "x.csv"))
        selection = select_heads(study.scores(), axis="age")
        for source in (study, study.scores(), read_head_scores(tmp_path / "x.csv")):
            made = PruningConfig.from_selection(selection, source)
            assert (made.model.name, made.model.ref, made.model.fingerprint) == ("pythia-70m", None, None)
            assert "scores read from x.csv" in made.notes[-1]
            assert PruningConfig.loads(made.model_dump_json()) == made

    def test_a_table_of_ones_own_keeps_what_it_says_of_its_model(self, cache, tmp_path):
        measured = make_study(tmp_path / "other").scores()
        measured.to_parquet(tmp_path / "own table.parquet")
        study = import_scores(tmp_path / "own table.parquet")
        assert study.name == "own-table"
        assert study.scores().intact == measured.intact
        assert study.manifest.model["fingerprint"] == measured.meta.model.fingerprint


class TestExample:
    def test_it_is_imported_once_and_says_where_it_is_from(self, cache):
        study = example_study()
        assert study.name == EXAMPLE
        assert (study.n_layers, study.heads_per_layer) == (12, 12)
        assert len(study.axes) == 5
        assert "github.com/chandar-lab/FASP" in study.scores().meta.notes[0]
        made = (study.folder / "manifest.json").stat().st_mtime_ns
        assert (example_study().folder / "manifest.json").stat().st_mtime_ns == made

    def test_it_is_the_published_file(self, cache, shared_data):
        published = read_head_scores(shared_data / "fasp-published" / "head_scores_gpt2.csv")
        pd.testing.assert_frame_equal(example_study().scores().frame, published.frame)

    def test_a_study_of_its_name_that_was_measured_is_not_taken_for_it(self, cache):
        make_study(cache, EXAMPLE)
        with pytest.raises(InputError, match="rename it"):
            example_study()


class TestFolder:
    def test_a_name_that_is_taken_is_refused_or_replaced(self, cache, tmp_path):
        few, many = published_table(tmp_path / "x.csv", seeds=2), published_table(tmp_path / "y.csv")
        import_scores(few)
        with pytest.raises(InputError, match=r"study 'x' is there already.*--force"):
            import_scores(many, name="x")
        assert open_study("x").scores().meta.n_seeds == 2
        assert import_scores(many, name="x", force=True).scores().meta.n_seeds == 3
        assert os.listdir(cache) == ["x"]

    def test_a_measured_study_is_never_replaced(self, cache, tmp_path):
        make_study(cache, "x")
        with pytest.raises(InputError, match="was measured"):
            import_scores(published_table(tmp_path / "x.csv"), force=True)
        assert open_study("x").has_model

    def test_what_is_no_study_is_never_replaced(self, cache, tmp_path):
        (cache / "x").mkdir(parents=True)
        with pytest.raises(InputError, match="is no study"):
            import_scores(published_table(tmp_path / "x.csv"), force=True)

    def test_measuring_does_not_go_on_with_imported_scores(self, cache, tmp_path, tiny_gpt2):
        from fasp_core.scoring.score_heads import score_heads

        import_scores(published_table(tmp_path / "x.csv"))
        with pytest.raises(InputError, match="imported scores only"):
            score_heads(tiny_gpt2, axes=["religion"], name="x")

    def test_a_model_of_more_layers_than_any_has_is_one_line(self, cache, tmp_path):
        """Its maps would be drawn row by row: a file of 1,660,000 heads was taken for as many layers of one."""
        rows = pd.DataFrame({"Group": "age", "Bias": 0.5, "Head id": range(1, MAX_LAYERS + 2), "Seed": 1})
        rows.assign(Split="valid", PPL=30.0).to_csv(tmp_path / "x.csv", index=False)
        with pytest.raises(InputError, match=r"1,001 layers × 1 heads is no model that this program knows"):
            import_scores(tmp_path / "x.csv", n_layers=MAX_LAYERS + 1)
        assert list_studies() == []

    @pytest.mark.parametrize("force", [False, True])
    def test_a_full_disk_leaves_nothing_or_what_was_there(self, cache, tmp_path, monkeypatch, force):
        path = published_table(tmp_path / "x.csv")
        if force:
            import_scores(path)

        def full(*_args):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(files.os, "fsync", full)
        with pytest.raises(InputError, match="disk is full"):
            import_scores(path, force=force)
        monkeypatch.undo()
        monkeypatch.setenv("FASP_CACHE", str(cache))
        assert os.listdir(cache) == list_studies() == (["x"] if force else [])
        if force:
            assert open_study("x").scores().n_heads == 48

    @pytest.mark.parametrize("name", ["../x", "", ".x", "models"])
    def test_a_name_stays_inside_the_cache(self, cache, tmp_path, name):
        path = published_table(tmp_path / "x.csv")
        if name:
            with pytest.raises(InputError, match="cannot name a study"):
                import_scores(path, name=name)
        else:
            assert import_scores(path, name=name).name == "x"

    @pytest.mark.parametrize("damage", ["gone", "cut", "layout", "meta"])
    def test_damage_is_one_line_with_its_mend(self, cache, tmp_path, damage):
        study = import_scores(published_table(tmp_path / "x.csv"))
        path, manifest = study.folder / "scores.parquet", study.folder / "manifest.json"
        if damage == "gone":
            path.unlink()
        elif damage == "cut":
            path.write_bytes(path.read_bytes()[:-1])
        elif damage == "layout":
            data = json.loads(manifest.read_text())
            data["model"]["n_layers"] = 7
            del data["checksum"]
            manifest.write_text(json.dumps(data))
        else:
            table = study.scores().to_table().replace_schema_metadata({META_KEY: b'{"notes": 5}'})
            pq.write_table(table, path)
            study.manifest.shards.clear()
            with study.writing():
                pass
        with pytest.raises(InputError, match=r"study 'x'.*(damaged|missing).*import the file .*--force") as error:
            open_study("x").scores()
        assert "\n" not in str(error.value)


class TestCommand:
    def test_import_then_scores_select_export(self, run, tmp_path):
        result = run("import", published_table(tmp_path / "x.csv"))
        assert result.exit_code == 0, result.output
        assert "Study 'x'" in result.stdout
        assert "pythia-70m, 6 layers × 8 heads, 3 seeds" in result.stdout
        assert "ranking reliability" in result.stdout
        assert "Next: python -m fasp_core scores x --axis age" in result.stdout
        assert json.loads(run("studies", "--json").stdout)[0]["shape"] == "6 × 8"
        assert json.loads(run("scores", "x", "--axis", "age", "--json").stdout)["n_heads"] == 48
        assert json.loads(run("select", "x", "--axis", "age", "--json").stdout)["pruned"]
        config = PruningConfig.loads(run("export", "x", "--axis", "age").stdout)
        assert config.model.name == "pythia-70m"

    def test_evaluating_needs_a_model(self, run, tmp_path):
        run("import", published_table(tmp_path / "x.csv"))
        refused(run("evaluate", "x", "--axis", "age"), "holds imported scores only")
        refused(run("export", "x", "--axis", "age", "--evaluate"), "holds imported scores only")
        refused(
            run("export", "x", "--axis", "age", "--format", "masked", "--to", tmp_path / "m"), "does not name a model"
        )

    def test_a_json_of_several_models_gives_one_or_all(self, run, tmp_path):
        path = contributions(tmp_path / "c.json", "pythia-70m", "EleutherAI/pythia-70m")
        assert models_in(path) == ["pythia-70m", "EleutherAI/pythia-70m"]
        one = json.loads(run("import", path, "--model", "pythia-70m", "--json").stdout)
        assert [study["study"] for study in one] == ["c.pythia-70m"]
        every = json.loads(run("import", path, "--force", "--json").stdout)
        assert [study["study"] for study in every] == ["c.pythia-70m", "c.EleutherAI-pythia-70m"]
        refused(run("import", path, "--name", "y"), "holds several models; choose one with --model")

    def test_one_unreadable_model_does_not_hide_the_others(self, run, tmp_path):
        result = run("import", contributions(tmp_path / "c.json", "pythia-70m", "mine"))
        assert result.exit_code == 2
        assert result.stderr.startswith("error: 1 of 2 models were imported; ")
        assert "layout of model 'mine' is not known" in result.stderr
        assert list_studies() == ["c.pythia-70m"]
        assert run("import", tmp_path / "c.json", "--model", "mine", "--n-layers", 4).exit_code == 0

    def test_what_cannot_be_read_makes_no_study(self, run, tmp_path):
        (tmp_path / "x.csv").write_text("a,b\n1,2\n")
        refused(run("import", tmp_path / "x.csv"), "no column")
        (tmp_path / "x.json").write_text("{")
        refused(run("import", tmp_path / "x.json"), "not JSON")
        refused(run("import", tmp_path / "none.json"), "no such file")
        assert list_studies() == []

    def test_the_published_json_gives_both_models(self, run):
        result = run("import", published_file(JSON), "--json")
        assert [s["model"]["name"] for s in json.loads(result.stdout)] == ["distilgpt2", "gpt2"]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_opens_with_imported_scores(page, cache, tmp_path, monkeypatch):
    monkeypatch.setattr(EvaluationClient, "_ensure_worker", lambda self: False)
    monkeypatch.setattr(EvaluationClient, "_model_ready", lambda self: True)
    import_scores(published_table(tmp_path / "head.csv"))
    opened = AppTest.from_file(str(PROJECT / "app.py"), default_timeout=30).run()
    if page != "pages/heads.py":
        opened.switch_page(page).run()
    assert not opened.exception
    if page == "pages/heads.py":
        assert any("imported from head" in caption.value for caption in opened.caption)
