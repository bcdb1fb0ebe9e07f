"""Estimates of a run against what is known of runs: the shipped study's size, the quick budget's ten minutes."""

from __future__ import annotations

import json

import pytest

from fasp_core.errors import InputError
from fasp_core.files.paths import PROJECT
from fasp_core.scoring.budgets import BUDGETS, Budget
from fasp_core.scoring.cost import (
    ModelShape,
    estimate_run,
    evaluation_seconds,
    machine_flops,
    model_shape,
    stage_seconds,
)
from fasp_core.study.study import open_study
from fasp_core.words.spoken import spoken_range

DEFAULT = ModelShape(134_500_000, 30, 9)
TWO_CORES = 2.5e11  # floating-point operations per second of the machine on which quick took ten minutes


def test_a_quick_run_of_the_default_model():
    estimate = estimate_run(DEFAULT, 1, "quick", flops=TWO_CORES)
    assert estimate.seconds_low < 600 < estimate.seconds_high
    assert estimate.seconds == pytest.approx(600, rel=0.2)
    assert 1e9 < estimate.memory_bytes < 4e9  # the README asks for 4 GB


def test_520_texts_take_about_a_minute():
    # 40 s as timed on such a machine with 6,300 tokens of text; a split has 13,600 now, which take 13 s more
    assert evaluation_seconds(DEFAULT, 520, flops=TWO_CORES) == pytest.approx(53, rel=0.3)


def test_a_set_by_likelihood_takes_its_readings_and_a_refit():
    # 300 readings of 41 tokens and 13,600 tokens of text, two operations per weight and token, at 0.55 of the speed:
    # 50.7 s; a refit 14.7 s more
    assert evaluation_seconds(DEFAULT, 300, "likelihood", flops=TWO_CORES) == pytest.approx(50.7, abs=0.1)
    refitted = evaluation_seconds(DEFAULT, 300, "likelihood", flops=TWO_CORES, refitted=True)
    assert refitted == pytest.approx(65.3, abs=0.1)


def test_a_stage_takes_what_the_settings_say():
    """180 readings and 512 texts with scores of all heads, and 13,600 tokens of text; as `IterativeSettings` tells."""
    by_likelihood = (180 * 41 * 3 + 13_600) * 2 * 134.5e6 / (0.55 * TWO_CORES)
    assert stage_seconds(DEFAULT, 180, "likelihood", flops=TWO_CORES) == pytest.approx(by_likelihood)
    assert by_likelihood == pytest.approx(70, rel=0.2)
    assert stage_seconds(DEFAULT, 512, "toxicity", flops=TWO_CORES) == pytest.approx(3 * 60, rel=0.2)
    refitted = stage_seconds(DEFAULT, 180, "likelihood", flops=TWO_CORES, refitted=True)
    assert refitted == pytest.approx(by_likelihood + 14.7, abs=0.1)


def test_the_disk_that_the_shipped_study_takes():
    """Its gender axis, as its shards say how much was measured."""
    study = open_study("default", PROJECT / "cache")
    shards = {name: record for name, record in study.manifest.shards.items() if "gender_and_sex" in name}

    def rows(kind: str) -> int:
        return sum(record.rows for name, record in shards.items() if name.split(".")[0] == kind)

    budget = Budget(rows("samples"), windows=49, knockout_windows=4, likelihood_reads=rows("likelihood"))
    size = sum(record.bytes for record in shards.values())
    estimate = estimate_run(DEFAULT, 1, budget, flops=TWO_CORES)
    assert size / 1.5 < estimate.disk_bytes < 1.5 * size


def test_costs_grow_with_the_model_the_axes_and_the_budget():
    base = estimate_run(DEFAULT, 1, "quick", flops=TWO_CORES)
    for more in (
        estimate_run(ModelShape(10 * 134_500_000, 30, 9), 1, "quick", flops=TWO_CORES),
        estimate_run(DEFAULT, 5, "quick", flops=TWO_CORES),
        estimate_run(DEFAULT, 1, "standard", flops=TWO_CORES),
        estimate_run(DEFAULT, 1, "quick", flops=TWO_CORES, compensated=True),
        estimate_run(DEFAULT, 1, "quick", flops=TWO_CORES / 2),
    ):
        assert more.seconds > 1.5 * base.seconds
    # the published recipe samples 270 heads × 1,080 texts of 40 tokens
    assert estimate_run(DEFAULT, 1, "paper", flops=TWO_CORES).seconds > 10 * 3600
    assert estimate_run(DEFAULT, 1, "quick", flops=TWO_CORES, minutes=30).seconds == 1800


def test_the_shape_is_read_from_files(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"n_layer": 3, "n_head": 4, "dtype": "bfloat16"}))
    (tmp_path / "model.safetensors").write_bytes(b"0" * 1000)
    assert model_shape(str(tmp_path)) == ModelShape(500, 3, 4)
    assert model_shape("gpt2") is None
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(InputError, match=r"config\.json cannot be read"):
        model_shape(str(tmp_path))


def test_in_words():
    estimate = estimate_run(DEFAULT, 1, "quick", flops=TWO_CORES)
    assert "min" in spoken_range(estimate.seconds_low, estimate.seconds, estimate.seconds_high)
    assert machine_flops(size=64, repeats=1) > 0
    assert set(BUDGETS) == {"quick", "standard"}
