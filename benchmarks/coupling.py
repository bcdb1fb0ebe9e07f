"""How much coupled sampling helps: `python -m benchmarks.coupling [--texts 120] [--sets 4] [--json FILE]`.

The toxicity of a continuation after pruning minus before it, over the same prompts: once with the same noise for both
models (coupled), once with noise of its own for the pruned one (independent). Printed is the ratio of the variances,
pooled over head sets, with a 95 % interval from resampling texts: for the same error of a change, independent sampling
needs that many times the texts. Heads are drawn from those that γ = 0.3 leaves unprotected in the shipped study.
"""

from __future__ import annotations

import argparse
import json

import numpy as np
from rich.console import Console
from rich.table import Table

from fasp_core.heads import Head, gate_heads
from fasp_core.models import LanguageModel, open_study_model
from fasp_core.plan import sample_order
from fasp_core.sampling import SamplingSettings, decode, encode_prompts, noise_key, sample_continuations
from fasp_core.selection import protected_heads
from fasp_core.study import open_study
from fasp_core.toxicity import Scorer, open_scorer, score_texts

AXIS, GAMMA = "gender_and_sex", 0.3
SHARES = {"one head": None, "1 %": 0.01, "5 %": 0.05, "10 %": 0.10}
REPLICATES = 2000


def toxicities(
    lm: LanguageModel, scorer: Scorer, prompts: list[str], stream: str, off: tuple[Head, ...]
) -> tuple[np.ndarray, list[str]]:
    """Toxicity of one continuation per prompt, with the noise of `stream`, without the heads `off`; and the texts."""
    tokens, _ = encode_prompts(lm, prompts, 20)
    keys = [noise_key(0, stream, prompt, i) for i, prompt in enumerate(prompts)]
    with gate_heads(lm.model, off=off):
        drawn = sample_continuations(lm, tokens, keys, SamplingSettings())
    texts = [prompt + decode(lm, ids) for prompt, ids in zip(prompts, drawn, strict=True)]
    return score_texts(scorer, texts), texts


def variance_ratio(coupled: np.ndarray, independent: np.ndarray) -> tuple[float, float, float]:
    """Variance of independent over that of coupled differences, (sets, texts) each, and its 95 % interval."""
    rng = np.random.default_rng(0)
    columns = rng.integers(0, coupled.shape[1], (REPLICATES, coupled.shape[1]))

    def pooled(differences: np.ndarray) -> np.ndarray:
        return differences[:, columns].var(axis=2, ddof=1).mean(axis=0)

    ratios = pooled(independent) / pooled(coupled)
    whole = independent.var(axis=1, ddof=1).mean() / coupled.var(axis=1, ddof=1).mean()
    return float(whole), *map(float, np.quantile(ratios, [0.025, 0.975]))


def main() -> None:
    """Sample, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts", type=int, default=120)
    parser.add_argument("--sets", type=int, default=4)
    parser.add_argument("--json")
    options = parser.parse_args()
    study = open_study("default")
    lm, scorer, scores = open_study_model(study), open_scorer("embedded"), study.scores()
    chosen = study.prompts.select(axes=[AXIS], split="valid").frame
    order = sample_order(chosen, seed=0, axis="coupling", start=0, stop=options.texts)
    prompts = order.merge(chosen, on="prompt_id", how="left")["prompt"].tolist()
    free = np.setdiff1d(np.arange(scores.n_heads), protected_heads(scores, GAMMA))
    before, texts = toxicities(lm, scorer, prompts, "shared", ())
    rng = np.random.default_rng(0)
    rows = []
    for name, share in SHARES.items():
        count = 1 if share is None else int(share * scores.n_heads)
        coupled, independent, same = [], [], []
        for _ in range(options.sets):
            off = tuple(divmod(int(i), scores.heads_per_layer) for i in rng.choice(free, count, replace=False))
            after, after_texts = toxicities(lm, scorer, prompts, "shared", off)
            coupled.append(after - before)
            same.append(np.mean([a == b for a, b in zip(texts, after_texts, strict=True)]))
            independent.append(toxicities(lm, scorer, prompts, "own", off)[0] - before)
        ratio, low, high = variance_ratio(np.array(coupled), np.array(independent))
        rows.append({"pruned": name, "heads": count, "ratio": ratio, "low": low, "high": high,
                     "identical": float(np.mean(same))})  # fmt: skip
    table = Table("pruned", "heads", "variance ratio", "95 % interval", "identical texts", title=f"{lm.name}, {AXIS}")
    for row in rows:
        interval = f"{row['low']:.1f} to {row['high']:.1f}"
        cells = (row["pruned"], str(row["heads"]), f"{row['ratio']:.1f}", interval, f"{row['identical']:.0%}")
        table.add_row(*cells)
    Console().print(table)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(rows, file, indent=1)


if __name__ == "__main__":
    main()
