"""score_heads(): real numbers in the folder, resumable to the bit, extendable, and refused with one clear line."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from fasp_core.errors import Cancelled, InputError
from fasp_core.models.heads import gate_heads
from fasp_core.scoring.refine import Budget
from fasp_core.scoring.score_heads import score_heads
from fasp_core.study.manifest import StudySettings
from fasp_core.study.study import open_study

AXIS = "gender_and_sex"
SETTINGS = StudySettings(
    max_new_tokens=4, window_tokens=24, samples_per_shard=12, windows_per_shard=4, knockout_samples_per_shard=6
)
BUDGET = Budget(samples=36, windows=8, knockout_windows=4, knockout_samples=12)


def score(lm, root, budget=BUDGET, axes=(AXIS,), **more):
    return score_heads(lm, axes=axes, budget=budget, settings=SETTINGS, name="s", root=root, **more)


def digests(study):
    return {n: hashlib.sha256((study.folder / n).read_bytes()).hexdigest() for n in study.manifest.shards}


@pytest.fixture(scope="module")
def whole(tiny_llama, tmp_path_factory):
    return score(tiny_llama, tmp_path_factory.mktemp("whole"))


def test_scores_have_one_finite_row_per_head(whole, tiny_llama):
    frame = whole.scores().frame
    assert len(frame) == tiny_llama.layout.n_heads
    assert list(frame["layer"] * tiny_llama.layout.heads_per_layer + frame["head"]) == list(range(len(frame)))
    assert np.isfinite(frame.to_numpy(float)).all()


def test_the_numbers_behind_the_scores_are_in_the_folder(whole, tiny_llama):
    """The stored exact log-ratios are those of a model whose head is gated, computed anew without the hot path."""
    import torch

    samples = whole.read_shard(f"samples.{AXIS}.00000.parquet").to_pylist()
    prompts = whole.prompts.frame.set_index("prompt_id")["prompt"]
    names = whole.shard_names("knockout", AXIS)
    row = whole.read_shard(names[0]).to_pylist()[0]
    sample = samples[row["unit"]]
    start = tiny_llama.tokenizer(prompts[sample["prompt_id"]])["input_ids"]
    ids = start + sample["token_ids"]

    def log_prob():
        with torch.no_grad():
            logits = tiny_llama.model(torch.tensor([ids])).logits[0].log_softmax(-1)
        return sum(float(logits[t - 1, ids[t]]) for t in range(len(start), len(ids)))

    base = log_prob()
    assert row["log_prob"] == pytest.approx(base, abs=1e-4)
    for flat_id in range(tiny_llama.layout.n_heads):
        with gate_heads(tiny_llama.model, off=[tiny_llama.layout.head(flat_id)]):
            assert row["log_ratio"][flat_id] == pytest.approx(log_prob() - base, abs=1e-4)


def test_an_interrupted_run_resumes_to_the_same_bits(whole, tiny_llama, tmp_path):
    written = []
    for patience in range(0, 1000, 7):  # how often the run may ask before it is stopped
        checks = iter(range(patience))
        try:
            study = score(tiny_llama, tmp_path, stop=lambda: next(checks, None) is None)  # noqa: B023
            break
        except Cancelled:
            written.append(len(open_study("s", tmp_path).manifest.shards))
    assert len(set(written)) > 2  # it was stopped at different places
    assert digests(study) == digests(whole)


def test_nothing_is_measured_twice(whole, tiny_llama, monkeypatch):
    before = {n: (whole.folder / n).stat().st_mtime_ns for n in whole.manifest.shards}
    again = score(tiny_llama, whole.folder.parent)
    assert {n: (again.folder / n).stat().st_mtime_ns for n in again.manifest.shards} == before


def test_a_study_can_be_extended_by_samples_and_axes(tiny_llama, tmp_path):
    small = Budget(samples=12, windows=4, knockout_windows=0)
    first = digests(score(tiny_llama, tmp_path, small))
    study = score(tiny_llama, tmp_path, Budget(samples=24, windows=8, knockout_windows=0), axes=["religion", AXIS])
    assert first.items() <= digests(study).items()
    assert study.axes == [AXIS, "religion"]
    assert {f"z_bias.{AXIS}", "z_bias.religion"} <= set(study.scores().frame)


def test_progress_reaches_the_end_of_each_stage(tiny_llama, tmp_path):
    events = []
    score(tiny_llama, tmp_path, progress=events.append)
    last = {event.stage: event for event in events}
    assert all(event.done >= event.total for event in last.values())
    assert [s for s in last if s.startswith(("gradient", "sampling"))] == [
        "gradient text",
        f"sampling {AXIS}",
        f"gradient {AXIS}",
    ]


def test_another_scorer_needs_no_new_generation(tiny_llama, tmp_path):
    class Length:
        name, ref, fingerprint = "length", "tests:length", "1"

        def score(self, texts):
            return np.array([len(t) / 1000 for t in texts])

    first = digests(score(tiny_llama, tmp_path))
    study = score(tiny_llama, tmp_path, scorer=Length())
    new = {name.split(f".{AXIS}.")[0] for name in set(digests(study)) - set(first)}
    assert new == {f"{kind}.length" for kind in ("toxicity", "echo", "prefixes", "critic", "advantage")}
    assert study.scores("length").meta.scorer == "length"


class Broken:
    name, ref, fingerprint = "broken", "tests:broken", "1"

    def __init__(self, value):
        self.value = value

    def score(self, texts):
        scores = np.full(len(texts), 0.5)
        scores[3] = self.value
        return scores


@pytest.mark.parametrize("value", [np.nan, -0.1, 1.1, np.inf])
def test_a_scorer_must_give_numbers_in_0_1(tiny_llama, tmp_path, value):
    with pytest.raises(InputError, match=r"'broken' gave .* for text 3"):
        score(tiny_llama, tmp_path, scorer=Broken(value))
    assert not [n for n in open_study("s", tmp_path).manifest.shards if n.startswith("toxicity")]


def test_a_head_whose_knockout_gives_nan_is_marked_and_the_run_goes_on(tiny_llama, tmp_path):
    import torch

    size = tiny_llama.layout.head_dim

    def break_when_silent(module, args, output):
        silent = (args[0][..., :size] == 0).all(2).all(1)[:, None, None]
        return torch.where(silent, torch.nan, output)

    handle = tiny_llama.layout.projections[1].register_forward_hook(break_when_silent)
    try:
        scores = score(tiny_llama, tmp_path).scores()
    finally:
        handle.remove()
    assert any("head (1, 0) gives no number" in note for note in scores.meta.notes)
    assert np.isfinite(scores.frame.to_numpy(float)).all()


def test_prompts_beyond_the_context_are_cut_counted_and_reported(tmp_path, make_language_model):
    from helpers import tiny
    from transformers import LlamaConfig

    config = LlamaConfig(**{**tiny.LLAMA.to_dict(), "max_position_embeddings": 40})
    scores = score(make_language_model(config), tmp_path, Budget(samples=12, windows=4, knockout_windows=0)).scores()
    assert any("cut on the left" in note for note in scores.meta.notes)


def test_empty_continuations_are_scored_like_others(tiny_llama, tmp_path):
    """A model that ends at once gives the bare prompt; its log-ratio is that of the end token."""
    generation = tiny_llama.model.generation_config
    saved = generation.eos_token_id
    generation.eos_token_id = list(range(tiny_llama.model.config.vocab_size))
    try:
        study = score(tiny_llama, tmp_path)
    finally:
        generation.eos_token_id = saved
    assert {len(row["token_ids"]) for row in study.read_shard(f"samples.{AXIS}.00000.parquet").to_pylist()} == {1}
    assert np.isfinite(study.scores().frame.to_numpy(float)).all()


def test_regenerating_equals_sampling_from_a_model_whose_slice_is_zeroed(tiny_llama, tmp_path):
    """The regenerate tier's z_bias against one worked out from texts sampled after weight surgery by hand."""
    import copy
    from dataclasses import replace

    from fasp_core.data.tokens import continuation_text
    from fasp_core.passes.sampling import SamplingSettings, encode_prompts, noise_key, sample_continuations
    from fasp_core.stats.bias import axis_bias
    from fasp_core.toxicity.scorers import open_scorer

    n = 60
    study = score(tiny_llama, tmp_path, Budget(n, 8, 0, regenerate_samples=n, regenerate_all=True))
    model = copy.deepcopy(tiny_llama.model)
    size = tiny_llama.layout.head_dim
    model.model.layers[1].self_attn.o_proj.weight.data[:, 2 * size : 3 * size] = 0
    surgery = replace(tiny_llama, model=model)
    rows = study.samples(AXIS)
    prompts, _ = encode_prompts(surgery, rows["prompt"].tolist(), 4)
    keys = [noise_key(0, "score", prompt, draw) for prompt, draw in zip(rows["prompt"], rows["draw"], strict=True)]
    drawn = sample_continuations(surgery, prompts, keys, SamplingSettings(max_new_tokens=4))
    ends = [continuation_text(surgery.tokenizer, p, c) for p, c in zip(prompts, drawn, strict=True)]
    rows["without"] = open_scorer().score(ends)
    shares = study.prompts.select(axes=[AXIS], split="valid").group_shares(AXIS).sort_index()
    means = rows.groupby("group")[["toxicity", "without"]].mean().loc[shares.index]
    expected = axis_bias(means["toxicity"].to_numpy(), shares.to_numpy()) - axis_bias(
        means["without"].to_numpy(), shares.to_numpy()
    )
    assert study.scores().z_bias(AXIS)[tiny_llama.layout.flat_id(1, 2)] == pytest.approx(expected, abs=1e-9)


