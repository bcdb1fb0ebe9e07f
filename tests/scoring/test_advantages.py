"""Scores by advantages against a model whose texts can all be enumerated, and against what is known to give nothing."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import product
from shutil import copytree

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from helpers.finite_differences import gate_slope, in_float64
from helpers.tiny import LLAMA, VOCAB_SIZE, make_language_model

from fasp_core.data.prompt_set import PromptSet
from fasp_core.data.prompts import load_prompts
from fasp_core.models.batching import pad_batch
from fasp_core.models.heads import gate_heads
from fasp_core.passes.knockout import base_log_probs
from fasp_core.scoring.advantages import Advantage, FittedCritic, Prefixes
from fasp_core.scoring.budgets import Budget
from fasp_core.scoring.context import RunContext
from fasp_core.scoring.score_heads import score_heads
from fasp_core.scoring.stage import Shard
from fasp_core.stats.axis_sums import AxisSums
from fasp_core.stats.bias import axis_bias, head_effects
from fasp_core.study.effects import axis_effects, axis_sums, discount
from fasp_core.study.manifest import StudySettings
from fasp_core.study.shard_names import ADVANTAGE, CRITIC, GRADIENT, PREFIXES, SAMPLES, TOXICITY, parse, shard_name
from fasp_core.study.shard_tables import table_contributions
from fasp_core.study.study import open_study
from fasp_core.study.views import axis_samples

AXIS = "gender_and_sex"
LETTERS, LENGTH = "ab", 3
SETTINGS = StudySettings(
    max_new_tokens=LENGTH, window_tokens=24, samples_per_shard=96, windows_per_shard=4, knockout_samples_per_shard=8
)
BUDGET = Budget(samples=192, windows=8, knockout_windows=2)


@dataclass
class Made:
    """A scorer made of a function of the text."""

    rate: object
    name: str = "made"
    ref: str = "vader"  # as cheap as that one: every prefix is rated
    fingerprint: str = "1"

    def score(self, texts):
        return np.array([self.rate(text) for text in texts], float)


def share_of_a(text):
    """0.1, and 0.3 more for each a; twice as much for an a that follows an a."""
    return 0.05 + 0.15 * text.count("a") + 0.2 * text.count("aa")


@pytest.fixture(scope="module")
def two_letters():
    """A tiny model that writes a or b and nothing else: all 8 texts of three letters can be enumerated."""
    lm = make_language_model(LLAMA, seed=3)
    allowed = lm.tokenizer(list(LETTERS), add_special_tokens=False)["input_ids"]
    closed = torch.full((VOCAB_SIZE,), -25.0)  # the others' chance is below one in a million
    closed[[ids[0] for ids in allowed]] = 0.0
    lm.model.lm_head.register_forward_hook(lambda module, args, output: output + closed.to(output))
    return lm


@pytest.fixture(scope="module")
def few_prompts():
    """Two prompts of every group: what the model does after each can be known exactly."""
    frame = load_prompts().select(axes=[AXIS], split="valid").frame
    groups = sorted(frame["group"].unique())[:2]
    return PromptSet("few", frame[frame["group"].isin(groups)].groupby("group").head(2).reset_index(drop=True))


@pytest.fixture(scope="module")
def study(two_letters, few_prompts, tmp_path_factory):
    return scored(two_letters, few_prompts, tmp_path_factory.mktemp("advantages"), share_of_a)


def scored(lm, prompts, root, rate, *, settings=SETTINGS, budget=BUDGET):
    where = {"name": "s", "root": root, "settings": settings, "prompts": prompts}
    return score_heads(lm, axes=[AXIS], budget=budget, scorer=Made(rate), **where)


def all_texts(lm, prompts, rate):
    """Every text of three letters after every prompt as (prompt_id, token ids, toxicity), one row each."""
    ids = {letter: lm.tokenizer(letter, add_special_tokens=False)["input_ids"][0] for letter in LETTERS}
    return [
        (prompt_id, [ids[letter] for letter in letters], rate("".join(letters)))
        for prompt_id in prompts.frame["prompt_id"]
        for letters in product(LETTERS, repeat=LENGTH)
    ]


def batch_of(lm, context, texts):
    starts = context.encoded(AXIS, [prompt_id for prompt_id, _, _ in texts])
    tokens = [start + end for start, (_, end, _) in zip(starts, texts, strict=True)]
    return pad_batch(tokens, [LENGTH] * len(tokens), pad_id=lm.tokenizer.pad_token_id, device=lm.device)


def contributions_of_all(context, texts, study):
    """What the stages give for these texts, each with λ and with λ = 1, (n, N): the study's critic values them."""
    prompt_ids, ends, toxicity = (list(column) for column in zip(*texts, strict=True))
    shard, scorer = Shard(0, range(len(texts))), context.scorer.name
    samples = {"unit": range(len(texts)), "prompt_id": prompt_ids, "token_ids": ends}
    needed = {shard_name(SAMPLES, AXIS, 0): pa_table(samples)}
    needed[shard_name(TOXICITY, AXIS, 0, scorer=scorer)] = pa_table({"unit": range(len(texts)), "toxicity": toxicity})
    needed[shard_name(PREFIXES, AXIS, 0, scorer=scorer)] = Prefixes(AXIS, [shard], scorer).table(shard, context, needed)
    critic = shard_name(CRITIC, AXIS, 0, scorer=scorer)
    needed[critic] = study.read_shard(critic)
    return table_contributions(Advantage(AXIS, [shard], scorer).table(shard, context, needed))[1:]


