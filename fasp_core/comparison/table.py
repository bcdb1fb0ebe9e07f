"""The result of a comparison: one row per configuration, split and metric; kept with the study as one Parquet file.

Columns: method, gamma (NaN: none), alpha, compensate (what takes the heads' place; where no head goes, nothing does,
and all ways have the same numbers), seed, split, n_pruned, heads (`0.3-5.1`), metric (`ppl`, `bias.<axis>`, or
`bias_corrected.<axis>`, the bias without what noise adds), before, after, after_low, after_high, change, change_se,
change_low, change_high, predicted (the sum of the single-head scores; none where the other heads take over), n (texts,
readings or windows). All bias is by one measure, `ComparisonTable.metric`. Intervals are 95 %; change = after − before,
from pairs. No torch here.

The same file has rows that compare two pruned models, `ComparisonTable.differences`: `against` and `against_compensate`
name the other one, of the same α and seed, and `before` is that. Rows that compare with the intact model have "" there.

    <study>/comparisons/<axis>.<digest of settings and scores>.parquet
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.special import stdtrit

from fasp_core.errors import InputError, nearest
from fasp_core.evaluation.result import Evaluation
from fasp_core.files.reading import read_parquet
from fasp_core.files.writing import write_atomic
from fasp_core.head import Head, heads_text
from fasp_core.models.compensation_choice import COMPENSATIONS, Compensate
from fasp_core.selection.head_scores import HeadScores
from fasp_core.selection.prediction import predict_effect
from fasp_core.stats.normal import Z95
from fasp_core.study.study import Study

FOLDER, META_KEY = "comparisons", b"fasp_comparison"
KEY = ["method", "gamma", "alpha", "compensate", "seed", "split", "metric"]
ORDER = ["split", "method", "compensate", "gamma", "alpha", "seed"]
NUMBERS = [
    "before",
    "after",
    "after_low",
    "after_high",
    "change",
    "change_se",
    "change_low",
    "change_high",
    "predicted",
]
COLUMNS = [*KEY[:-1], "n_pruned", "heads", "metric", *NUMBERS, "n"]
AGAINST = ["against", "against_compensate"]
MEASURED = ("after", "change")
POOLED = [
    "n_seeds",
    "seed",
    "heads",
    "n_pruned",
    "before",
    "after",
    "after_low",
    "after_high",
    "change",
    "change_low",
    "change_high",
    "relative",
    "relative_low",
    "relative_high",
    "predicted",
]
POINT = ["method", "gamma", "alpha", "compensate", "split", "metric"]
ONE_WAY = {"metric": "toxicity", "compensations": ["none"]}  # what tables of the time without a choice were made by


@dataclass
class ComparisonTable:
    """The rows so far; `meta` says what they were made with: study, model, settings, scores, created, complete."""

    name: str
    frame: pd.DataFrame
    meta: dict[str, Any]
    differences: pd.DataFrame = field(default_factory=partial(pd.DataFrame, columns=[*COLUMNS, *AGAINST]))

    @property
    def rows(self) -> pd.DataFrame:
        """All rows, as they are kept: those of `frame`, and `differences`."""
        frame = self.frame.assign(**dict.fromkeys(AGAINST, ""))
        return frame if self.differences.empty else pd.concat([frame, self.differences], ignore_index=True)

    @property
    def complete(self) -> bool:
        """Whether all configurations have been measured."""
        return bool(self.meta.get("complete"))

    @property
    def axis(self) -> str:
        """The bias that heads were pruned for."""
        return self.meta["settings"]["axis"]

    @property
    def metric(self) -> str:
        """What bias was measured by, also to choose heads."""
        return self.meta["settings"].get("metric", ONE_WAY["metric"])

    @property
    def compensations(self) -> list[str]:
        """What took the place of the pruned heads, in turn."""
        return self.meta["settings"].get("compensations", ONE_WAY["compensations"])

    @property
    def scores_under(self) -> dict[str, str]:
        """By what takes the pruned heads' place, what the scores that chose them are compensated by."""
        return self.meta.get("scores_under", dict.fromkeys(self.compensations, "none"))

    @classmethod
    def begin(cls, study: Study, scores: Mapping[Compensate, HeadScores], settings: dict[str, Any]) -> ComparisonTable:
        """The table of these settings and of the `scores` that choose heads, with the rows of earlier runs."""
        made = json.loads(json.dumps(settings, default=dict))
        named = {name: value for name, value in made.items() if (name, value) not in ONE_WAY.items()}
        staged = "fasp_iterative" in (made["methods"] or ())
        if staged and (own_orders := [way for way in made["compensations"] if way != "none"]):
            named["orders"] = own_orders  # which once all had the order of "none"
        scores_under = {way: known.meta.compensate or "none" for way, known in scores.items()}
        frames = {scores_under[way]: known.frame for way, known in scores.items()}
        content = json.dumps(named, sort_keys=True).encode()
        content += b"".join(frame.to_csv(index=False).encode() for frame in frames.values())
        name = f"{settings['axis']}.{hashlib.sha256(content).hexdigest()[:8]}"
        if comparison_file(study, name).is_file():
            return read_comparison(study, name)
        meta = {
            "study": study.name,
            "model": study.manifest.model,
            "settings": made,
            "scores_under": scores_under,
            "complete": False,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": study.manifest.versions,
            "scorers": dict(study.manifest.scorers),
            "prompts": study.manifest.prompts,
        }
        return cls(name, pd.DataFrame(columns=COLUMNS), meta)

    def add(self, rows: Iterable[dict[str, Any]]) -> None:
        """Add rows; a row of the same configuration, split and metric is replaced."""
        new = pd.DataFrame(rows, columns=COLUMNS)
        both = new if self.frame.empty else pd.concat([self.frame, new])
        both = both.drop_duplicates(KEY, keep="last")
        both["compensate"] = pd.Categorical(both["compensate"], COMPENSATIONS, ordered=True)
        both = both.sort_values(ORDER, kind="stable", ignore_index=True)
        self.frame = both.astype({"compensate": str})

    def save(self, study: Study, *, complete: bool = False) -> None:
        """Write the table and its meta, whole or not at all; InputError where the study is gone from its folder."""
        if not (study.folder / "manifest.json").is_file():
            raise InputError(
                f"study '{study.name}' was renamed or deleted meanwhile; compare again under its new name: "
                "what was measured costs nothing then"
            )
        self.meta["complete"] = complete or self.complete
        table = pa.Table.from_pandas(self.rows, preserve_index=False)
        table = table.replace_schema_metadata({META_KEY: json.dumps(self.meta).encode()})
        write_atomic(comparison_file(study, self.name), lambda temporary: pq.write_table(table, temporary))


