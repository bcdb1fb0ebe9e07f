"""How far estimators are from the truth, on synthetic data where it is known.

    python -m benchmarks.estimators [--repeats 1000] [--json FILE]

Bias without noise: texts with skewed toxicities whose groups' true means are set; each way's mean error and root mean
square error, in units of the bias that noise alone gives, and how often its 95 % interval holds the truth.
Correlations: how often 95 % intervals hold the true one, of heads with heavy tails, or alike within a layer.
"""

from __future__ import annotations

import argparse
import json

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from scipy.stats import norm

from fasp_core.selection.correlations import axis_correlations
from fasp_core.selection.head_scores import HeadScores
from fasp_core.stats.bias import axis_bias
from fasp_core.stats.noise_floor import bias_floor, corrected_bias, gap_errors, group_gaps
from fasp_core.stats.resampling import replicate_counts

GROUPS = {"2 groups of 20": [20, 20], "10, 20, 40 and 80": [10, 20, 40, 80], "12 groups of 8": [8] * 12}
TRUE_BIAS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)  # in units of the bias that noise alone gives
REPLICATES, TOXICITY_SD = 400, 0.15
LAYERS, PER_LAYER = 12, 12
WORLDS = ("normal", "heavy tails", "alike in a layer", "critical heads")


def ways(means: np.ndarray, sizes: np.ndarray, shares: np.ndarray, floor: float) -> dict[str, tuple[float, float]]:
    """Every way's value and standard error; `means` (1 + R, G): row 0 is measured, the others resampled."""
    bias, errors = axis_bias(means, shares), gap_errors(means[1:], shares, sizes)
    scale = np.sqrt(sizes.min() / (sizes.min() - 1))
    gaps2, noise2 = group_gaps(means, shares) ** 2, errors**2
    excess = np.sqrt(np.maximum(0, 1 - noise2.sum() / gaps2.sum(-1)))
    spread = bias[1:].std(ddof=1) * scale

    def with_error(values: np.ndarray) -> tuple[float, float]:
        return float(values[0]), float(values[1:].std(ddof=1) * scale)

    return {
        "plain": (float(bias[0]), spread),
        "plain − floor": (float(bias[0]) - floor, spread),
        "√(plain² − floor²)": with_error(np.sqrt(np.maximum(0, bias**2 - floor**2))),
        "bootstrap": (float(2 * bias[0] - bias[1:].mean()), spread),
        "Σ √(gap² − error²)": with_error(np.sqrt(np.maximum(0, gaps2 - noise2)).sum(-1)),
        "plain × κ": with_error(bias * excess),
        "folded normal (used)": with_error(corrected_bias(means, errors, shares)),
    }


def bias_rows(repeats: int) -> list[dict]:
    """Mean error, root mean square error and coverage of every way, for all groups and true biases."""
    rng, rows = np.random.default_rng(0), []
    for name, given in GROUPS.items():
        sizes = np.array(given)
        shares, group = sizes / sizes.sum(), np.repeat(np.arange(sizes.size), sizes)
        unit = axis_bias(rng.normal(size=(20_000, sizes.size)) * TOXICITY_SD / np.sqrt(sizes), shares).mean()
        pattern = np.linspace(-1, 1, sizes.size) * unit / axis_bias(np.linspace(-1, 1, sizes.size), shares)
        for true in TRUE_BIAS:
            found: dict[str, list[tuple[float, float]]] = {}
            for _ in range(repeats):
                toxicity = rng.gamma(0.5, TOXICITY_SD / np.sqrt(0.5), group.size) + true * pattern[group]
                counts = replicate_counts(group, rng, REPLICATES)
                inside = (group[:, None] == np.arange(sizes.size)).astype(float)
                means = counts @ (inside * toxicity[:, None]) / (counts @ inside)
                floor = float(bias_floor(np.ones(group.size), toxicity[:, None], group, shares, permutations=100)[0])
                for way, value in ways(means, sizes, shares, floor).items():
                    found.setdefault(way, []).append(value)
            for way, values in found.items():
                value, se = np.array(values).T
                error = value / unit - true
                rows.append(
                    {
                        "groups": name,
                        "true": true,
                        "way": way,
                        "error": error.mean(),
                        "rmse": np.sqrt((error**2).mean()),
                        "coverage": (np.abs(value - true * unit) < norm.ppf(0.975) * se).mean(),
                    }
                )
    return rows


