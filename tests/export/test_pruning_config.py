"""The exported configuration: what it says, that it loads back, and what it refuses."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from helpers.made_metrics import made_metrics
from hypothesis import given
from hypothesis import strategies as st

from fasp_core.errors import InputError
from fasp_core.evaluation.result import Evaluation
from fasp_core.export.provenance import ModelRecord
from fasp_core.export.pruning_config import PruningConfig
from fasp_core.selection.description import from_record
from fasp_core.selection.head_scores import HeadScores
from fasp_core.selection.select_heads import select_heads
from fasp_core.stats.estimate import Estimate
from fasp_core.study.manifest import Manifest, StudySettings
from fasp_core.study.study import Study

AXIS = "gender_and_sex"
META = {
    "source": "study",
    "model": {
        "ref": "default",
        "name": "small",
        "fingerprint": "ab" * 8,
        "head_dim": 16,
        "n_layers": 3,
        "dtype": "float32",
    },
    "prompts": {"name": "builtin", "fingerprint": "cd" * 8},
    "text": {"name": "builtin", "fingerprint": "ef" * 8},
    "scorer": "embedded",
    "settings": {"seed": 7, "window_tokens": 128},
    "notes": ["a note"],
}


def table(layers: int = 3, heads: int = 4, meta: dict | None = None) -> HeadScores:
    n, rng = layers * heads, np.random.default_rng(0)
    columns = {
        "layer": np.repeat(np.arange(layers), heads),
        "head": np.tile(np.arange(heads), layers),
        "z_ppl": rng.normal(size=n),
        "z_ppl_se": np.ones(n),
        f"z_bias.{AXIS}": rng.normal(size=n),
        f"z_bias_se.{AXIS}": np.ones(n),
    }
    return HeadScores(pd.DataFrame(columns), layers, heads, *from_record(META if meta is None else meta))


def evaluation(pruned, split: str = "test", se: float = 0.5) -> Evaluation:
    def metrics(ppl: float, bias: float):
        return made_metrics(Estimate(ppl, se, 50), {AXIS: Estimate(bias, 0.01, 400)})

    before, after, change = metrics(20.0, 0.3), metrics(21.0, 0.25), metrics(1.0, -0.05)
    return Evaluation(pruned, split, before, after, change, n_texts=400, n_windows=50, fraction_done=1.0)


SCORES = table()
SELECTION = select_heads(SCORES, axis=AXIS, gamma=0.25, alpha=0.25)


def config(**changes) -> dict:
    made = PruningConfig.from_selection(SELECTION, SCORES, evaluation(SELECTION.pruned))
    return {**json.loads(made.model_dump_json()), **changes}


def test_it_says_what_made_it():
    made = PruningConfig.from_selection(
        SELECTION, SCORES, [evaluation(SELECTION.pruned, "valid"), evaluation(SELECTION.pruned)]
    )
    assert (made.model.name, made.model.fingerprint, made.model.n_layers, made.model.heads_per_layer) == (
        "small",
        "ab" * 8,
        3,
        4,
    )
    assert (made.method.name, made.method.axis, made.method.gamma, made.method.alpha) == ("fasp", AXIS, 0.25, 0.25)
    assert (made.prompts.fingerprint, made.text.fingerprint, made.scorer.name) == ("cd" * 8, "ef" * 8, "embedded")
    assert made.seeds == {"study": 7}
    assert made.notes == ["a note"]
    assert {"python", "torch", "numpy"} <= set(made.versions)
    assert abs((datetime.now(UTC) - made.created).total_seconds()) < 3600
    assert list(made.metrics) == ["valid", "test"]
    change = made.metrics["test"].change
    assert change.ppl.value == 1.0
    assert change.ppl.low == pytest.approx(1 - 1.96 * 0.5, abs=1e-4)
    assert change.bias[AXIS].high == pytest.approx(-0.05 + 1.96 * 0.01, abs=1e-4)


def test_heads_are_written_by_layer():
    data = config()
    assert data["pruned_heads"] == {
        str(layer): [head for at, head in SELECTION.pruned if at == layer]
        for layer in sorted({at for at, _ in SELECTION.pruned})
    }
    assert data["schema_version"] == 1


def test_it_says_which_scores_chose():
    """Those under compensation, plain ones, or none; what has no such field is of the time before, or has none."""
    under = replace(SCORES, meta=SCORES.meta.model_copy(update={"compensate": "least_squares"}))
    for scores, known in ((SCORES, "none"), (under, "least_squares")):
        selection = select_heads(scores, axis=AXIS, gamma=0.25, alpha=0.25)
        made = PruningConfig.from_selection(selection, scores, compensate="least_squares")
        assert json.loads(made.to_json())["method"]["scores_under"] == known
        assert list(json.loads(made.to_json())["method"])[-1] == "scores_under"  # the others stay in their places
        assert PruningConfig.loads(made.to_json()) == made
        told = "without compensation" if known == "none" else "under compensation: by what the other heads cannot"
        assert f"chosen by their scores {told}" in made.chosen_by()
    by_chance = PruningConfig.from_selection(select_heads(under, "random", alpha=0.25), under, compensate="mean")
    assert "scores_under" not in json.loads(by_chance.to_json())["method"]
    assert by_chance.chosen_by() == ""
    before = config()
    assert before["method"].pop("scores_under") == "none"
    assert PruningConfig.loads(json.dumps(before)).method.scores_under is None
    with pytest.raises(InputError, match=r"method\.scores_under: .*'none' or 'least_squares'"):
        PruningConfig.loads(json.dumps(config(method=before["method"] | {"scores_under": "mean"})))


@given(gamma=st.integers(0, 50), alpha=st.integers(0, 50))
def test_it_loads_back(tmp_path_factory, gamma, alpha):
    selection = select_heads(SCORES, axis=AXIS, gamma=gamma / 100, alpha=alpha / 100)
    made = PruningConfig.from_selection(selection, SCORES, evaluation(selection.pruned))
    path = tmp_path_factory.mktemp("config") / "c.json"
    made.save(path)
    again = PruningConfig.load(path)
    assert again == made
    assert (again.pruned, again.protected) == (selection.pruned, selection.protected)
    assert os.listdir(path.parent) == ["c.json"]


def test_an_unknown_error_is_null():
    made = PruningConfig.from_selection(SELECTION, SCORES, evaluation(SELECTION.pruned, se=float("nan")))
    estimate = json.loads(made.model_dump_json())["metrics"]["test"]["after"]["ppl"]
    assert estimate == {"value": 21.0, "se": None, "low": None, "high": None, "n": 50}


def test_from_a_study_and_from_a_model():
    manifest = Manifest(
        name="s",
        created="2026-01-01",
        model={**META["model"], "heads_per_layer": 4},
        prompts=META["prompts"],
        text=META["text"],
        settings=StudySettings(seed=3),
        scorers={"embedded": "v1"},
        versions={"torch": "2"},
        notes=[],
    )
    made = PruningConfig.from_selection(SELECTION, Study(Path("s"), manifest))
    assert (made.scorer.fingerprint, made.versions, made.seeds) == ("v1", {"torch": "2"}, {"study": 3})
    layout = SimpleNamespace(n_layers=3, heads_per_layer=4, head_dim=16)
    made = PruningConfig.from_selection(
        SELECTION, SimpleNamespace(ref="r", name="n", fingerprint="f", dtype_name="float32", layout=layout)
    )
    assert (made.model.ref, made.model.head_dim, made.prompts) == ("r", 16, None)


def test_a_table_without_metadata_still_exports():
    made = PruningConfig.from_selection(SELECTION, table(meta={}))
    assert made.model.name == "unknown"


def test_a_path_below_the_home_folder_names_nobody(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    record = ModelRecord(name="m", n_layers=1, heads_per_layer=1, ref=str(tmp_path / "models" / "mine"))
    assert record.ref == "~/models/mine"
    for ref in ("default", "org/name", "/data/models/mine"):
        assert ModelRecord(name="m", n_layers=1, heads_per_layer=1, ref=ref).ref == ref


def test_from_selection_refuses_what_does_not_belong_together():
    with pytest.raises(InputError, match="3 layers × 4 heads, the model has 2 × 6"):
        PruningConfig.from_selection(SELECTION, table(2, 6))
    with pytest.raises(InputError, match="other heads than the selection"):
        PruningConfig.from_selection(SELECTION, SCORES, evaluation(((0, 0),)))


def test_check_layout():
    made = PruningConfig.loads(json.dumps(config()))
    made.check_layout(SimpleNamespace(n_layers=3, heads_per_layer=4, head_dim=16))
    for shape in ((3, 4, 32), (4, 4, 16), (3, 5, 16)):
        with pytest.raises(InputError, match="is for 3 layers × 4 heads of size 16"):
            made.check_layout(SimpleNamespace(n_layers=shape[0], heads_per_layer=shape[1], head_dim=shape[2]))


def test_a_head_size_that_was_not_recorded_is_not_compared():
    made = PruningConfig.from_selection(SELECTION, table(meta={}))
    made.check_layout(SimpleNamespace(n_layers=3, heads_per_layer=4, head_dim=999))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not a JSON configuration"),
        ("[" * 100_000, "not a JSON configuration"),
        ("[]", "no schema_version"),
        ("{}", "no schema_version"),
        ('{"schema_version": 1, "schema_version": 1}', "'schema_version' is there twice"),
        (config(schema_version=2), "schema version 2, this program reads 1"),
        (config(schema_version="1"), "schema version 1"),
        (config(extra=1), "extra: Extra inputs are not permitted"),
        (config(pruned_heads={"3": [0]}), r"head \(3, 0\) does not exist, the model has 3 layers × 4 heads"),
        (config(pruned_heads={"0": [4]}), r"head \(0, 4\) does not exist"),
        (config(pruned_heads={"0": [-1]}), "pruned_heads.0.0: Input should be greater than or equal to 0"),
        (config(pruned_heads={"0": [1.0]}), "pruned_heads.0.0: Input should be a valid integer"),
        (config(pruned_heads={"0": [True]}), "pruned_heads.0.0: Input should be a valid integer"),
        (config(pruned_heads={"00": [1]}), "pruned_heads"),
        (config(pruned_heads=[[0, 1]]), "pruned_heads: Input should be"),
        (config(pruned_heads={"0": [1, 1]}, protected_heads={}), r"pruned_heads: head \(0, 1\) is there twice"),
        (config(pruned_heads={"0": [1]}, protected_heads={"0": [1]}), r"head \(0, 1\) is there in pruned_heads too"),
        (config(method={"name": "fasp", "gamma": 1.5, "alpha": 0.1}), "method.gamma: .* less than or equal to 1"),
        (config(created="yesterday"), "created: Input should be a valid datetime"),
        (json.dumps(config()).replace("20.0", "NaN", 1), "Invalid|not a JSON|finite"),
    ],
)
def test_a_wrong_file_is_one_clear_line(tmp_path, text, words):
    path = tmp_path / "c.json"
    path.write_text(text if isinstance(text, str) else json.dumps(text), "utf-8")
    with pytest.raises(InputError, match=words) as caught:
        PruningConfig.load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_empty_and_binary_files(tmp_path):
    (tmp_path / "empty").touch()
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for name, words in (("none", "no such file"), ("empty", "0 bytes"), ("binary", "not UTF-8")):
        with pytest.raises(InputError, match=words):
            PruningConfig.load(tmp_path / name)


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    made = PruningConfig.from_selection(SELECTION, SCORES)
    made.save(tmp_path / "c.json")
    before = (tmp_path / "c.json").read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="the disk is full"):
        PruningConfig.from_selection(SELECTION, SCORES, evaluation(SELECTION.pruned)).save(tmp_path / "c.json")
    assert (tmp_path / "c.json").read_bytes() == before
    assert os.listdir(tmp_path) == ["c.json"]