def measurement_rows(
    point: dict[str, Any], evaluation: Evaluation, scores: HeadScores, by: str
) -> list[dict[str, Any]]:
    """The rows of one configuration (method, gamma, alpha, compensate, seed, pruned): perplexity and each bias `by`."""
    predicted: dict[str, float] = {}
    for axis in scores.targets if evaluation.compensate == "none" else ():
        if (effect := predict_effect(scores, point["pruned"], axis)) is None:
            continue
        predicted |= {"ppl": effect.ppl.change, f"bias.{axis}": effect.bias.change}
    rows = _rows(point, evaluation, by)
    return [row | {"predicted": predicted.get(row["metric"], math.nan)} for row in rows]


def difference_rows(
    point: dict[str, Any], other: dict[str, Any], difference: Evaluation, by: str
) -> list[dict[str, Any]]:
    """The rows of one configuration against another one, whose numbers are those before."""
    against = {"against": other["method"], "against_compensate": other["compensate"], "predicted": math.nan}
    return [row | against for row in _rows(point, difference, by)]


def _rows(point: dict[str, Any], evaluation: Evaluation, by: str) -> list[dict[str, Any]]:
    heads: tuple[Head, ...] = point["pruned"]
    first = {name: point[name] for name in ("method", "gamma", "alpha", "compensate", "seed")} | {
        "split": evaluation.split,
        "n_pruned": len(heads),
        "heads": heads_text(heads),
    }
    first["gamma"] = math.nan if first["gamma"] is None else first["gamma"]
    before, after, change = evaluation.before, evaluation.after, evaluation.change
    metrics = {"ppl": (before.ppl, after.ppl, change.ppl)}
    parts = [part.axes_by(by) for part in (before, after, change)]
    for name, field_name in (("bias", "bias"), ("bias_corrected", "corrected")):
        for axis in parts[1]:
            metrics[f"{name}.{axis}"] = tuple(getattr(part[axis], field_name) for part in parts)
    return [
        first
        | {
            "metric": metric,
            "before": b.value,
            "after": a.value,
            "after_low": a.low,
            "after_high": a.high,
            "change": c.value,
            "change_se": c.se,
            "change_low": c.low,
            "change_high": c.high,
            "n": c.n,
        }
        for metric, (b, a, c) in metrics.items()
    ]


