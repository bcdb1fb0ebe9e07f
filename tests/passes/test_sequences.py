"""Sequences of a model whose tokenizer puts special tokens around texts, in sampling, scoring and log-odds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from helpers.word_tokenizers import WORDS, metaspace_tokenizer

from fasp_core.data.pairs import PairSet
from fasp_core.data.prompt_set import PromptSet
from fasp_core.data.windows import token_windows
from fasp_core.passes.log_odds import contexts
from fasp_core.passes.sampling import encode_prompts
from fasp_core.scoring.context import RunContext
from fasp_core.scoring.texts import samples_table
from fasp_core.study.manifest import StudySettings
from fasp_core.toxicity.scorers import open_scorer

BOS, EOS = 0, 1
PROMPTS = pd.DataFrame(
    {
        "prompt_id": [0, 1],
        "axis": "axis",
        "group": ["a", "b"],
        "descriptor": ["x", "y"],
        "template": "t",
        "prompt": ["w1 w2", "w3"],
        "split": "valid",
    }
)
TEMPLATES = pytest.mark.parametrize("template", [None, "<s> $A", "$A </s>", "<s> $A </s>"])


def with_template(lm, template):
    return replace(lm, tokenizer=metaspace_tokenizer(template=template))


@TEMPLATES
def test_the_text_that_is_scored_is_the_text_that_was_written(tiny_llama, template):
    lm = with_template(tiny_llama, template)
    context = RunContext(lm, open_scorer("embedded"), StudySettings(max_new_tokens=6), PromptSet("two", PROMPTS), [])
    table = samples_table(context, "axis", range(4))
    assert all(table["continuation"].to_pylist())
    for prompt_id, ids, text in zip(
        *(table[c].to_pylist() for c in ("prompt_id", "token_ids", "continuation")), strict=True
    ):
        prompt = PROMPTS["prompt"][prompt_id]
        words = [WORDS[i - 3] for i in ids if 3 <= i < 203]
        assert (prompt + text).split() == [*prompt.split(), *words]


@TEMPLATES
def test_prompts_are_not_continued_behind_an_end_token(tiny_llama, template):
    lm = with_template(tiny_llama, template)
    start = [BOS] if template and template.startswith("<s>") else []
    (first, second), cut = encode_prompts(lm, ["w1 w2", "w3"], 6)
    assert (first, second, cut) == ([*start, 4, 5], [*start, 6], [False, False])


def test_a_long_prompt_keeps_its_start_token(tiny_llama):
    lm = replace(with_template(tiny_llama, "<s> $A"), max_length=10)
    ((ids,), cut) = encode_prompts(lm, [" ".join(WORDS[:20])], 4)
    assert cut == [True]
    assert ids == [BOS, *range(3 + 15, 3 + 20)]


@TEMPLATES
def test_every_perplexity_window_begins_as_the_model_expects(template):
    articles = pd.DataFrame({"article": ["x"], "split": ["valid"], "text": [" ".join(WORDS[:100])]})
    windows = token_windows(metaspace_tokenizer(template=template), articles, length=20)["token_ids"].tolist()
    start = [BOS] if template and template.startswith("<s>") else []
    assert len(windows) == 5 if not start else 6
    assert all(window[: len(start)] == start and len(window) <= 20 for window in windows)
    body = [token for window in windows for token in window[len(start) :]]
    assert body == list(range(3, 3 + len(body)))  # every word once, in order, and no special token between them


@TEMPLATES
def test_log_odds_read_words_and_no_end_token(tiny_llama, template):
    lm = with_template(tiny_llama, template)
    pairs = PairSet(pd.DataFrame({"stem": [" w9"], "toxic": ["w10"], "benign": ["w11"]}))
    (row,) = contexts(lm, ["w1"], pairs, np.array([[0]]))
    start = [BOS] if template and template.startswith("<s>") else []
    assert row.tokens == [*start, 4, 12]
    assert sorted(row.reads) == [(0, 13, 1.0), (0, 14, -1.0)]
