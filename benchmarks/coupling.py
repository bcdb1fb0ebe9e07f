"""How much coupled sampling helps: `python -m benchmarks.coupling [--texts 120] [--sets 4] [--json FILE]`.

The toxicity of a continuation after pruning minus before it, over the same prompts: once coupled as an evaluation does
it (closely for few heads, else by the same noise for both models), once with noise of its own for the pruned model
(independent). Printed is the ratio of the variances, pooled over head sets, with a 95 % interval from resampling texts:
for the same error of a change, independent sampling needs that many times the texts. For few heads the same noise
alone is beside it. Heads are drawn from those that γ = 0.3 leaves unprotected in the shipped study.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from functools import partial
from time import perf_counter

import numpy as np
from rich.console import Console
from rich.table import Table

from fasp_core.data.order import sample_order
from fasp_core.data.tokens import continuation_text
from fasp_core.evaluation.blocks import CLOSELY_UP_TO
from fasp_core.head import Head
from fasp_core.models.heads import gate_heads
from fasp_core.models.language_model import LanguageModel
from fasp_core.models.open_model import reopen_model
from fasp_core.passes.coupling import continuation_log_probs, coupled_continuations
from fasp_core.passes.sampling import SamplingSettings, encode_prompts, noise_key, sample_continuations
from fasp_core.selection.select_heads import protected_heads
from fasp_core.study.study import open_study
from fasp_core.toxicity.scorers import Scorer, open_scorer, score_texts

AXIS, GAMMA, LENGTH = "gender_and_sex", 0.3, 20
SHARES = {"one head": None, "1 %": 0.01, "5 %": 0.05, "10 %": 0.10}
REPLICATES = 2000


@dataclass(frozen=True)
class Texts:
    """One continuation per prompt, and the toxicity of prompt and continuation."""

    tokens: list[list[int]]
    toxicity: np.ndarray


class Sampler:
    """Continues the same prompts, with and without heads."""

    def __init__(self, lm: LanguageModel, scorer: Scorer, prompts: list[str]) -> None:
        self.lm, self.scorer, self.prompts = lm, scorer, prompts
        self.ids, _ = encode_prompts(lm, prompts, LENGTH)

    def keys(self, stream: str) -> list[str]:
        return [noise_key(0, stream, prompt, i) for i, prompt in enumerate(self.prompts)]

    def by_noise(self, stream: str, off: tuple[Head, ...]) -> Texts:
        """With the noise of `stream`, without the heads `off`."""
        with gate_heads(self.lm.model, off=off):
            settings = SamplingSettings(max_new_tokens=LENGTH)
            return self._texts(sample_continuations(self.lm, self.ids, self.keys(stream), settings))

    def closely(self, stream: str, off: tuple[Head, ...], before: Texts, log_probs: list[list[float]]) -> Texts:
        """Kept as close to `before`, drawn with the noise of `stream`, as can be."""
        pruned = partial(gate_heads, self.lm.model, off)
        return self._texts(
            coupled_continuations(self.lm, pruned, self.ids, before.tokens, log_probs, self.keys(stream), LENGTH)
        )

    def _texts(self, tokens: list[list[int]]) -> Texts:
        texts = [
            prompt + continuation_text(self.lm.tokenizer, asked, ids)
            for prompt, asked, ids in zip(self.prompts, self.ids, tokens, strict=True)
        ]
        return Texts(tokens, score_texts(self.scorer, texts))


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
    lm, scorer, scores = reopen_model(study.model_record, study.name), open_scorer("embedded"), study.scores()
    chosen = study.prompts.select(axes=[AXIS], split="valid").frame
    order = sample_order(chosen, seed=0, axis="coupling", start=0, stop=options.texts)
    prompts = order.merge(chosen, on="prompt_id", how="left")["prompt"].tolist()
    free = np.setdiff1d(np.arange(scores.n_heads), protected_heads(scores, GAMMA))
    sampler = Sampler(lm, scorer, prompts)
    before = sampler.by_noise("shared", ())
    log_probs = continuation_log_probs(lm, sampler.ids, before.tokens)
    rng = np.random.default_rng(0)
    rows = []
    for name, share in SHARES.items():
        count = 1 if share is None else int(share * scores.n_heads)
        ways = {
            "independent": lambda off: sampler.by_noise("own", off),
            "same noise": lambda off: sampler.by_noise("shared", off),
        }
        if count <= CLOSELY_UP_TO:
            ways["closely"] = lambda off: sampler.closely("shared", off, before, log_probs)
        drawn, seconds = {way: [] for way in ways}, dict.fromkeys(ways, 0.0)
        for _ in range(options.sets):
            off = tuple(divmod(int(i), scores.heads_per_layer) for i in rng.choice(free, count, replace=False))
            for way, sample in ways.items():
                start = perf_counter()
                drawn[way].append(sample(off))
                seconds[way] += perf_counter() - start
        changes = {way: np.array([t.toxicity - before.toxicity for t in texts]) for way, texts in drawn.items()}
        for way in [*ways][1:]:
            ratio, low, high = variance_ratio(changes[way], changes["independent"])
            same = [a == b for t in drawn[way] for a, b in zip(t.tokens, before.tokens, strict=True)]
            rows.append(
                {
                    "pruned": name,
                    "heads": count,
                    "coupled": way,
                    "ratio": ratio,
                    "low": low,
                    "high": high,
                    "identical": float(np.mean(same)),
                    "seconds": seconds[way] / options.sets,
                }
            )
    table = Table(title=f"{lm.name}, {AXIS}, {options.texts} texts, {options.sets} head sets of each size")
    for column in ("pruned", "heads", "coupled", "variance ratio", "95 % interval", "identical texts", "s per set"):
        table.add_column(column)
    for row in rows:
        table.add_row(
            row["pruned"],
            str(row["heads"]),
            row["coupled"],
            f"{row['ratio']:.1f}",
            f"{row['low']:.1f} to {row['high']:.1f}",
            f"{row['identical']:.0%}",
            f"{row['seconds']:.1f}",
        )
    Console().print(table)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(rows, file, indent=1)


if __name__ == "__main__":
    main()
