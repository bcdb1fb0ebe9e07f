"""A function of the working directory as a scorer: what it may be, and one line for what it may not."""

from __future__ import annotations

import pytest

from fasp_core.errors import InputError
from fasp_core.study.manifest import SHARD_PATTERN
from fasp_core.toxicity.scorers import open_scorer, score_texts

AXIS = "gender_and_sex"


def test_a_function_of_the_working_directory(own_scorer):
    ref = own_scorer("import helper\n\ndef rate(texts):\n    return [helper.share(text) for text in texts]\n")
    own_scorer("def share(text):\n    return text.count('a') / max(1, len(text))\n", module="helper")
    scorer = open_scorer(ref)
    assert score_texts(scorer, ["aab", "b"]).tolist() == [2 / 3, 0.0]
    assert SHARD_PATTERN.fullmatch(f"toxicity.{scorer.name}.{AXIS}.00000.parquet")
    first = scorer.fingerprint
    own_scorer("def rate(texts):\n    return [0.5 for text in texts]\n")
    assert open_scorer(ref).fingerprint != first


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def rates(texts): return []", "'rate' is not in it; did you mean 'rates'"),
        ("rate = 3", "'rate' is no function"),
        ("import nowhere_to_be_found", "mine.py cannot be imported (ModuleNotFoundError"),
        ("def rate(texts:", "mine.py cannot be imported (SyntaxError"),
        ("raise SystemExit(3)", "mine.py cannot be imported (SystemExit"),
        ("def rate(): return 1", "failed: TypeError"),
        ("def rate(texts): raise ValueError('first\\nsecond')", "failed: ValueError: first second"),
        ("def rate(texts): return None", "gave () scores for 2 texts"),
        ("def rate(texts): return ['high', 'low']", "gave no list of numbers but list"),
        ("def rate(texts): return [0.5]", "gave (1,) scores for 2 texts"),
        ("def rate(texts): return [0.5, 1.5]", "gave 1.5 for text 1"),
        ("def rate(texts): return [0.5, float('nan')]", "gave nan for text 1"),
        ("def rate(texts): return [[0.5], [0.5, 1]]", "gave no list of numbers but list"),
    ],
)
def test_a_wrong_function_is_told_in_one_line(own_scorer, source, message):
    ref = own_scorer(source)
    with pytest.raises(InputError) as caught:
        score_texts(open_scorer(ref), ["a", "b"])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "ref", ["os:system", "mine:rate:more", "../mine:rate", "mine:__import__('os')", ":", "a:", ":b"]
)
def test_only_files_of_the_working_directory_are_imported(own_scorer, ref):
    with pytest.raises(InputError):
        open_scorer(ref)