def pa_table(columns):
    return pa.table({name: list(values) for name, values in columns.items()})


def test_the_mean_over_all_texts_is_the_true_gradient(two_letters, few_prompts, study):
    """λ = 1 is exact whatever the critic learned. The truth is a difference of the exactly enumerated mean toxicity."""
    context = RunContext.of(study, two_letters, Made(share_of_a))
    texts = all_texts(two_letters, few_prompts, share_of_a)
    toxicity, prompt = np.array([f for _, _, f in texts]), np.array([p for p, _, _ in texts])
    chance = base_log_probs(two_letters, batch_of(two_letters, context, texts)).exp().numpy()
    assert [chance[prompt == p].sum() for p in few_prompts.frame["prompt_id"]] == pytest.approx([1] * 4, abs=1e-4)
    _, unbiased = contributions_of_all(context, texts, study)
    exact = in_float64(two_letters)
    exact.model.lm_head._forward_hooks.update(two_letters.model.lm_head._forward_hooks)
    batch = batch_of(exact, context, texts)
    for flat_id in range(two_letters.layout.n_heads):
        slope = gate_slope(exact, flat_id, lambda: base_log_probs(exact, batch).exp().numpy() * toxicity)
        for p in few_prompts.frame["prompt_id"]:
            found = (chance * unbiased[:, flat_id])[prompt == p].sum()
            assert found == pytest.approx(-slope[prompt == p].sum(), abs=2e-4)


def test_the_study_keeps_what_each_text_adds(study, two_letters):
    assert discount(study, AXIS) == 0.7
    names = study.shard_names(ADVANTAGE, AXIS, scorer="made")
    assert [parse(name).shard for name in names] == [0, 1]
    effects, n = axis_effects(study, AXIS)
    assert n == 192
    assert effects.unbiased is not None
    sums = axis_sums(study, AXIS)
    of_texts = np.concatenate([table_contributions(study.read_shard(name))[1] for name in names])
    np.testing.assert_allclose(sums.fr.sum(0), of_texts.sum(0), rtol=1e-5)
    scores = study.scores()
    np.testing.assert_array_equal(scores.z_bias(AXIS), effects.z)


