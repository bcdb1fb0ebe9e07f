"""File names of shards: what is put together is taken apart again, and nothing else is taken for a shard."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fasp_core.selection.rules import gamma_key
from fasp_core.study.shard_names import (
    ADVANTAGE,
    COMPENSATED,
    CRITIC,
    GRADIENT,
    KNOCKOUT,
    ODDS,
    ODDS_KNOCKOUT,
    ORDER,
    PREFIXES,
    REGENERATED,
    RETOXICITY,
    SAMPLES,
    TOXICITY,
    ShardName,
    order_name,
    parse,
    rating_name,
    shard_name,
)

words = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,59}", fullmatch=True)
numbers = st.integers(0, 10**7)
heads = st.lists(st.integers(0, 4000), min_size=1, max_size=50)


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("samples.religion.00007.parquet", ShardName(SAMPLES, "religion", 7)),
        ("toxicity.vader.text-2.00000.parquet", ShardName(TOXICITY, "text-2", 0, scorer="vader")),
        ("prefixes.vader.religion.00001.parquet", ShardName(PREFIXES, "religion", 1, scorer="vader")),
        ("critic.vader.religion.00000.parquet", ShardName(CRITIC, "religion", 0, scorer="vader")),
        ("advantage.vader.religion.00012.parquet", ShardName(ADVANTAGE, "religion", 12, scorer="vader")),
        ("knockout.text.00003.55d8642c.parquet", ShardName(KNOCKOUT, "text", 3, digest="55d8642c")),
        ("knockout.text.00003.12345678.parquet", ShardName(KNOCKOUT, "text", 3, digest="12345678")),
        ("order.gender_and_sex.g0.5.002.parquet", ShardName(ORDER, "gender_and_sex", 2, gamma="0.5")),
        ("residual-gradient.text.00003.parquet", ShardName(COMPENSATED[GRADIENT], "text", 3)),
        (
            "residual-likelihood-knockout.a.00001.ba3625e8.parquet",
            ShardName(COMPENSATED[ODDS_KNOCKOUT], "a", 1, digest="ba3625e8"),
        ),
        ("likelihood-knockout.a.00001.ba3625e8.parquet", ShardName(ODDS_KNOCKOUT, "a", 1, digest="ba3625e8")),
    ],
)
def test_by_hand(name, made):
    assert parse(name) == made
    assert str(made) == name


@given(st.sampled_from([SAMPLES, GRADIENT, ODDS]), words, numbers)
def test_a_shard_of_units(kind, stream, number):
    assert parse(shard_name(kind, stream, number)) == ShardName(kind, stream, number)


@given(st.sampled_from([REGENERATED, KNOCKOUT, ODDS_KNOCKOUT]), words, numbers, heads)
def test_a_shard_of_heads(kind, stream, number, flat):
    digest = hashlib.sha256(str(flat).encode()).hexdigest()[:8]
    assert parse(shard_name(kind, stream, number, heads=flat)) == ShardName(kind, stream, number, digest=digest)


@given(st.sampled_from([(SAMPLES, TOXICITY), (REGENERATED, RETOXICITY)]), words, words, numbers, heads)
def test_a_rating_is_named_for_its_texts(kinds, scorer, stream, number, flat):
    texts = shard_name(kinds[0], stream, number, heads=flat if kinds[0] == REGENERATED else None)
    assert rating_name(texts, scorer) == texts.replace(kinds[0], f"{kinds[1]}.{scorer}", 1)
    made = parse(rating_name(texts, scorer))
    assert (made.kind, made.scorer, made.stream, made.shard) == (kinds[1], scorer, stream, number)
    assert made.digest == parse(texts).digest


@given(words, st.decimals(0, 1, places=4), st.integers(0, 5000))
def test_a_stage_of_an_order(axis, gamma, stage):
    assert parse(order_name(axis, gamma_key(gamma), stage)) == ShardName(ORDER, axis, stage, gamma=gamma_key(gamma))


@pytest.mark.parametrize(
    "name",
    [
        "prompts.parquet",
        "prompts.religion.parquet",
        "windows.parquet",
        "pairs.parquet",
        "scores.parquet",
        "magnitude.00000.parquet",
        "samples.a.b.00000.parquet",
        "samples.a.copy.parquet",
        "knockout.text.00000.parquet",
        "knockout.text.00000.xyz.parquet",
        "gradient.text.00000.parquet.bak",
    ],
)
def test_other_files_are_no_shards(name):
    assert parse(name) is None
