"""The result of a comparison: one row per configuration, split and metric; kept with the study as one Parquet file.

Columns: method, gamma (NaN: none), alpha, seed, split, n_pruned, heads (`0.3-5.1`), metric (`ppl`, `bias.<axis>`, or
`bias_corrected.<axis>`, the bias without what noise adds), before, after, after_low, after_high, change, change_se,
change_low, change_high, predicted (the change that single-head scores add up to), n (texts or windows). Intervals are
95 %; change = after − before, from pairs. No torch here.

    <study>/comparisons/<axis>.<digest of settings and scores>.parquet
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.stats import t as student

from .errors import InputError, nearest
from .estimates import Evaluation
from .files import write_atomic
from .head_scores import HeadScores
from .history import heads_text
from .numbers import Z95
from .selection import Head
from .study import Study
from .tables import read_parquet

FOLDER, META_KEY = "comparisons", b"fasp_comparison"
KEY = ["method", "gamma", "alpha", "seed", "split", "metric"]
NUMBERS = [
    "before", "after", "after_low", "after_high", "change", "change_se", "change_low", "change_high", "predicted",
]  # fmt: skip
COLUMNS = [*KEY[:-1], "n_pruned", "heads", "metric", *NUMBERS, "n"]
MEASURED = ("after", "change")
POOLED = [
    "n_seeds", "seed", "heads", "n_pruned", "before", "after", "after_low", "after_high", "change", "change_low",
    "change_high", "relative", "relative_low", "relative_high", "predicted",
]  # fmt: skip
POINT = ["method", "gamma", "alpha", "split", "metric"]


@dataclass
class ComparisonTable:
    """The rows so far, and what they are of: meta has study, model, settings, created, complete."""

    name: str
    frame: pd.DataFrame
    meta: dict[str, Any]

    @property
    def complete(self) -> bool:
        """Whether everything that was asked for has been measured."""
        return bool(self.meta.get("complete"))

    @property
    def axis(self) -> str:
        """The bias that heads were pruned for."""
        return self.meta["settings"]["axis"]

    @classmethod
    def begin(cls, study: Study, scores: HeadScores, settings: dict[str, Any]) -> ComparisonTable:
        """The table of these settings and scores, with the rows that an earlier run left."""
        made = json.loads(json.dumps(settings, default=dict))
        content = json.dumps(made, sort_keys=True).encode() + scores.frame.to_csv(index=False).encode()
        name = f"{settings['axis']}.{hashlib.sha256(content).hexdigest()[:8]}"
        if comparison_file(study, name).is_file():
            return read_comparison(study, name)
        meta = {
            "study": study.name, "model": study.manifest.model, "settings": made, "complete": False,
            "created": datetime.now(UTC).isoformat(timespec="seconds"), "versions": study.manifest.versions,
            "scorers": dict(study.manifest.scorers), "prompts": study.manifest.prompts,
        }  # fmt: skip
        return cls(name, pd.DataFrame(columns=COLUMNS), meta)

    def add(self, rows: Iterable[dict[str, Any]]) -> None:
        """File rows; one of the same configuration, split and metric is replaced."""
        new = pd.DataFrame(rows, columns=COLUMNS)
        both = new if self.frame.empty else pd.concat([self.frame, new])
        both = both.drop_duplicates(KEY, keep="last")
        self.frame = both.sort_values(["split", "method", "gamma", "alpha", "seed"], kind="stable", ignore_index=True)

    def save(self, study: Study, *, complete: bool = False) -> None:
        """Write the table and its meta, whole or not at all."""
        self.meta["complete"] = complete or self.complete
        table = pa.Table.from_pandas(self.frame, preserve_index=False)
        table = table.replace_schema_metadata({META_KEY: json.dumps(self.meta).encode()})
        write_atomic(comparison_file(study, self.name), lambda temporary: pq.write_table(table, temporary))


def measurement_rows(point: dict[str, Any], evaluation: Evaluation, scores: HeadScores) -> list[dict[str, Any]]:
    """The rows of one configuration (method, gamma, alpha, seed, pruned), one per metric of its evaluation."""
    heads: tuple[Head, ...] = point["pruned"]
    first = {name: point[name] for name in ("method", "gamma", "alpha", "seed")} | {
        "split": evaluation.split, "n_pruned": len(heads), "heads": heads_text(heads),
    }  # fmt: skip
    first["gamma"] = math.nan if first["gamma"] is None else first["gamma"]
    before, after, change = evaluation.before, evaluation.after, evaluation.change
    metrics = {"ppl": (before.ppl, after.ppl, change.ppl)}
    for name in ("bias", "bias_corrected"):
        b, a, c = (getattr(part, name) for part in (before, after, change))
        metrics |= {f"{name}.{axis}": (b[axis], a[axis], c[axis]) for axis in a}
    return [
        first | {
            "metric": metric, "before": b.value, "after": a.value, "after_low": a.low, "after_high": a.high,
            "change": c.value, "change_se": c.se, "change_low": c.low, "change_high": c.high,
            "predicted": predicted_change(scores, heads, metric), "n": c.n,
        }
        for metric, (b, a, c) in metrics.items()
    ]  # fmt: skip


def predicted_change(scores: HeadScores, heads: Iterable[Head], metric: str) -> float:
    """What single-head scores add up to: + Σ z_ppl, − Σ z_bias of an axis; NaN for what was not scored."""
    flat = [layer * scores.heads_per_layer + head for layer, head in heads]
    if metric == "ppl":
        return float(scores.z_ppl[flat].sum())
    kind, _, axis = metric.partition(".")
    return -float(scores.z_bias(axis)[flat].sum()) if kind == "bias" and axis in scores.axes else math.nan


def pool(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per method, γ, α, split and metric: the mean over seeds, with 95 % intervals, also relative to before.

    The variance of a mean over k seeds is (own + between) / k: the mean square of the seeds' own standard errors, and
    what the seeds' values spread beyond that, averaged over all points of the method (for random, heads differ with the
    seed). `relative` = change ÷ before; `heads` and `seed` are those of the first seed.
    """
    if frame.empty:
        return pd.DataFrame(columns=[*POINT, *POOLED])
    squares = {f"{name}_own": ((frame[f"{name}_high"] - frame[f"{name}_low"]) / 2) ** 2 for name in MEASURED}
    frame = frame.assign(**squares)
    grouped = frame.groupby(POINT, dropna=False, sort=False)
    pooled = grouped.agg(
        n_seeds=("seed", "size"), seed=("seed", "first"), heads=("heads", "first"), n_pruned=("n_pruned", "first"),
        before=("before", "mean"), predicted=("predicted", "mean"),
        **{name: (name, "mean") for name in MEASURED},
        **{f"{name}_own": (f"{name}_own", "mean") for name in MEASURED},
        **{f"{name}_spread": (name, "var") for name in MEASURED},
    ).reset_index()  # fmt: skip
    for name in MEASURED:
        half = _half_widths(pooled, name)
        pooled[f"{name}_low"], pooled[f"{name}_high"] = pooled[name] - half, pooled[name] + half
    for end in ("", "_low", "_high"):
        pooled[f"relative{end}"] = pooled[f"change{end}"] / pooled["before"].where(pooled["before"] != 0)
    return pooled[[*POINT, *POOLED]]


