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
    order: pd.DataFrame, stems: np.ndarray, log_odds: np.ndarray, changes: np.ndarray, heads: Sequence[int]
) -> pa.Table:
    """One row per prompt: unit, prompt_id, cell, block, stem (m), log_odds (m), change (m · heads); flat head ids in
    the metadata.

    `order` has prompt_id, cell and block, indexed by unit; `log_odds` is (n, m) nats, `changes` (n, m, heads). Changes
    are kept in 16 bits, whose rounding (1 in 2,000 of each) is far below the error of the first order; NaN marks a head
    whose knock-out gave no number.
    """
    m = stems.shape[1]

    def lists(values: np.ndarray, kind: pa.DataType, length: int) -> pa.FixedSizeListArray:
        return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel(), kind, from_pandas=False), length)

    table = pa.table({
        "unit": pa.array(order.index, pa.int32()),
        **{name: pa.array(order[name], pa.int32()) for name in ("prompt_id", "cell", "block")},
        "stem": lists(stems.astype(np.int32), pa.int32(), m),
        "log_odds": lists(log_odds, pa.float64(), m),
        "change": lists(changes.astype(np.float16), pa.float16(), m * len(heads)),
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
    prompts, cell, block = (
        np.concatenate([table[name].to_numpy() for table in tables]) for name in ("prompt_id", "cell", "block")
    )
    group = chosen.frame.set_index("prompt_id")["group"].loc[prompts]
    stem, log_odds = (np.concatenate([_lists(table[name]) for table in tables]) for name in ("stem", "log_odds"))
    gradient = np.concatenate([_changes(table) for table in tables])
    return OddsSamples(
        log_odds=log_odds, group=pd.Categorical(group, categories=shares.index).codes.astype(int), cell=cell,
        block=block, stem=stem, shares=shares.to_numpy(), groups=tuple(shares.index), gradient=gradient,
        knockout=_knockout(study, axis, gradient.shape),
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