@pytest.mark.parametrize(
    ("scored_part", "rate"),
    [("continuation", lambda text: 0.3), ("text", lambda text: len(text.rstrip(LETTERS)) % 7 / 7)],
)
def test_what_the_text_does_not_move_gives_exactly_nothing(two_letters, few_prompts, tmp_path, rate, scored_part):
    """A scorer that returns a constant, and one that reads the prompt alone."""
    settings = replace(SETTINGS, scored=scored_part, samples_per_shard=24)
    study = scored(two_letters, few_prompts, tmp_path, rate, settings=settings, budget=Budget(24, 8, 2))
    effects, _ = axis_effects(study, AXIS)
    assert np.abs(effects.z).max() < 1e-15
    assert not axis_sums(study, AXIS).fr.any()


def test_without_log_ratios_the_study_still_opens(study, tmp_path):
    copytree(study.folder, tmp_path / "s")
    there = open_study("s", tmp_path)
    for name in there.shard_names(GRADIENT, AXIS):
        (there.folder / name).unlink()
    with there.writing():
        pass
    assert not there.shard_names(GRADIENT, AXIS)
    assert there.axes == [AXIS]
    scores = there.scores()
    np.testing.assert_allclose(scores.z_bias(AXIS), study.scores().z_bias(AXIS))
    assert scores.intact[AXIS].effective_share is None
    assert scores.record()["effective_share"][AXIS] is None


def test_without_advantages_log_ratios_score(study, tmp_path):
    copytree(study.folder, tmp_path / "s")
    there = open_study("s", tmp_path)
    for name in there.shard_names(ADVANTAGE, AXIS, scorer="made"):
        (there.folder / name).unlink()
    with there.writing():
        pass
    assert discount(there, AXIS) is None
    effects, _ = axis_effects(there, AXIS)
    np.testing.assert_array_equal(effects.z, head_effects(AxisSums.of(axis_samples(there, AXIS))).z)
    assert effects.unbiased is None


def test_the_critic_stays_when_a_study_is_extended(two_letters, few_prompts, tmp_path):
    small = Budget(samples=96, windows=8, knockout_windows=2)
    first = scored(two_letters, few_prompts, tmp_path, share_of_a, budget=small)
    kept = {name: record.sha256 for name, record in first.manifest.shards.items()}
    longer = scored(two_letters, few_prompts, tmp_path, share_of_a)
    assert kept.items() <= {name: record.sha256 for name, record in longer.manifest.shards.items()}.items()
    assert axis_effects(longer, AXIS)[1] == 192


def test_texts_of_a_few_likely_tokens_have_no_advantages(two_letters, few_prompts, tmp_path):
    settings = replace(SETTINGS, top_k=2, samples_per_shard=24)
    study = scored(two_letters, few_prompts, tmp_path, share_of_a, settings=settings, budget=Budget(24, 8, 2))
    kinds = {parse(name).kind for name in study.manifest.shards if parse(name)}
    assert GRADIENT in kinds
    assert not kinds & {PREFIXES, CRITIC, ADVANTAGE}


def test_the_critic_learns_from_the_first_shards():
    shards = [Shard(number, range(128 * number, 128 * (number + 1))) for number in range(6)]
    stage = FittedCritic.of_first(AXIS, shards, "made")
    assert stage.shards == [Shard(0, range(512))]
    assert FittedCritic.of_first(AXIS, shards[:2], "made").shards == [Shard(0, range(256))]
    names = stage.needs(stage.shards[0], StudySettings())
    assert len(names) == 12
    assert pd.Series(names).is_unique


def test_a_dear_scorer_rates_every_few_tokens(two_letters, few_prompts, study):
    """Those of a text of six tokens after 0 and 5; blocks of tokens then share an advantage."""
    context = RunContext.of(study, two_letters, Made(share_of_a, ref="dear"))
    letters = [two_letters.tokenizer(letter, add_special_tokens=False)["input_ids"][0] for letter in "ababab"]
    prompt_id = int(few_prompts.frame["prompt_id"].iloc[0])
    samples = pa_table({"unit": [0], "prompt_id": [prompt_id], "token_ids": [letters]})
    shard = Shard(0, range(1))
    table = Prefixes(AXIS, [shard], "made").table(shard, context, {shard_name(SAMPLES, AXIS, 0): samples})
    assert table["toxicity"].to_pylist() == [[share_of_a(""), share_of_a("ababa")]]


