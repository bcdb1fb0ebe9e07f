"""What scoring costs, against a plain implementation of the published recipe on the same model and prompts.

    python -m benchmarks.scoring [--study default] [--json FILE] [--heads 30] [--samples 120]

Times are medians of interleaved repetitions on a quiet machine. Variances come from the study's own samples and from
exact knock-outs made here; "cost at equal standard error" is seconds × variance, summed over what each way needs for
all heads, and the published recipe's knocked-out samples are given its base samples for free.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from transformers import AutoModelForCausalLM, LlamaConfig

from fasp_core.models.batching import TokenBatch, pad_batch, tokens_per_batch
from fasp_core.models.heads import HeadLayout, gate_heads
from fasp_core.models.language_model import LanguageModel
from fasp_core.models.open_model import open_model
from fasp_core.passes.knockout import base_log_probs, gradient_log_ratios, knockout_log_ratios
from fasp_core.passes.sampling import SamplingSettings, encode_prompts, sample_continuations
from fasp_core.scoring.refine import perplexity_cut, protected_heads
from fasp_core.stats.axis_sums import AxisSamples, AxisSums
from fasp_core.stats.bias import head_effects
from fasp_core.study.study import Study, open_study
from fasp_core.study.views import axis_samples
from fasp_core.toxicity.scorers import open_scorer

AXIS = "gender_and_sex"


def seconds(work: dict[str, Callable[[], object]], repeats: int = 5) -> dict[str, float]:
    """Median seconds of each piece of work, interleaved so that all see the same machine; the first round warms up."""
    times: dict[str, list[float]] = {name: [] for name in work}
    for round_ in range(repeats + 1):
        for name, run in work.items():
            start = time.perf_counter()
            run()
            if round_:
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def study_texts(lm: LanguageModel, study: Study, n: int) -> tuple[list[list[int]], list[int]]:
    """Tokens of the study's first n samples, and how many at the end are the continuation."""
    rows = study.read_shard(study.shard_names("samples", AXIS)[0]).to_pylist()[:n]
    prompts = study.prompts.frame.set_index("prompt_id")["prompt"]
    starts, _ = encode_prompts(lm, [prompts[row["prompt_id"]] for row in rows], 20)
    return [s + row["token_ids"] for s, row in zip(starts, rows, strict=True)], [len(r["token_ids"]) for r in rows]


def as_batch(lm: LanguageModel, tokens: list[list[int]], scored: list[int]) -> TokenBatch:
    """One padded batch."""
    return pad_batch(tokens, scored, pad_id=lm.tokenizer.pad_token_id, device=lm.device)


def gradient_cost(lm: LanguageModel, batch: TokenBatch) -> dict[str, float]:
    """Gradient of all heads in forward passes over the same samples."""
    times = seconds({"forward": lambda: base_log_probs(lm, batch), "gradient": lambda: gradient_log_ratios(lm, batch)})
    return {**times, "ratio": times["gradient"] / times["forward"]}


def head_count_cost(layers: int = 8, width: int = 512) -> dict[int, float]:
    """The gradient's cost in forward passes on random models alike but for their number of heads."""
    ratios = {}
    for heads in (4, 64):
        config = LlamaConfig(
            vocab_size=8192,
            hidden_size=width,
            intermediate_size=2 * width,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            num_key_value_heads=heads,
            head_dim=width // heads,
        )
        model = AutoModelForCausalLM.from_config(config).eval().requires_grad_(False)
        lm = SimpleNamespace(model=model, layout=HeadLayout.of(model), device=torch.device("cpu"), dtype=torch.float32)
        tokens = torch.randint(5, 8000, (32, 30)).tolist()
        batch = pad_batch(tokens, [20] * 32, pad_id=0, device=lm.device)
        ratios[layers * heads] = gradient_cost(lm, batch)["ratio"]
    return ratios


