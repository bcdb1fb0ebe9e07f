"""What choosing heads costs, and which way of weighing noisy scores chooses best out of sample.

    python -m benchmarks.selection [--repeats 400] [--studies 100] [--study default] [--json FILE]

Times: `select_heads` on 1,024 heads, each method, the fastest of 20. Rules: true scores are drawn from a distribution,
measured with errors of unequal size, and 10 % of the heads are chosen by each rule; a rule's yield is the sum of the
*true* scores of its choice as a share of the best possible sum. Reliability is the squared correlation of measured and
true scores. On made-up studies (see `joint`): what true bias `fasp` and `fasp_joint` leave. With a study, each rule
also chooses on half of its prompts, and the other half says what z_bias that choice has: an estimate without the luck
that chose it.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from benchmarks.joint import RELIABILITIES as JOINT_RELIABILITIES
from benchmarks.joint import bias_left
from fasp_core.selection.description import IntactBias
from fasp_core.selection.group_effects import GroupEffects
from fasp_core.selection.head_scores import HeadScores
from fasp_core.selection.rules import METHODS
from fasp_core.selection.select_heads import head_count, protected_heads, select_heads
from fasp_core.stats.axis_sums import AxisSamples, AxisSums
from fasp_core.stats.bias import HeadEffects, head_effects
from fasp_core.stats.estimate import Estimate
from fasp_core.stats.shrinkage import posterior_mean
from fasp_core.study.study import open_study
from fasp_core.study.views import axis_samples

AXIS, OTHER = "gender_and_sex", "religion"
HEADS, CHOSEN = 256, 26
DISTRIBUTIONS = {
    "normal": lambda rng: rng.normal(size=HEADS),
    "heavy tails (t, 3 df)": lambda rng: rng.standard_t(3, HEADS) / np.sqrt(3),
    "sparse (10 % not 0)": lambda rng: rng.normal(size=HEADS) * (rng.random(HEADS) < 0.1) * np.sqrt(10),
}
RELIABILITIES = (0.1, 0.3, 0.6)
ERROR_SPREAD = 0.6  # standard deviation of log s: errors of heads differ by a factor of about 3


def normal_mean(z: np.ndarray, se: np.ndarray) -> np.ndarray:
    """Posterior mean under a single normal prior N(m, τ²), both by maximum likelihood."""
    total = (np.linspace(0, 10, 201)[:, None] * np.median(se)) ** 2 + se**2  # (τ, N)
    means = (z / total).sum(1) / (1 / total).sum(1)
    best = int(np.argmax(-0.5 * (np.log(total) + (z - means[:, None]) ** 2 / total).sum(1)))
    spread = max(total[best, 0] - se[0] ** 2, 1e-9)
    return means[best] + (z - means[best]) * spread / (spread + se**2)


WAYS = {
    "measured (fasp)": lambda z, se: z,
    "posterior mean, mixture (fasp_robust)": posterior_mean,
    "posterior mean, normal prior": normal_mean,
    "lower bound, z − 1 s": lambda z, se: z - se,
    "lower bound, z − 1.64 s": lambda z, se: z - 1.645 * se,
    "significance, z ÷ s": lambda z, se: z / se,
}


def yields(repeats: int) -> list[dict]:
    """Mean yield of each way with its standard error, for every distribution and reliability."""
    rows = []
    for name, draw in DISTRIBUTIONS.items():
        for reliability in RELIABILITIES:
            found: dict[str, list[float]] = {way: [] for way in WAYS}
            for repeat in range(repeats):
                rng = np.random.default_rng(repeat)
                true = draw(rng)
                se = np.exp(ERROR_SPREAD * rng.normal(size=HEADS))
                se *= np.sqrt((1 - reliability) / reliability / (se**2).mean())
                z = true + se * rng.normal(size=HEADS)
                best = np.sort(true)[-CHOSEN:].sum()
                for way, value in WAYS.items():
                    found[way].append(true[np.argsort(-value(z, se), kind="stable")[:CHOSEN]].sum() / best)
            rows += [
                {
                    "true scores": name,
                    "reliability": reliability,
                    "way": way,
                    "yield": float(np.mean(v)),
                    "se": float(np.std(v, ddof=1) / np.sqrt(repeats)),
                }
                for way, v in found.items()
            ]
    return rows


def halves(name: str, axis: str, splits: int = 20) -> list[dict]:
    """Sum of z_bias that each way's choice has in the half it was made on, and in the other, as shares of the bias.

    α = 0.1 of the heads that γ = 0.3 leaves unprotected; means over random halves. The halves overlap between splits,
    so the spread given is of splits, not an error.
    """
    study = open_study(name)
    scores, samples = study.scores(), axis_samples(study, axis)
    free = np.ones(scores.n_heads, bool)
    free[protected_heads(scores, 0.3)] = False
    count, bias = head_count(0.1, scores.n_heads), scores.base_bias(axis).value
    found: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
    for split in range(splits):
        first = _half(samples, np.random.default_rng(split))
        effects = [_effects(samples, chosen[samples.prompt]) for chosen in (first, ~first)]
        for here, there in (effects, effects[::-1]):
            for way, value in WAYS.items():
                best = np.argsort(-value(here.z[free], here.z_se[free]), kind="stable")[:count]
                found[way].append((here.z[free][best].sum() / bias, there.z[free][best].sum() / bias))
    return [
        {
            "way": way,
            "promised": float(np.mean(v, axis=0)[0]),
            "kept": float(np.mean(v, axis=0)[1]),
            "spread": float(np.std(v, axis=0, ddof=1)[1]),
        }
        for way, v in found.items()
    ]


def _half(samples: AxisSamples, rng: np.random.Generator) -> np.ndarray:
    """Whether each prompt is in the first half, (P): half of every group's."""
    inside = np.zeros(samples.prompt.max() + 1, bool)
    for group in range(len(samples.groups)):
        prompts = np.unique(samples.prompt[samples.group == group])
        inside[rng.permutation(prompts)[: prompts.size // 2]] = True
    return inside


def _effects(samples: AxisSamples, rows: np.ndarray) -> HeadEffects:
    part = replace(
        samples,
        toxicity=samples.toxicity[rows],
        group=samples.group[rows],
        gradient=samples.gradient[rows],
        prompt=np.unique(samples.prompt[rows], return_inverse=True)[1],
        knockout=None,
        regenerated=None,
    )
    return head_effects(AxisSums.of(part), replicates=200, splits=1)


def times(n_layers: int = 32, heads_per_layer: int = 32) -> dict[str, float]:
    """Milliseconds to select from n_layers × heads_per_layer heads, by method; the fastest of 20."""
    rng, n = np.random.default_rng(0), n_layers * heads_per_layer
    columns = {"layer": np.arange(n) // heads_per_layer, "head": np.arange(n) % heads_per_layer}
    columns |= {
        name: rng.random(n)
        for name in (
            "z_ppl",
            "z_ppl_se",
            f"z_bias.{AXIS}",
            f"z_bias_se.{AXIS}",
            f"z_bias.{OTHER}",
            f"z_bias_se.{OTHER}",
            "magnitude_l2",
            "mask_gradient_l2",
            f"activation_difference.{AXIS}",
        )
    }
    groups = (
        np.linspace(-0.1, 0.1, 6),
        np.full(6, 0.01),
        rng.normal(0, 0.005, (n, 6)),
        rng.uniform(0.002, 0.008, (n, 6)),
    )
    scores = HeadScores(
        pd.DataFrame(columns),
        n_layers,
        heads_per_layer,
        intact={axis: IntactBias(bias=Estimate(bias, 0.0, 0)) for axis, bias in ((AXIS, 0.2), (OTHER, 0.1))},
        orders={AXIS: {"0.3": tuple(rng.permutation(n)[: n // 5].tolist())}},
        group_effects={AXIS: GroupEffects(tuple("abcdef"), *groups)},
    )
    fastest = {}
    for method in METHODS:
        spent = []
        for _ in range(20):
            start = time.perf_counter()
            select_heads(scores, method, axis=AXIS, alpha=0.1)
            spent.append(time.perf_counter() - start)
        fastest[method] = 1000 * min(spent)
    return fastest


def main() -> None:
    """Print all tables; `--json` also writes them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=400)
    parser.add_argument("--studies", type=int, default=100, help="made-up studies for fasp_joint, of each reliability")
    parser.add_argument("--study", help="also choose on halves of this study's prompts")
    parser.add_argument("--axis", default=AXIS)
    parser.add_argument("--json", help="also write the figures to this file")
    options = parser.parse_args()
    console = Console(width=100)
    spent, rows = times(), yields(options.repeats)
    table = Table("method", "ms", title="select_heads on 1,024 heads")
    for method, milliseconds in spent.items():
        table.add_row(method, f"{milliseconds:.2f}")
    console.print(table)
    frame = pd.DataFrame(rows)
    for name, part in frame.groupby("true scores", sort=False):
        table = Table("way", *(f"reliability {r}" for r in RELIABILITIES), title=f"yield, true scores {name}")
        for way, line in part.groupby("way", sort=False):
            table.add_row(way, *(f"{row['yield']:.3f} ± {row['se']:.3f}" for row in line.to_dict("records")))
        console.print(table)
    joint = {reliability: bias_left(options.studies, reliability) for reliability in JOINT_RELIABILITIES}
    ways = [way for way in joint[0.5] if way.startswith("fasp")]
    table = Table(
        "reliability", "fasp promised", *ways, title="true bias left on made-up studies, % of the intact bias"
    )
    for reliability, left in joint.items():
        intact = left["intact"].mean()
        shares = [left[way].mean() / intact for way in ways]
        errors = [left[way].std(ddof=1) / np.sqrt(left[way].size) / intact for way in ways]
        cells = [f"{100 * share:.0f} ± {100 * error:.0f}" for share, error in zip(shares, errors, strict=True)]
        table.add_row(f"{reliability}", f"−{100 * left['promised'].mean():.0f}", *cells)
    console.print(table)
    kept = halves(options.study, options.axis) if options.study else []
    if kept:
        table = Table(
            "way",
            "promised by its half",
            "kept in the other",
            title=f"z_bias of the heads chosen on half of study {options.study}, % of the bias",
        )
        for row in kept:
            kept_text = f"{100 * row['kept']:+.0f} (splits: ±{100 * row['spread']:.0f})"
            table.add_row(row["way"], f"{100 * row['promised']:+.0f}", kept_text)
        console.print(table)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as out:
            left = {str(r): {way: values.tolist() for way, values in found.items()} for r, found in joint.items()}
            json.dump({"milliseconds": spent, "yields": rows, "joint": left, "halves": kept}, out, indent=1)


if __name__ == "__main__":
    main()