def _half_widths(pooled: pd.DataFrame, name: str) -> pd.Series:
    """Half widths of 95 % intervals of the means over seeds; `…_own` are the mean squares of the seeds' half widths."""
    k, own = pooled["n_seeds"], pooled[f"{name}_own"]
    excess = pooled[f"{name}_spread"] - own / Z95**2  # NaN with one seed
    by = [pooled["method"], pooled["metric"], pooled["split"]]
    between = excess.groupby(by).transform("mean").clip(lower=0.0).fillna(0.0)
    df = (k - 1).groupby(by).transform("sum")
    quantile = pd.Series(student.ppf(0.975, df.where(df > 0, 1)), index=pooled.index)
    return np.sqrt((own + quantile**2 * between) / k)


def affordable(frame: pd.DataFrame, metric: str, limit: float) -> pd.DataFrame:
    """For each method, what it does to `metric` at the largest α whose perplexity rises by at most `limit` of before.

    One row per method in the order of the frame: the pooled row of `metric`, with `ppl_relative` beside it. Choosing α
    by perplexity alone leaves the interval of a bias honest. α = 0 is always affordable.
    """
    pooled = pool(frame)
    ppl = pooled.loc[pooled["metric"] == "ppl", [*POINT[:-1], "relative"]].rename(columns={"relative": "ppl_relative"})
    chosen = pooled[pooled["metric"] == metric].merge(ppl, on=POINT[:-1])
    within = chosen[(chosen["ppl_relative"] <= limit) | (chosen["alpha"] == 0)]
    last = within.sort_values("alpha", kind="stable").groupby("method", sort=False).tail(1).set_index("method")
    order = [method for method in dict.fromkeys(pooled["method"]) if method in last.index]
    return last.loc[order].reset_index()


def list_comparisons(study: Study) -> list[str]:
    """Names of a study's comparisons, the newest first."""
    found = (study.folder / FOLDER).glob("*.parquet")
    return [path.stem for path in sorted(found, key=lambda path: (-path.stat().st_mtime, path.name))]


def read_comparison(study: Study, name: str) -> ComparisonTable:
    """A comparison of the study; raises InputError where there is none of that name, or its file is damaged."""
    names = list_comparisons(study)
    if name not in names:
        raise InputError(f"study '{study.name}' has no comparison '{name}'; {nearest(name, names)}")
    path = comparison_file(study, name)
    frame, metadata = read_parquet(path, COLUMNS, text=True)
    try:
        meta = json.loads(metadata[META_KEY])
        meta["settings"]["axis"]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: its description is damaged; delete the file and compare again") from error
    return ComparisonTable(name, frame[COLUMNS], meta)


def export_table(table: ComparisonTable, to: str | os.PathLike) -> None:
    """Write the rows to a .csv or .parquet file, whole or not at all."""
    path = Path(to)
    if path.suffix not in (".csv", ".parquet"):
        raise InputError(f"{path}: comparisons are written to .csv or .parquet files")
    write = table.frame.to_csv if path.suffix == ".csv" else table.frame.to_parquet
    write_atomic(path, lambda temporary: write(temporary, index=False))


def comparison_file(study: Study, name: str) -> Path:
    """Where a comparison of this name is kept."""
    return study.folder / FOLDER / f"{name}.parquet"