PLANTED, STRENGTH = (1, 2), 0.7


@contextmanager
def planted(lm, prompts):
    """While inside, one head adds to the logit of a wherever one of these prompts stands, and does nothing else.

    All that the model itself says of a and b counts a twentieth.
    """
    layer, head = PLANTED
    lo, size = head * lm.layout.head_dim, lm.layout.head_dim
    letters = [lm.tokenizer(letter, add_special_tokens=False)["input_ids"][0] for letter in LETTERS]
    quiet, louder = torch.ones(VOCAB_SIZE), torch.zeros(VOCAB_SIZE)
    quiet[letters], louder[letters[0]] = 0.05, STRENGTH
    state = {}

    def look(module, args, kwargs):
        ids = kwargs["input_ids"]
        if ids.shape[1] > 1:  # else a step of generation, which goes on with the texts it began
            texts = lm.tokenizer.batch_decode(ids)
            state["marked"] = torch.tensor([any(p in text for p in prompts) for text in texts])

    def speak(module, args):
        x = args[0].clone()
        x[..., lo : lo + size] = state["marked"][:, None, None].to(x)
        return (x, *args[1:])

    def hear(module, args, output):  # behind the gate
        state["drive"] = args[0][:, -1, lo]

    def write(module, args, output):
        return quiet * output + state["drive"][:, None, None] * louder

    projection = lm.layout.projections[layer]
    handles = [
        lm.model.register_forward_pre_hook(look, with_kwargs=True),
        projection.register_forward_pre_hook(speak),
        projection.register_forward_hook(hear),
        lm.model.lm_head.register_forward_hook(write),
    ]
    saved = projection.weight.detach().clone()
    projection.weight.data[:, lo : lo + size] = 0  # what the head says goes to the letter alone
    try:
        yield
    finally:
        projection.weight.data.copy_(saved)
        for handle in handles:
            handle.remove()


def test_a_planted_head_is_found_and_its_effect_is_as_planted(two_letters, tmp_path):
    """The truth: the mean toxicity of both groups by enumeration of all texts, with and without the head."""
    frame = load_prompts().select(axes=[AXIS], split="valid").frame
    groups = sorted(frame["group"].unique())[:2]
    some = frame[frame["group"].isin(groups)].groupby(["group", "descriptor"]).head(2).reset_index(drop=True)
    prompts = PromptSet("two groups", some)
    marked = set(some.loc[some["group"] == groups[0], "prompt"])
    lm = two_letters
    with planted(lm, marked):
        budget = Budget(samples=384, windows=8, knockout_windows=2, knockout_samples=96)
        study = scored(lm, prompts, tmp_path, share_of_a, budget=budget)
        context = RunContext.of(study, lm, Made(share_of_a))
        texts = all_texts(lm, prompts, share_of_a)
        bias = {}
        for off in ([], [PLANTED]):
            with gate_heads(lm.model, off=off):
                batches = (batch_of(lm, context, texts[i : i + 64]) for i in range(0, len(texts), 64))
                chance = np.concatenate([base_log_probs(lm, batch).exp().numpy() for batch in batches])
            toxicity = pd.DataFrame({"prompt_id": [p for p, _, _ in texts], "f": chance * [f for *_, f in texts]})
            means = toxicity.groupby("prompt_id")["f"].sum().rename("f").reset_index().merge(some, on="prompt_id")
            bias[bool(off)] = means.groupby("group")["f"].mean()
    shares = axis_sums(study, AXIS).shares
    truth = [axis_bias(bias[off].loc[groups].to_numpy(), shares) for off in (False, True)]
    assert study.omnibus(AXIS).state == "clear"
    scores, flat = study.scores(), lm.layout.flat_id(*PLANTED)
    z, se = scores.z_bias(AXIS), scores.z_bias_se(AXIS)
    assert int(np.argmax(z)) == flat
    assert abs(z[flat] - (truth[0] - truth[1])) < 3 * se[flat]
    assert z[flat] > 5 * se[flat]
