"""Estimates of a run against what is known of runs: the shipped study's size, the quick budget's ten minutes."""

from __future__ import annotations

import json

import pytest

from fasp_core.budgets import BUDGETS
from fasp_core.errors import InputError
from fasp_core.estimate import ModelShape, estimate_run, machine_flops, model_shape, spoken_bytes, spoken_range
from fasp_core.paths import PROJECT

DEFAULT = ModelShape(134_500_000, 30, 9)
TWO_CORES = 2.5e11  # floating-point operations per second of the machine on which quick took ten minutes


def test_a_quick_run_of_the_default_model():
    estimate = estimate_run(DEFAULT, 1, "quick", flops=TWO_CORES)
    assert estimate.seconds_low < 600 < estimate.seconds_high
    assert estimate.seconds == pytest.approx(600, rel=0.2)
    assert 1e9 < estimate.memory_bytes < 4e9  # the README asks for 4 GB
    study = PROJECT / "cache" / "default"
    size = sum(path.stat().st_size for path in study.iterdir())
    assert size / 1.5 < estimate.disk_bytes < 1.5 * size


def test_costs_grow_with_the_model_the_axes_and_the_budget():
    base = estimate_run(DEFAULT, 1, "quick", flops=TWO_CORES)
    for more in (
        estimate_run(ModelShape(10 * 134_500_000, 30, 9), 1, "quick", flops=TWO_CORES),
        estimate_run(DEFAULT, 5, "quick", flops=TWO_CORES),
        estimate_run(DEFAULT, 1, "standard", flops=TWO_CORES),
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
    assert spoken_range(estimate) == "about 9 min (5 to 18 min)" or "min" in spoken_range(estimate)
    assert [spoken_bytes(n) for n in (2_612_000_000, 14e6, 3e12, 300)] == ["2.61 GB", "14 MB", "3 TB", "1 kB"]
    assert machine_flops(size=64, repeats=1) > 0
    assert set(BUDGETS) == {"quick", "standard"}
