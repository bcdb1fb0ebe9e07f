"""The table that log-ratios are stored in: one row per unit, one fixed-size list over heads. No torch here."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pyarrow as pa


def ratio_table(
    units: Sequence[int], n_tokens: Sequence[int], log_prob: np.ndarray, ratios: np.ndarray, heads: Sequence[int]
) -> pa.Table:
    """Columns unit, log_prob (nats, of the scored tokens), n_tokens, log_ratio (heads); flat head ids in the metadata.

    `ratios` is (units, heads) float32; NaN marks a head whose knock-out gave no number.
    """
    values = pa.array(np.ascontiguousarray(ratios, np.float32).ravel(), pa.float32(), from_pandas=False)
    table = pa.table(
        {
            "unit": pa.array(units, pa.int32()),
            "log_prob": pa.array(log_prob, pa.float64()),
            "n_tokens": pa.array(n_tokens, pa.int32()),
            "log_ratio": pa.FixedSizeListArray.from_arrays(values, len(heads)),
        }
    )
    return table.replace_schema_metadata({"heads": json.dumps([int(h) for h in heads])})


def table_ratios(table: pa.Table) -> tuple[list[int], np.ndarray]:
    """The flat head ids of a table's columns, and its log-ratios, (units, heads) float32."""
    heads = json.loads(table.schema.metadata[b"heads"])
    flat = table["log_ratio"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return heads, flat.reshape(table.num_rows, len(heads))
