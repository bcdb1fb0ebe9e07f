"""The error of a reduced precision is measured, stored with the study, and told in standard errors."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

from fasp_core.models.batching import Sequences
from fasp_core.models.heads import HeadLayout
from fasp_core.passes.precision import precision_error
from fasp_core.scoring.refine import Budget
from fasp_core.scoring.score_heads import score_heads
from fasp_core.study.manifest import StudySettings

SEQUENCES = Sequences([0, 1], [[5, 6, 7, 8, 9, 10], [11, 12, 13, 14]], [3, 2])


def in_dtype(lm, dtype):
    model = copy.deepcopy(lm.model).to(dtype)
    return replace(lm, model=model, layout=HeadLayout.of(model), dtype=dtype)


def test_float32_has_none(tiny_llama):
    assert precision_error(tiny_llama, SEQUENCES).nats == 0


def test_coarser_formats_err_more(tiny_llama):
    """Both copies hold weights that float16 and bfloat16 represent alike, so only the arithmetic differs."""
    weights = copy.deepcopy(tiny_llama.model).bfloat16().float()
    lm = replace(tiny_llama, model=weights, layout=HeadLayout.of(weights))
    half, brain = (precision_error(in_dtype(lm, d), SEQUENCES) for d in (torch.float16, torch.bfloat16))
    assert 0 < half.nats < brain.nats
    assert half.standard_errors < brain.standard_errors


def test_it_is_kept_with_the_study(tiny_llama, tmp_path):
    study = score_heads(
        in_dtype(tiny_llama, torch.bfloat16),
        axes=["gender_and_sex"],
        root=tmp_path,
        name="s",
        budget=Budget(samples=12, windows=4, knockout_windows=0),
        settings=StudySettings(max_new_tokens=4, window_tokens=24, samples_per_shard=12, windows_per_shard=4),
    )
    precision = study.scores().meta.precision
    assert precision["dtype"] == "bfloat16"
    assert precision["standard_errors"] == pytest.approx(study.manifest.precision["standard_errors"])
    assert precision["standard_errors"] > 0
    assert any("bfloat16" in note for note in study.scores().meta.notes)
