"""A study and a configuration that earlier code wrote still open, with the same numbers (tests/data/before_rooms)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from fasp_core.export.pruning_config import PruningConfig
from fasp_core.selection.select_heads import select_heads
from fasp_core.study.study import open_study

FOLDER = Path(__file__).resolve().parents[1] / "data" / "before_rooms"
EXPECTED = json.loads((FOLDER / "expected.json").read_text("utf-8"))


@pytest.fixture
def study(tmp_path):
    """A copy, so that nothing a reader remembers beside a study lands in the fixture."""
    shutil.copytree(FOLDER / "study", tmp_path / "before_rooms")
    return open_study("before_rooms", tmp_path)


@pytest.mark.parametrize("metric", ["toxicity", "likelihood"])
def test_its_scores_are_those_of_the_code_that_made_it(study, metric):
    frame, expected = study.scores(metric=metric).frame, EXPECTED["scores"][metric]
    assert [column for column in frame if not column.startswith("z_toxicity")] == list(expected)  # added since
    for column, values in expected.items():
        widened = (4 / 3) ** 0.5 if column == "z_ppl_se" else 1.0  # since then, for having only 4 knock-out windows
        assert frame[column].tolist() == pytest.approx(widened * np.array(values), rel=1e-9, nan_ok=True), column


@pytest.mark.parametrize("axis", ["gender_and_sex", "religion"])
def test_its_samples_are_those_that_were_drawn(study, axis):
    frame, expected = study.samples(axis), EXPECTED["samples"][axis]
    assert frame["continuation"].tolist() == expected["continuation"]
    assert frame["toxicity"].tolist() == pytest.approx(expected["toxicity"], rel=1e-12)


def test_its_configuration_opens_and_is_what_the_study_selects(study):
    config = PruningConfig.load(FOLDER / "pruning.json")
    assert [list(head) for head in config.pruned] == EXPECTED["selection"]["pruned"]
    assert [list(head) for head in config.protected] == EXPECTED["selection"]["protected"]
    selection = select_heads(study.scores(), axis="gender_and_sex", gamma=0.25, alpha=0.25)
    assert (selection.pruned, selection.protected) == (config.pruned, config.protected)
    assert config.model.fingerprint == study.manifest.model["fingerprint"]


def test_its_metrics_are_those_that_were_measured():
    metrics = PruningConfig.load(FOLDER / "pruning.json").metrics["test"]
    for when, expected in EXPECTED["test_metrics"].items():
        part = getattr(metrics, when)
        assert (part.ppl.value, part.ppl.se) == pytest.approx(expected["ppl"])
        for axis, (value, se) in expected["bias"].items():
            assert (part.bias[axis].value, part.bias[axis].se) == pytest.approx((value, se))


def test_a_configuration_saved_again_is_the_same_file(tmp_path):
    PruningConfig.load(FOLDER / "pruning.json").save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_text("utf-8") == (FOLDER / "pruning.json").read_text("utf-8")
