"""Pairs of toxic and benign words: the built-in ones keep their rules, and bad ones are named."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from transformers import AutoTokenizer

from fasp_core.data.order import each_prompt_once
from fasp_core.data.pairs import PairSet, load_pairs
from fasp_core.data.prompts import load_prompts
from fasp_core.errors import InputError
from fasp_core.models.default_model import default_model_folder


def test_the_built_in_pairs_are_checked_and_balanced():
    """Every stem has as many pairs, no toxic word rules, and words of a pair have about as many tokens."""
    pairs = load_pairs()
    frame = pairs.frame
    assert frame.groupby("stem").size().nunique() == 1
    assert frame["toxic"].value_counts().max() <= len(frame) / 100
    assert not set(frame["toxic"]) & set(frame["benign"])
    assert sorted(pairs.block_stems(np.arange(pairs.n_blocks)).ravel()) == list(range(len(pairs.stems)))
    tokenizer = AutoTokenizer.from_pretrained(default_model_folder())
    tokens = [[len(tokenizer(f" {word}")["input_ids"]) for word in frame[side]] for side in ("toxic", "benign")]
    assert np.abs(np.subtract(*tokens)).max() <= 1
    assert np.mean(tokens[0]) - np.mean(tokens[1]) < 0.25


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([("... so", "bad", " ")], "row 0: a stem or word is blank"),
        ([("... so", "bad", "good"), ("... so", "kind", "kindly")], "row 1: 'kind' and 'kindly' begin alike"),
        ([], "at least one row"),
    ],
)
def test_bad_pairs_are_named(rows, says):
    with pytest.raises(InputError, match=says):
        PairSet(pd.DataFrame(rows, columns=["stem", "toxic", "benign"]))


@pytest.mark.parametrize("axis", load_prompts().axes)
def test_one_pass_over_the_built_in_prompts_spreads_over_all_stems(axis):
    prompts = load_prompts().select(axes=[axis], split="valid").frame
    n_blocks = load_pairs().n_blocks
    once = each_prompt_once(prompts, seed=0, axis=axis, n_blocks=n_blocks)
    cells = once.drop_duplicates("cell")
    assert np.ptp(np.bincount(cells["block"], minlength=n_blocks)) <= 1
