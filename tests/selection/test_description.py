"""What goes with a score table, as typed values and as the flat JSON object of files and of `--json`."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fasp_core.errors import InputError
from fasp_core.selection.description import (
    BiasVerdict,
    IntactBias,
    IntactPerplexity,
    Provenance,
    from_record,
    to_record,
)
from fasp_core.selection.head_scores import HeadScores
from fasp_core.stats.estimate import Estimate

# As a study of this program has it, written by hand.
STUDY = {
    "source": "study",
    "study": "s",
    "model": {"name": "m", "fingerprint": "00ff", "n_layers": 1, "dtype": "float32"},
    "metric": "toxicity",
    "scorer": "embedded",
    "scorer_fingerprint": "f",
    "versions": {"python": "3.11"},
    "prompts": {"name": "builtin", "fingerprint": "aa"},
    "text": {"name": "builtin", "fingerprint": "bb"},
    "settings": {"seed": 3, "max_new_tokens": 20},
    "base_ppl": 37.5,
    "base_ppl_se": 0.5,
    "base_bias": {"religion": 0.25},
    "base_bias_se": {"religion": 0.0625},
    "bias_floor": {"religion": 0.125},
    "base_bias_corrected": {"religion": 0.1875},
    "base_bias_corrected_se": {"religion": 0.075},
    "reliability": {"ppl": 0.5, "religion": None},
    "verdict": {
        "religion": {
            "state": "not clear yet",
            "p_value": 0.25,
            "low": 0.0,
            "high": 0.5,
            "matters": 0.02,
            "more_texts": 900,
            "more_units": None,
            "units": "prompts",
        }
    },
    "prompt_echo": {"religion": 0.0625},
    "prompt_echo_se": {"religion": 0.03125},
    "n_samples": {"religion": 512},
    "effective_share": {"religion": [0.5, 1.0]},
    "corrected": {"religion": [1]},
    "discount": {"religion": 0.7},
    "discount_bias": {"religion": 0.00125},
    "notes": ["n"],
    "iterative": {"religion": {"0.3": [1, 0]}},
}


def test_every_number_of_a_record_finds_its_place():
    meta, ppl, intact, orders = from_record(STUDY)
    assert ppl == IntactPerplexity(Estimate(37.5, 0.5, 0), 0.5)
    assert intact == {
        "religion": IntactBias(
            bias=Estimate(0.25, 0.0625, 512),
            verdict=BiasVerdict("not clear yet", 0.25, 0.0, 0.5, 0.02, more_texts=900, units="prompts"),
            prompt_echo=Estimate(0.0625, 0.03125, 0),
            floor=0.125,
            corrected=Estimate(0.1875, 0.075, 512),
            reliability=None,
            n_samples=512,
            effective_share=(0.5, 1.0),
            corrected_heads=(1,),
            discount=0.7,
            discount_bias=0.00125,
        )
    }
    assert orders == {"religion": {"0.3": (1, 0)}}
    assert (meta.source, meta.scorer, meta.settings.seed, meta.model.name) == ("study", "embedded", 3, "m")
    assert to_record(meta, ppl, intact, orders) == STUDY


def test_a_record_without_the_intact_model_holds_only_what_is_known():
    given = {"source": "x.csv", "model": {"name": "gpt2"}, "reliability": {"religion": 0.5}, "notes": []}
    assert to_record(*from_record(given)) == given
    assert to_record(*from_record({})) == {}


def test_what_this_program_does_not_read_is_kept():
    given = {"source": "x.csv", "licence": "CC0", "model": {"name": "gpt2", "colour": [1, 2]}}
    assert to_record(*from_record(given)) == given


def test_a_model_may_be_given_by_its_name_alone():
    assert from_record({"model": "gpt2"}).meta.model.name == "gpt2"


def test_null_and_nan_are_not_known():
    made = from_record(
        {"base_ppl": math.nan, "base_bias": {"a": None, "b": 1.0}, "bias_floor": {"a": math.inf}, "reliability": {}}
    )
    assert made.intact_ppl == IntactPerplexity()
    assert made.intact["a"] == IntactBias()
    assert math.isnan(made.intact["b"].bias.se)
    assert to_record(*made) == {"base_bias": {"b": 1.0}}


def test_what_is_not_defined_for_a_measured_model_is_null():
    ppl = IntactPerplexity(Estimate(20.0, math.nan, 0))
    record = to_record(Provenance(), ppl, {"a": IntactBias(n_samples=5)}, {})
    assert record["base_ppl_se"] is None
    assert record["reliability"] == {"ppl": None, "a": None}
    assert record["base_bias"] == {"a": None}
    assert record["iterative"] == {}
    json.dumps(record, allow_nan=False)


numbers = st.floats(-1e6, 1e6)
errors = st.floats(0, 1e6) | st.just(math.nan)


@st.composite
def described(draw):
    def biases() -> IntactBias:
        n = draw(st.none() | st.integers(0, 9999))
        estimate = st.builds(Estimate, numbers, errors, st.just(n or 0))
        return IntactBias(
            bias=draw(st.none() | estimate),
            floor=draw(st.none() | numbers),
            corrected=draw(st.none() | estimate),
            reliability=draw(st.none() | st.floats(-1, 1)),
            n_samples=n,
            effective_share=draw(st.none() | st.tuples(st.floats(0, 1), st.floats(0, 1))),
            corrected_heads=draw(st.none() | st.sampled_from([(), (0,), (1, 0)])),
            discount=draw(st.none() | st.floats(0, 1)),
            discount_bias=draw(st.none() | st.floats(0, 1e3)),
        )

    axes = draw(st.lists(st.sampled_from(["a", "b", "c"]), unique=True))
    ppl = IntactPerplexity(Estimate(draw(numbers), draw(errors), 0), draw(st.none() | st.floats(-1, 1)))
    order = st.permutations([0, 1, 2]).map(tuple)
    orders = {axis: draw(st.dictionaries(st.sampled_from(["0.3", "0.5"]), order, min_size=1)) for axis in axes}
    return Provenance(notes=draw(st.lists(st.text()))), ppl, {axis: biases() for axis in axes}, orders


@given(described())
def test_a_round_trip_keeps_everything(parts):
    again = from_record(json.loads(json.dumps(to_record(*parts), allow_nan=False)))
    assert repr(tuple(again)) == repr(parts)  # NaN is not equal to itself, but reads the same


@pytest.mark.parametrize(
    "damage",
    [
        {"base_ppl": "12"},
        {"base_bias": {"religion": True}},
        {"base_bias_se": {"religion": -1.0}},
        {"n_samples": {"religion": -1}},
        {"discount_bias": {"religion": -0.5}},
        {"reliability": [0.5]},
        {"iterative": {"religion": {"0.3": ["1"]}}},
        {"model": {"head_dim": 0}},
        {"settings": {"seed": "0"}},
        {"notes": 5},
    ],
)
def test_a_damaged_record_is_refused(damage):
    with pytest.raises(ValueError, match=next(iter(damage))):
        from_record(damage)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ({"corrected": {"a": [2]}}, "corrected heads of a must name heads from 0 to 1"),
        ({"effective_share": {"a": [1.0]}}, "a has 1 effective sample sizes for 2 heads"),
        ({"iterative": {"a": {"0.3": [0, 0]}}}, "the order of a at gamma 0.3 must name heads"),
        ({"iterative": {"a": {"0.3": [-1]}}}, "the order of a at gamma 0.3 must name heads"),
    ],
)
def test_heads_that_the_model_does_not_have_are_refused(damage, words):
    frame = pd.DataFrame({"layer": [0, 0], "head": [0, 1], "z_ppl": [1.0, 2.0], "z_ppl_se": np.nan})
    with pytest.raises(InputError, match=words):
        HeadScores(frame, 1, 2, *from_record(damage))