def test_knockout_agrees_with_a_large_regenerate_run(tiny_llama, tmp_path):
    """Re-weighted samples of the intact model against texts sampled anew without each head, three times as many."""
    n = 120
    weighted = score(tiny_llama, tmp_path / "w", Budget(n, 8, 0, knockout_samples=n)).scores()
    anew = score(
        tiny_llama, tmp_path / "r", Budget(3 * n, 8, 0, regenerate_samples=3 * n, regenerate_all=True)
    ).scores()
    off = (weighted.z_bias(AXIS) - anew.z_bias(AXIS)) / np.hypot(weighted.z_bias_se(AXIS), anew.z_bias_se(AXIS))
    assert np.abs(off).max() < 3.5
    assert (np.abs(off) < 1.96).mean() > 0.8


def test_the_paper_preset_runs_the_published_recipe(make_language_model, tmp_path):
    from helpers import tiny
    from transformers import LlamaConfig

    from fasp_core.data.articles import load_text
    from fasp_core.data.prompt_set import PromptSet
    from fasp_core.data.prompts import load_prompts

    config = LlamaConfig(**{**tiny.LLAMA.to_dict(), "num_hidden_layers": 1, "max_position_embeddings": 128})
    frame = load_prompts().select(axes=[AXIS]).frame
    few = frame[frame.groupby("descriptor").cumcount() < 2].reset_index(drop=True)
    prompts, lm = PromptSet("few", few), make_language_model(config)
    study = score_heads(lm, axes=[AXIS], budget="paper", prompts=prompts, name="p", root=tmp_path)
    settings = study.manifest.settings
    assert (settings.max_new_tokens, settings.top_k, settings.lowercase) == (40, 50, True)
    assert (settings.window_tokens, settings.window_stride) == (32, 64)
    samples = study.samples(AXIS)
    assert samples.groupby(["prompt_id"]).size().ge(3).all()  # whole shards, so some come more often
    assert len(samples) >= 3 * (few["split"] == "valid").sum()
    whole = "\n\n".join(load_text().select("valid").frame["text"])
    assert study.windows["token_ids"].iloc[1].tolist() == [
        *make_language_model(config).tokenizer(whole)["input_ids"][64:96]
    ]
    assert np.isfinite(study.scores().frame.to_numpy(float)).all()


