"""The shards of the likelihood metric: how they are named, stored and read. No torch here.

pairs.parquet                               the study's own copy of the pairs
likelihood.<axis>.00000.parquet             log-odds, and their first-order change without each head
likelihood-knockout.<axis>.00000.<heads>.parquet    their exact change without some heads
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa

from .errors import InputError
from .likelihood_effects import OddsSamples
from .pairs import PairSet

if TYPE_CHECKING:
    from .study import Study

PAIRS = "pairs.parquet"
GRADIENT, KNOCKOUT = "likelihood", "likelihood-knockout"


def odds_table(
    units: Sequence[int], prompt_ids: Sequence[int], log_odds: np.ndarray, changes: np.ndarray, heads: Sequence[int]
) -> pa.Table:
    """One row per prompt: unit, prompt_id, log_odds (K), change (K · heads); flat head ids in the metadata.

    `log_odds` is (n, K) nats, `changes` (n, K, heads). Changes are kept in 16 bits, whose rounding (1 in 2,000 of each)
    is far below what separates the two tiers; NaN marks a head whose knock-out gave no number.
    """
    n_stems = log_odds.shape[1]
    stored = pa.array(np.ascontiguousarray(changes, np.float16).ravel(), pa.float16(), from_pandas=False)
    table = pa.table({
        "unit": pa.array(units, pa.int32()),
        "prompt_id": pa.array(prompt_ids, pa.int32()),
        "log_odds": pa.FixedSizeListArray.from_arrays(pa.array(log_odds.ravel(), pa.float64()), n_stems),
        "change": pa.FixedSizeListArray.from_arrays(stored, n_stems * len(heads)),
    })  # fmt: skip
    return table.replace_schema_metadata({"heads": json.dumps([int(h) for h in heads])})


def likelihood_axes(study: Study) -> list[str]:
    """The axes that have log-odds, in the order of the prompt set."""
    streams = {name.split(".")[1] for name in study.manifest.shards if name.startswith(f"{GRADIENT}.")}
    return [axis for axis in study.prompts.axes if axis in streams] if streams else []


def study_pairs(study: Study) -> PairSet | None:
    """The pairs that the study compares; None before the first."""
    return PairSet(study.read_shard(PAIRS).to_pandas()) if study.has_shard(PAIRS) else None


def odds_samples(study: Study, axis: str) -> OddsSamples:
    """One axis's log-odds, groups and changes, one row per prompt."""
    tables = [study.read_shard(name) for name in study.shard_names(GRADIENT, axis)]
    if not tables:
        raise InputError(
            f"study '{study.name}' holds no log-odds of '{axis}'; add them: python -m fasp_core score MODEL --name "
            f"{study.name} --axes {axis} --metric likelihood"
        )
    chosen = study.prompts.select(axes=[axis], split="valid")
    shares = chosen.group_shares(axis).sort_index()
    prompts = np.concatenate([table["prompt_id"].to_numpy() for table in tables])
    group = chosen.frame.set_index("prompt_id")["group"].loc[prompts]
    gradient = np.concatenate([_changes(table) for table in tables])
    return OddsSamples(
        log_odds=np.concatenate([_lists(table["log_odds"]) for table in tables]),
        group=pd.Categorical(group, categories=shares.index).codes.astype(int), shares=shares.to_numpy(),
        groups=tuple(shares.index), gradient=gradient, knockout=_knockout(study, axis, gradient.shape),
    )  # fmt: skip


def _knockout(study: Study, axis: str, shape: tuple[int, int, int]) -> np.ndarray | None:
    names = study.shard_names(KNOCKOUT, axis)
    if not names:
        return None
    matrix = np.full(shape, np.nan, np.float32)
    for name in names:
        table = study.read_shard(name)
        units = table["unit"].to_numpy()
        inside = units < shape[0]
        heads = json.loads(table.schema.metadata[b"heads"])
        matrix[np.ix_(units[inside], range(shape[1]), heads)] = _changes(table)[inside]
    return matrix


def _changes(table: pa.Table) -> np.ndarray:
    heads = len(json.loads(table.schema.metadata[b"heads"]))
    return _lists(table["change"]).reshape(table.num_rows, -1, heads).astype(np.float32)


def _lists(column: pa.ChunkedArray) -> np.ndarray:
    """A column of lists of one length, (rows, length)."""
    return column.combine_chunks().flatten().to_numpy(zero_copy_only=False).reshape(len(column), -1)
