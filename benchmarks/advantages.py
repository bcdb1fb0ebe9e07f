"""How much noise advantages take out of the scores of heads, and what bias λ < 1 has, on the same texts.

    python -m benchmarks.advantages [--study default] [--axis gender_and_sex] [--texts 512] [--parts FOLDER]

Every text's contributions are measured for each λ by one forward pass and a backward pass per λ (about 25 minutes on 2
idle cores). With `--parts` they are kept in that folder, and a run that was stopped goes on there. Compared with the
log-ratios of the same texts, over the heads that γ = 0.3 leaves: variance of z_bias (bootstrap over prompts), the
reliability of the order, and the size of the bias of λ < 1 in standard errors of the score. The same for the mean
toxicity, which has no kink and more signal.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.table import Table
from scipy.stats import norm

from fasp_core.models.open_model import open_model
from fasp_core.scoring.advantages import Prefixes, contributions, halves, prefix_ratings
from fasp_core.scoring.context import RunContext
from fasp_core.scoring.log_ratios import sample_sequences
from fasp_core.scoring.stage import Shard
from fasp_core.stats.advantages import advantages
from fasp_core.stats.axis_sums import AxisSums
from fasp_core.stats.bias import effect_rows
from fasp_core.stats.critic import cross_fitted_critics, explained_variance, prefix_values
from fasp_core.stats.discounting import bias_sizes
from fasp_core.stats.prompt_sums import PromptSums
from fasp_core.stats.resampling import Replicates, bootstrap_counts, half_counts
from fasp_core.study.shard_names import SAMPLES, TOXICITY
from fasp_core.study.study import Study, open_study
from fasp_core.study.views import axis_samples
from fasp_core.toxicity.scorers import prefix_step, reopen_scorer

LAMBDAS = (1.0, 0.9, 0.7, 0.5, 0.3, 0.0)
PART = 32  # texts measured between one file and the next
OLD = "log-ratios"


def measured(study: Study, axis: str, n: int, parts: Path) -> tuple[np.ndarray, float]:
    """Contributions of the first n texts, (λ, n, N), and the share of the variance that the critic explains."""
    lm, scorer = open_model(study.manifest.model["ref"]), reopen_scorer(*study.scorer_record(), study=study.name)
    context, size = RunContext.of(study, lm, scorer), study.manifest.settings.samples_per_shard
    numbers = range(-(-n // size))
    samples = [study.read_shard(study.shard_names(SAMPLES, axis)[i]) for i in numbers]
    toxicity = [study.read_shard(study.shard_names(TOXICITY, axis, scorer=scorer.name)[i]) for i in numbers]
    stage = Prefixes(axis, [], scorer.name)
    prefixes = [stage.table(Shard(i, range(0)), context, {stage.shard_of(SAMPLES, i): samples[i]}) for i in numbers]
    ratings, half = prefix_ratings(prefixes, toxicity, context), halves(samples, axis, context)
    values = prefix_values(ratings, cross_fitted_critics(ratings, half)[half])
    by_block = np.stack([advantages(values, lam=lam) for lam in LAMBDAS])
    whole = pa.concat_tables([table.replace_schema_metadata() for table in samples])
    columns = [whole[name].to_pylist() for name in ("unit", "prompt_id", "token_ids")]
    found = []
    for start in range(0, n, PART):
        file, rows = parts / f"{start:05d}.npy", slice(start, min(n, start + PART))
        if not file.exists():
            sequences = sample_sequences(context, axis, *(column[rows] for column in columns))
            np.save(file, contributions(context, sequences, by_block[:, rows], prefix_step(scorer)))
        found.append(np.load(file))
    return np.concatenate(found, axis=1), explained_variance(values, ratings)


def mean_toxicity_moves(sums: AxisSums, counts: np.ndarray) -> np.ndarray:
    """By what the removal of each head moves the mean toxicity of all texts, for rows of counts: (R, N)."""
    n, f = counts @ sums.n, counts @ sums.f
    return (counts @ sums.fr) / n[:, None] - (f / n)[:, None] * (counts @ sums.r) / n[:, None]


def compare(study: Study, axis: str, by_lambda: np.ndarray) -> list[dict[str, float | str]]:
    """A row for each estimator."""
    samples, z_ppl = axis_samples(study, axis).first(by_lambda.shape[1]), study.scores().z_ppl
    free = np.ones(z_ppl.size, bool)
    free[np.argsort(-z_ppl, kind="stable")[: int(0.3 * z_ppl.size)]] = False
    texts = dict(zip(map(str, LAMBDAS), by_lambda, strict=True))
    folded = PromptSums.of_texts(samples.prompt, samples.group, samples.toxicity, texts)
    sums = {OLD: AxisSums.of(samples)} | {lam: folded.axis_sums(lam, samples.shares, samples.groups) for lam in texts}
    rng = np.random.default_rng(0)
    draws = Replicates.of(bootstrap_counts(folded.group, 400, rng), half_counts(folded.group, 100, rng))
    z = {name: effect_rows(of, draws.counts).first_order for name, of in sums.items()}
    level = {name: mean_toxicity_moves(of, draws.counts) for name, of in sums.items()}

    def variance(rows: np.ndarray) -> np.ndarray:
        return draws.se(rows)[free] ** 2

    table = []
    for name, of in sums.items():
        size = 0.0 if name in (OLD, "1.0") else float(bias_sizes(of, sums["1.0"], ~free)[free][0])
        error = np.sqrt(variance(z[name]))
        table.append(
            {
                "estimator": name,
                "variance": float(np.median(variance(z[name]) / variance(z[OLD]))),
                "error": float(np.median(error)),
                "reliability": draws.reliability(z[name][:, free]),
                "bias": float(np.median(size / error)),
                "small": float(1 - 2 * norm.sf(error / 2 / size).mean()) if size else 1.0,
                "level_variance": float(np.median(variance(level[name]) / variance(level[OLD]))),
                "level_reliability": draws.reliability(level[name][:, free]),
            }
        )
    return table


def main() -> None:
    """Run and print; `--json` keeps the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", default="default")
    parser.add_argument("--axis", default="gender_and_sex")
    parser.add_argument("--texts", type=int, default=512)
    parser.add_argument("--parts", type=Path)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    with TemporaryDirectory() as scratch:
        parts = asked.parts or Path(scratch)
        parts.mkdir(parents=True, exist_ok=True)
        study = open_study(asked.study)
        by_lambda, explained = measured(study, asked.axis, asked.texts, parts)
    rows = compare(study, asked.axis, by_lambda)
    title = f"{asked.axis}, {by_lambda.shape[1]} texts; the critic explains {explained:.2f} of the variance"
    shown = (
        "λ",
        "variance",
        "error of z",
        "reliability",
        "bias / error",
        "bias small",
        "level: variance",
        "rel.",
    )
    table = Table(*shown, title=title)
    for row in rows:
        table.add_row(row["estimator"], *(f"{row[key]:.3g}" for key in list(row)[1:]))
    Console(width=110).print(table)
    if asked.json:
        asked.json.write_text(json.dumps({"explained": explained, "rows": rows}, indent=1), "utf-8")


if __name__ == "__main__":
    main()