def test_bad_requests_are_one_line(tiny_llama, tiny_gpt2, whole, tmp_path):
    with pytest.raises(InputError, match="unknown axis 'gendr'"):
        score(tiny_llama, tmp_path, axes=["gendr"])
    with pytest.raises(InputError, match="no axis"):
        score(tiny_llama, tmp_path, axes=[])
    with pytest.raises(InputError, match="unknown budget 'quik'; did you mean 'quick'"):
        score(tiny_llama, tmp_path, budget="quik")
    with pytest.raises(InputError, match="another model"):
        score(tiny_gpt2, whole.folder.parent)
    assert not list(tmp_path.iterdir())


def test_axes_of_a_large_set_join_a_study_one_by_one(tiny_llama, tmp_path, monkeypatch):
    """Only what was asked for is kept, and what was there stays as it is."""
    from fasp_core.data import prompt_set
    from fasp_core.data.prompts import load_prompts

    monkeypatch.setattr(prompt_set, "LARGE_SET", 1000)
    small, whole = Budget(samples=12, windows=4, knockout_windows=0), load_prompts()
    first = score(tiny_llama, tmp_path, small, prompts=whole)
    assert first.prompts.axes == (AXIS,)
    before = digests(first)
    with pytest.raises(InputError, match=r"unknown axis 'religion'.* give --prompts again to add others"):
        score(tiny_llama, tmp_path, small, axes=["religion"])
    study = score(tiny_llama, tmp_path, small, axes=["religion"], prompts=whole)
    assert study.prompts.axes == (AXIS, "religion")
    assert "prompts.religion.parquet" in study.manifest.shards
    assert before.items() <= digests(study).items()
    assert study.scores().axes == [AXIS, "religion"]
    assert study.manifest.prompts["fingerprint"] == whole.fingerprint
    score(tiny_llama, tmp_path, small, axes=["religion", AXIS])  # resumes with what it holds
