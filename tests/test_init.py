"""The public names: all there, and imported only when used."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest
from helpers.made_scores import make_scores
from helpers.made_study import made_evaluation

import fasp_core
from fasp_core.files.paths import PROJECT


@pytest.mark.parametrize("name", fasp_core.__all__)
def test_every_public_name_is_there(name):
    assert getattr(fasp_core, name).__name__ == name
    assert name in dir(fasp_core)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'open_modle'"):
        fasp_core.open_modle  # noqa: B018


@pytest.mark.parametrize(
    ("use", "unwanted"),
    [("fasp_core", "numpy pandas torch"), ("fasp_core.select_heads, fasp_core.read_head_scores", "torch streamlit")],
)
def test_a_name_brings_only_what_it_needs(use, unwanted):
    code = f"import sys, fasp_core; {use}; sys.exit(any(m in sys.modules for m in {unwanted.split()}))"
    assert subprocess.run([sys.executable, "-c", code], cwd=PROJECT, timeout=120).returncode == 0


def test_what_the_public_names_return_is_shown_on_one_line(tiny_llama):
    scores = make_scores(np.arange(12.0), np.arange(12.0), 4)
    chosen = fasp_core.select_heads(scores, axis="gender_and_sex", gamma=0.25, alpha=0.25)
    evaluation = made_evaluation(chosen.pruned, "gender_and_sex", ["female", "male"], 0.5)
    shown = [
        (scores, "<HeadScores of 3 layers × 4 heads: z_ppl and z_bias of gender_and_sex>"),
        (chosen, "<Selection by fasp: 3 of 12 heads pruned, 3 protected>"),
        (evaluation, "<Evaluation of 3 pruned heads on valid prompts, 50 % measured>"),
        (tiny_llama, "<LanguageModel tiny-llama: <HeadLayout: 3 layers × 4 heads of width 8>, float32 on cpu>"),
    ]
    for value, text in shown:
        assert repr(value) == text
    assert repr(fasp_core.open_study("default", PROJECT / "cache")) == "<Study default: 30 layers × 9 heads>"
    assert re.fullmatch(r"<PromptSet builtin: [\d,]+ prompts of gender_and_sex, .*>", repr(fasp_core.load_prompts()))
    assert re.fullmatch(r"<TextSet builtin: [\d,]+ articles>", repr(fasp_core.load_text()))
