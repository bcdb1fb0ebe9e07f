"""What a ranking by likelihood would survive: other templates, other stems, other identity terms.

    python -m benchmarks.generality                    # the shipped study
    python -m benchmarks.generality --study NAME

Every factor is halved at random on its own, the heads are ranked from either half by their first-order changes, and
the mean Spearman correlation over the unprotected heads is corrected to the whole (Spearman–Brown). Identity terms are
halved within their groups; where there are many stems, blocks of three are halved. Takes a minute; no model is needed.
"""

from __future__ import annotations

import argparse

import numpy as np

from fasp_core.selection.select_heads import protected_heads
from fasp_core.stats.bias import axis_bias
from fasp_core.stats.log_odds import OddsSamples
from fasp_core.stats.resampling import split_half_reliability
from fasp_core.study.study import open_study
from fasp_core.study.views import axis_groups, likelihood_axes, odds_samples, odds_values

SPLITS = 20
FACTORS = {
    "single readings": ("reading",),
    "cells of prompts": ("cell",),
    "templates": ("template",),
    "stems": ("stem",),
    "cells and stems": ("cell", "stem"),
    "identity terms": ("descriptor",),
    "identity terms and stems": ("descriptor", "stem"),
}


def z_bias(samples: OddsSamples, gradient: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """z_bias of every head (N) from weighted reads (n, m), to first order; `gradient` (n, m, N)."""
    means, changes = [], []
    for g in range(len(samples.groups)):
        rows = samples.group == g
        share = weights[rows] / weights[rows].sum()
        means.append((share * samples.log_odds[rows]).sum())
        changes.append(np.einsum("nm,nmh->h", share, gradient[rows]))
    means, changes = np.array(means), np.array(changes).T
    return axis_bias(means, samples.shares) - axis_bias(means + changes, samples.shares)


def half(codes: np.ndarray, within: np.ndarray | None, rng: np.random.Generator) -> np.ndarray:
    """Whether each place belongs to the first half of the codes, halved anew within each stratum of `within`."""
    chosen = np.zeros(codes.shape, bool)
    strata = np.zeros(codes.shape, int) if within is None else within
    for stratum in np.unique(strata):
        names = np.unique(codes[strata == stratum])
        kept = names[rng.permutation(names.size) < (names.size + rng.integers(2)) // 2]
        chosen |= (strata == stratum) & np.isin(codes, kept)
    return chosen


def main() -> None:
    """Print a row for each axis that has log-odds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--study", default="default")
    study, rng = open_study(parser.parse_args().study), np.random.default_rng(0)
    free = np.ones(study.n_layers * study.heads_per_layer, bool)
    free[protected_heads(study.scores(metric="likelihood"), 0.3)] = False
    print(f"| axis, readings | {' | '.join(FACTORS)} |")
    print(f"| --- |{' --- |' * len(FACTORS)}")
    for axis in likelihood_axes(study):
        samples = odds_samples(study, axis)
        gradient = samples.gradient[:, :, free].astype(float)
        prompts = axis_groups(study, axis).prompts.set_index("prompt_id").loc[odds_values(study, axis)["prompt_id"]]
        shape = samples.log_odds.shape
        codes = {"stem": samples.stem, "cell": np.broadcast_to(samples.cell[:, None], shape)}
        reads = np.unique(np.stack([samples.cell, samples.block]), axis=1, return_inverse=True)[1].reshape(-1, 1)
        codes["reading"] = np.broadcast_to(reads, shape)
        read_again = reads.max() >= np.unique(samples.cell).size
        for name in ("template", "descriptor"):
            codes[name] = np.broadcast_to(np.unique(prompts[name], return_inverse=True)[1][:, None], shape)
        groups = np.broadcast_to(samples.group[:, None], shape)
        found = []
        for factors in FACTORS.values():
            if factors == ("reading",) and not read_again:  # then halves of the readings are halves of the cells
                found.append(None)
                continue
            ranked = []
            for _ in range(SPLITS):
                first, second = np.ones((2, *shape), bool)
                for factor in factors:
                    chosen = half(codes[factor], groups if factor == "descriptor" else None, rng)
                    first, second = first & chosen, second & ~chosen
                ranked.append([z_bias(samples, gradient, one.astype(float)) for one in (first, second)])
            found.append(split_half_reliability(*np.array(ranked).swapaxes(0, 1)))
        cells = " | ".join("" if value is None else f"{value:.2f}" for value in found)
        print(f"| {axis}, {len(samples.group):,} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