def heads(world: str, models: int, rng: np.random.Generator, rho: float = 0.6) -> np.ndarray:
    """Scores on two axes, (models, heads, 2)."""
    mix = np.linalg.cholesky([[1, rho], [rho, 1]]).T
    values = rng.normal(size=(models, LAYERS, PER_LAYER, 2)) @ mix
    if world == "heavy tails":
        values = values / np.sqrt(rng.chisquare(3, (models, LAYERS, PER_LAYER, 1)) / 3)
    if world == "alike in a layer":
        values = np.sqrt(0.7) * values + np.sqrt(0.3) * (rng.normal(size=(models, LAYERS, 1, 2)) @ mix)
    if world == "critical heads":  # most of them in a few layers; losing one raises both biases
        often = rng.beta(0.3, 3, (models, LAYERS, 1, 1))
        critical = rng.random((models, LAYERS, PER_LAYER, 1)) < often
        values = values + critical * rng.exponential(5, critical.shape)
    return values.reshape(models, LAYERS * PER_LAYER, 2)


def correlation_rows(repeats: int) -> list[dict]:
    """Coverage of the jackknife over layers, and of Fisher's interval (Bonett and Wright's for Spearman)."""
    rng, rows = np.random.default_rng(1), []
    layer, head = np.divmod(np.arange(LAYERS * PER_LAYER), PER_LAYER)
    unknown = np.full(layer.size, np.nan)
    for world in WORLDS:
        for method in ("pearson", "spearman"):
            many = pd.DataFrame(heads(world, 4000, rng).reshape(-1, 2))
            truth, hits = many.corr(method).to_numpy()[0, 1], np.zeros(2)
            for a, b in heads(world, repeats, rng).transpose(0, 2, 1):
                frame = pd.DataFrame({"layer": layer, "head": head, "z_ppl": a, "z_ppl_se": unknown})
                frame[["z_bias.a", "z_bias.b"]], frame[["z_bias_se.a", "z_bias_se.b"]] = np.stack([a, b], 1), np.nan
                made = axis_correlations(HeadScores(frame, LAYERS, PER_LAYER), method=method)
                r = made.r[0, 1]
                half = norm.ppf(0.975) * np.sqrt((1 + (r * r / 2 if method == "spearman" else 0)) / (layer.size - 3))
                hits += made.low[0, 1] <= truth <= made.high[0, 1], abs(np.arctanh(r) - np.arctanh(truth)) <= half
            rows.append(
                {
                    "heads": world,
                    "method": method,
                    "truth": truth,
                    "layers": hits[0] / repeats,
                    "fisher": hits[1] / repeats,
                }
            )
    return rows


def show(bias: list[dict], correlations: list[dict], console: Console) -> None:
    """The tables."""
    frame = pd.DataFrame(bias)
    for value, title in (("error", "mean error"), ("rmse", "root mean square error"), ("coverage", "coverage")):
        table = Table("groups", "way", *(f"{true:g}" for true in TRUE_BIAS), title=f"Bias without noise: {title}")
        for (groups, way), rows in frame.groupby(["groups", "way"], sort=False):
            table.add_row(groups, way, *(f"{x:{'.2f' if value != 'error' else '+.2f'}}" for x in rows[value]))
        console.print(table)
    table = Table("heads", "method", "true r", "layers (used)", "Fisher", title="Coverage of intervals of correlations")
    for row in correlations:
        numbers = (f"{row[key]:.2f}" for key in ("truth", "layers", "fisher"))
        table.add_row(row["heads"], row["method"], *numbers)
    console.print(table)


def main() -> None:
    """Run and print; `--json` keeps the numbers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=1000)
    parser.add_argument("--json")
    options = parser.parse_args()
    bias, correlations = bias_rows(options.repeats), correlation_rows(options.repeats)
    show(bias, correlations, Console(width=120))
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"bias": bias, "correlations": correlations}, file, indent=1)


if __name__ == "__main__":
    main()