def pool(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per `POINT` (and `AGAINST`): the mean over seeds, with 95 % intervals, also relative to before.

    The variance of a mean over k seeds is (own + between) / k: the mean square of the seeds' own standard errors, and
    the variance of the seeds' values beyond that, averaged over all points of the method and compensation (method
    random prunes other heads with every seed). `relative` = change ÷ before; `heads` and `seed` are of the first seed.
    """
    point = [*POINT, *(name for name in AGAINST if name in frame)]
    if frame.empty:
        return pd.DataFrame(columns=[*point, *POOLED])
    squares = {f"{name}_own": ((frame[f"{name}_high"] - frame[f"{name}_low"]) / 2) ** 2 for name in MEASURED}
    frame = frame.assign(**squares)
    grouped = frame.groupby(point, dropna=False, sort=False)
    pooled = grouped.agg(
        n_seeds=("seed", "size"),
        seed=("seed", "first"),
        heads=("heads", "first"),
        n_pruned=("n_pruned", "first"),
        before=("before", "mean"),
        predicted=("predicted", "mean"),
        **{name: (name, "mean") for name in MEASURED},
        **{f"{name}_own": (f"{name}_own", "mean") for name in MEASURED},
        **{f"{name}_spread": (name, "var") for name in MEASURED},
    ).reset_index()
    for name in MEASURED:
        half = _half_widths(pooled, name)
        pooled[f"{name}_low"], pooled[f"{name}_high"] = pooled[name] - half, pooled[name] + half
    bounded = ~pooled["metric"].str.startswith("bias_corrected.")  # the others are never below 0, so no −100 %
    pooled["after_low"] = pooled["after_low"].where(~bounded, pooled["after_low"].clip(lower=0.0))
    for end in ("", "_low", "_high"):
        pooled[f"relative{end}"] = pooled[f"change{end}"] / pooled["before"].where(pooled["before"] != 0)
    pooled["relative_low"] = pooled["relative_low"].where(~bounded, pooled["relative_low"].clip(lower=-1.0))
    return pooled[[*point, *POOLED]]


def _half_widths(pooled: pd.DataFrame, name: str) -> pd.Series:
    """Half widths of 95 % intervals of the means over seeds; `…_own` are the mean squares of the seeds' half widths."""
    k, own = pooled["n_seeds"], pooled[f"{name}_own"]
    excess = pooled[f"{name}_spread"] - own / Z95**2  # NaN with one seed
    by = [pooled[name] for name in ("method", "compensate", "metric", "split", *AGAINST) if name in pooled]
    between = excess.groupby(by).transform("mean").clip(lower=0.0).fillna(0.0)
    df = (k - 1).groupby(by).transform("sum")
    quantile = pd.Series(stdtrit(df.where(df > 0, 1), 0.975), index=pooled.index)
    return np.sqrt((own + quantile**2 * between) / k)


def list_comparisons(study: Study) -> list[str]:
    """Names of a study's comparisons: the last begun first, those begun at once by name, damaged ones at the end."""
    begun = {path.stem: _begun(path) for path in _files(study)}
    return sorted(sorted(begun), key=lambda name: begun[name], reverse=True)


def _files(study: Study) -> list[Path]:
    return list((study.folder / FOLDER).glob("*.parquet"))


def _begun(path: Path) -> str:
    """When a comparison was begun, in UTC as its file writes it; "" where the file is damaged."""
    try:
        return str(json.loads(pq.read_schema(path).metadata[META_KEY])["created"])
    except (OSError, KeyError, TypeError, ValueError):  # ValueError: also what pyarrow finds invalid
        return ""


def read_comparison(study: Study, name: str) -> ComparisonTable:
    """A comparison of the study; raises InputError where there is none of that name, or its file is damaged."""
    path = comparison_file(study, name)
    if path not in _files(study):
        raise InputError(f"study '{study.name}' has no comparison '{name}'; {nearest(name, list_comparisons(study))}")
    frame, metadata = read_parquet(path, [name for name in COLUMNS if name != "compensate"], text=True)
    if "compensate" not in frame:
        frame["compensate"] = "none"
    if not set(AGAINST) <= set(frame):
        frame = frame.assign(**dict.fromkeys(AGAINST, ""))
    try:
        meta = json.loads(metadata[META_KEY])
        meta["settings"]["axis"]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: its description is damaged; delete the file and compare again") from error
    differs = frame["against"] != ""
    differences = frame.loc[differs, [*COLUMNS, *AGAINST]].reset_index(drop=True)
    return ComparisonTable(name, frame.loc[~differs, COLUMNS].reset_index(drop=True), meta, differences)


def export_rows(frame: pd.DataFrame, to: str | os.PathLike[str]) -> None:
    """Write the rows of a comparison to a .csv or .parquet file, whole or not at all; InputError for other names."""
    path = Path(to)
    if path.suffix not in (".csv", ".parquet"):
        raise InputError(f"{path}: comparisons are written to .csv or .parquet files")
    write = frame.to_csv if path.suffix == ".csv" else frame.to_parquet
    write_atomic(path, lambda temporary: write(temporary, index=False))


def comparison_file(study: Study, name: str) -> Path:
    """Where a comparison of this name is kept."""
    return study.folder / FOLDER / f"{name}.parquet"