def knockout_cost(lm: LanguageModel, batch: TokenBatch) -> dict[str, float]:
    """Resumed knock-out against a full masked forward per head, and the limit that layers and vocabulary set."""
    layout = lm.layout
    layers = list(range(0, layout.n_layers, max(1, layout.n_layers // 6)))
    heads = [layout.flat_id(layer, head) for layer in layers for head in range(layout.heads_per_layer)]
    exact: dict[str, torch.Tensor] = {}

    def masked() -> None:
        base = base_log_probs(lm, batch)
        columns = []
        for flat_id in heads:
            with gate_heads(lm.model, off=[layout.head(flat_id)]):
                columns.append(base_log_probs(lm, batch) - base)
        exact["masked"] = torch.stack(columns, dim=1)

    def resumed() -> None:
        exact["resumed"], _ = knockout_log_ratios(lm, batch, heads)

    def vocabulary() -> None:
        width = lm.model.get_input_embeddings().embedding_dim
        hidden = torch.zeros(*batch.scored.shape, width, dtype=lm.dtype, device=lm.device)
        with torch.no_grad():
            lm.model.get_output_embeddings()(hidden).float().logsumexp(-1)

    times = seconds({"masked": masked, "resumed": resumed}, repeats=1)
    parts = seconds({"forward": lambda: base_log_probs(lm, batch), "vocabulary": vocabulary})
    layer = (parts["forward"] - parts["vocabulary"]) / layout.n_layers
    needed = sum((layout.n_layers - layout.head(h)[0]) * layer + parts["vocabulary"] for h in heads) + parts["forward"]
    limit = (len(heads) + 1) * parts["forward"] / needed
    speedup = times["masked"] / times["resumed"]
    difference = float((exact["masked"] - exact["resumed"]).abs().max())
    return {
        "speedup": speedup,
        "limit": limit,
        "of_limit": speedup / limit,
        "largest_difference_nats": difference,
        "seconds_per_head_and_text": times["resumed"] / len(heads) / batch.ids.shape[0],
    }


def sampling_cost(lm: LanguageModel, study: Study) -> dict[str, float]:
    """Seconds per text: sampling 20 tokens, and scoring toxicity with the embedded and a RoBERTa-base-sized scorer."""
    from transformers import RobertaConfig, RobertaForSequenceClassification

    texts = study.samples(AXIS)["prompt"].tolist()[:64]
    prompts, _ = encode_prompts(lm, texts, 20)
    keys = [str(i) for i in range(len(prompts))]
    scorer = open_scorer()
    classifier = RobertaForSequenceClassification(RobertaConfig(vocab_size=50265, max_position_embeddings=514)).eval()
    ids = torch.randint(5, 50_000, (32, 30))

    def classify() -> None:
        with torch.no_grad():
            classifier(ids)

    times = seconds(
        {
            "sampling": lambda: sample_continuations(lm, prompts, keys, SamplingSettings()),
            "embedded": lambda: scorer.score(texts),
            "roberta": classify,
        },
        repeats=3,
    )
    return {"sampling": times["sampling"] / 64, "embedded": times["embedded"] / 64, "roberta": times["roberta"] / 32}


def variances(lm: LanguageModel, study: Study, n_heads: int, n_samples: int) -> dict[str, object]:
    """Variance × samples of a z_bias by each way, for some unprotected heads, with exact knock-outs made here."""
    samples = axis_samples(study, AXIS)
    protected = protected_heads(perplexity_cut(study, gamma=0.3))
    heads = np.sort(np.random.default_rng(0).choice(np.flatnonzero(~protected), n_heads, replace=False))
    tokens, scored = study_texts(lm, study, n_samples)
    knockout = np.full((samples.toxicity.size, n_heads), np.nan)
    for start in range(0, len(tokens), 8):
        rows = slice(start, start + 8)
        ratios, _ = knockout_log_ratios(lm, as_batch(lm, tokens[rows], scored[rows]), heads.tolist())
        knockout[rows] = ratios.numpy()

    def some(rows: slice, with_gradient: np.ndarray, with_knockout: np.ndarray | None) -> AxisSums:
        prompt = np.unique(samples.prompt[rows], return_inverse=True)[1]
        part = AxisSamples(
            samples.toxicity[rows],
            samples.group[rows],
            prompt,
            samples.shares,
            samples.groups,
            with_gradient,
            with_knockout,
        )
        return AxisSums.of(part)

    first = slice(0, len(tokens))
    gradient = samples.gradient[:, heads]
    every = slice(0, samples.toxicity.size)
    gradient_all = head_effects(some(every, gradient, None))
    gradient_same = head_effects(some(first, gradient[first], None))
    exact = head_effects(some(first, gradient[first], knockout[first]))
    half = knockout[first].copy()
    half[len(tokens) // 2 :] = np.nan  # the first half of the order: samples go round the groups
    combined_half = head_effects(some(first, gradient[first], half))
    error = (combined_half.z - exact.z) / combined_half.correction_se
    if np.isnan(error).any():
        sys.exit(f"--samples {n_samples} is too few to correct half of them in every group; give 120 or more")
    n, m = samples.toxicity.size, len(tokens)
    off = np.abs(gradient_same.z - exact.z) / exact.z_se
    worst = np.argsort(-np.abs(gradient_same.z - exact.z))[:3]
    return {
        "published": gradient_all.bias_se**2 * n,
        "gradient": gradient_all.z_se**2 * n,
        "knockout": exact.z_se**2 * m,
        "correction": head_effects(some(first, gradient[first], knockout[first])).correction_se ** 2 * m,
        "combined_within_2_se": float((np.abs(error) < 2).mean()),
        "combined_error_in_se": float(error.mean()),
        "gradient_off_by_more_than_half_an_se": float((off > 0.5).mean()),
        "gradient_misleads": [
            {"head": lm.layout.head(int(heads[i])), "gradient": gradient_same.z[i], "knockout": exact.z[i]}
            for i in worst
        ],
    }


def cost_ratios(var: dict, cost: dict, gradient: float, knockout: float, n_heads: int) -> dict[str, dict[str, float]]:
    """How many times cheaper than the published recipe, median over heads, for each scorer."""
    out: dict[str, dict[str, float]] = {}
    for scorer in ("embedded", "roberta"):
        sample = cost["sampling"] + cost[scorer]
        published = var["published"] * sample * n_heads
        exact = n_heads * knockout
        combined = (np.sqrt(var["gradient"] * (sample + gradient)) + np.sqrt(var["correction"] * exact)) ** 2
        ways = {
            "gradient": var["gradient"] * (sample + gradient),
            "combined": combined,
            "knockout": var["knockout"] * (sample + exact),
        }
        out[scorer] = {way: float(np.median(published / c)) for way, c in ways.items()}
    return out


def main() -> None:
    """Run all parts and print them as a table and, if asked, as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--study", default="default")
    parser.add_argument("--json")
    parser.add_argument("--heads", type=int, default=30)
    parser.add_argument("--samples", type=int, default=120)
    options = parser.parse_args()
    study, lm = open_study(options.study), open_model("default")
    weights = sum(p.numel() * p.element_size() for p in lm.model.parameters())
    tokens, scored = study_texts(lm, study, 32)
    rows = max(1, tokens_per_batch(lm.model, gradient=True) // max(map(len, tokens)))  # as a run has them
    gradient = gradient_cost(lm, as_batch(lm, tokens[:rows], scored[:rows]))
    by_heads = head_count_cost()
    knockout = knockout_cost(lm, as_batch(lm, tokens[:8], scored[:8]))
    cost = sampling_cost(lm, study)
    var = variances(lm, study, options.heads, options.samples)
    ratios = cost_ratios(
        var, cost, gradient["gradient"] / rows, knockout["seconds_per_head_and_text"], lm.layout.n_heads
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    lines = [
        ("gradient tier, all heads, in forward passes", gradient["ratio"], "≤ 2.5"),
        *[(f"the same on a random model of {n} heads", ratio, "alike") for n, ratio in by_heads.items()],
        ("knock-out: speed-up over masked forwards", knockout["speedup"], f"limit {knockout['limit']:.2f}"),
        ("knock-out: share of the limit", knockout["of_limit"], "≥ 0.9"),
        ("knock-out: largest difference, nats per sequence", knockout["largest_difference_nats"], "≤ 1e-4"),
        *[
            (f"times cheaper at equal error, {way}, {scorer} scorer", value, target if scorer == "embedded" else "")
            for scorer, ways in ratios.items()
            for (way, value), target in zip(ways.items(), ("≥ 500", "≥ 40", "≥ 8"), strict=True)
        ],
        ("gradient + correction within 2 of its errors of knock-out", var["combined_within_2_se"], "≥ 0.95"),
        ("the same, mean over heads of the difference, in those errors", var["combined_error_in_se"], "≈ 0"),
        ("heads whose gradient is off by > ½ standard error", var["gradient_off_by_more_than_half_an_se"], ""),
        ("peak memory beyond the weights, GiB", (peak - weights) / 2**30, "≤ 2"),
    ]
    table = Table("what", "measured", "target", title=f"{lm.name}, study {study.name}")
    for what, value, target in lines:
        table.add_row(what, f"{value:.3g}", target)
    Console().print(table)
    for case in var["gradient_misleads"]:
        print(f"gradient misleads most at head {case['head']}: {case['gradient']:+.4f}, exact {case['knockout']:+.4f}")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({what: value for what, value, _ in lines}, file, indent=1)


if __name__ == "__main__":
    main()
