"""A study of random numbers, written by the code that writes real ones: for tests of pages, without a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from fasp_core.data.articles import load_text
from fasp_core.data.order import sample_order
from fasp_core.data.prompts import load_prompts
from fasp_core.evaluation.result import Evaluation, Metrics
from fasp_core.head import Head
from fasp_core.stats.estimate import Estimate
from fasp_core.study.manifest import Manifest
from fasp_core.study.shard_tables import ratio_table
from fasp_core.study.study import Study, create_study
from fasp_core.toxicity.scorers import open_scorer
from helpers.made_metrics import made_metrics
from helpers.made_once import made_once

SCORER = "embedded"


def make_study(root: Path, name: str = "default", **kind: Any) -> Study:
    """A copy of the study that `_made` makes of `kind`, its keyword arguments."""
    return made_once(root, name, lambda folder: _made(folder, name, **kind), "made", sorted(kind.items()))


def _made(
    root: Path,
    name: str,
    *,
    n_layers: int = 6,
    heads_per_layer: int = 4,
    axes: tuple[str, ...] = ("gender_and_sex", "religion"),
    samples: int = 256,
    windows: int = 32,
    model_name: str = "made-model",
    seed: int = 0,
    biased: bool = True,
) -> Study:
    """A study with measured text and axes; a few heads matter for perplexity, a few drive each bias.

    Every axis has a clear bias, or none where not `biased`.
    """
    rng = np.random.default_rng(seed)
    n_heads, prompts = n_layers * heads_per_layer, load_prompts()
    manifest = Manifest(
        name=name,
        created="2026-01-01T00:00:00+00:00",
        model={
            "ref": "made-model",
            "name": model_name,
            "fingerprint": "0" * 16,
            "n_layers": n_layers,
            "heads_per_layer": heads_per_layer,
            "head_dim": 8,
            "query_group": 1,
            "dtype": "float32",
            "device": "cpu",
            "class": "MadeModel",
        },
        prompts={"name": prompts.name, "fingerprint": prompts.fingerprint},
        text={"name": "builtin", "fingerprint": load_text().fingerprint},
        settings={"seed": 0, "max_new_tokens": 20},
        scorers={SCORER: open_scorer(SCORER).fingerprint},
        axes=list(axes),
    )
    no_windows = pd.DataFrame({"window_id": [0], "article": ["a"], "split": ["valid"], "token_ids": [[1, 2]]})
    study = create_study(root / name, manifest, prompts, no_windows)
    needed = rng.gamma(0.3, 0.02, n_heads)
    ratios = -127 * needed + rng.normal(0, 1.0, (windows, n_heads))
    units = range(windows)
    log_prob = -127 * (3.2 + rng.normal(0, 0.2, windows))
    study.write_shard(
        "gradient.text.00000.parquet", ratio_table(units, [127] * windows, log_prob, ratios, range(n_heads))
    )
    for axis, lift in zip(axes, (0.16, *(0.08 for _ in axes)), strict=False):
        _add_axis(study, axis, samples, n_heads, rng, lift * biased)
    return study


def _add_axis(study: Study, axis: str, n: int, n_heads: int, rng: np.random.Generator, lift: float) -> None:
    """`lift` is by how much, at most, each group is more toxic than the one before it: enough for a clear bias.
    Without it all groups are equally toxic.
    """
    prompts = study.prompts.select(axes=[axis], split="valid").frame
    order = sample_order(prompts, seed=0, axis=axis, start=0, stop=n)
    group = order.merge(prompts, on="prompt_id", how="left")["group"].astype("category").cat.codes.to_numpy()
    toxicity = np.clip(rng.beta(0.8, 6, n) + lift * group * (rng.random(n) < 0.5), 0, 1)
    if not lift:  # the same toxicities in every group, which take turns
        toxicity = toxicity[np.arange(n) // (group.max() + 1)]
    drives = rng.normal(0, 0.1, n_heads) * (rng.random(n_heads) < 0.3)
    ratios = rng.normal(0, 0.25, (n, n_heads)) - (toxicity * (group - group.mean()))[:, None] * drives
    units = pa.array(range(n), pa.int32())
    study.write_shard(
        f"samples.{axis}.00000.parquet",
        pa.table(
            {
                "unit": units,
                "prompt_id": order["prompt_id"],
                "draw": order["draw"],
                "continuation": [f" continuation {i}" for i in range(n)],
                "token_ids": [[i] for i in range(n)],
            }
        ),
    )
    study.write_shard(f"toxicity.{SCORER}.{axis}.00000.parquet", pa.table({"unit": units, "toxicity": toxicity}))
    study.write_shard(
        f"gradient.{axis}.00000.parquet",
        ratio_table(range(n), [20] * n, rng.normal(-60, 5, n), ratios.astype(np.float32), range(n_heads)),
    )


def made_evaluation(pruned: tuple[Head, ...], axis: str, groups: list[str], fraction: float) -> Evaluation:
    """An evaluation with simple numbers: perplexity 24 → 25.5, bias 0.2 → 0.14; errors shrink with `fraction`."""
    shrink = fraction**-0.5

    def metrics(ppl: float, bias: float, error: float, toxicity: float) -> Metrics:
        by_group = {g: Estimate(toxicity * (1 + i / 5), 0.01 * error * shrink, 40) for i, g in enumerate(groups)}
        return made_metrics(
            Estimate(ppl, error * shrink, 50),
            {axis: Estimate(bias, 0.02 * error * shrink, 500)},
            groups={axis: by_group},
        )

    return Evaluation(
        pruned=tuple(sorted(pruned)),
        split="valid",
        before=metrics(24.0, 0.2, 1.0, 0.1),
        after=metrics(25.5, 0.14, 1.0, 0.08),
        change=metrics(1.5, -0.06, 0.3, -0.02),
        n_texts=round(500 * fraction),
        n_windows=round(50 * fraction),
        fraction_done=fraction,
    )
