"""The tables that log-ratios and log-odds are stored in: a row per unit, fixed-size lists over heads. No torch here."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa

from fasp_core.stats.prompt_sums import PromptSums

PROMPTS_CUT = "prompts_cut"


def table_prompts_cut(table: pa.Table) -> int:
    """How many prompts of a table of samples, or of their sums, were longer than the model's context."""
    return int((table.schema.metadata or {}).get(PROMPTS_CUT.encode(), 0))


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
    heads = _heads(table)
    return heads, _values(table["log_ratio"]).reshape(table.num_rows, len(heads))


def odds_table(
    order: pd.DataFrame,
    stems: np.ndarray,
    log_odds: np.ndarray,
    changes: np.ndarray,
    heads: Sequence[int],
    *,
    by_block: bool,
) -> pa.Table:
    """One row per prompt: unit, prompt_id, cell, block, stem (m), log_odds (m), change (m · heads); flat head ids in
    the metadata. Where `by_block`, change (heads) is the mean over the m stems, a third of the size.

    `order` has prompt_id, cell and block, indexed by unit; `log_odds` is (n, m) nats, `changes` (n, m, heads). Changes
    are kept in 16 bits, whose rounding (1 in 2,000 of each) is far below the error of the first order; NaN marks a head
    whose knock-out gave no number.
    """
    m = stems.shape[1]
    kept = changes.mean(1, keepdims=True) if by_block else changes

    def lists(values: np.ndarray, kind: pa.DataType, length: int) -> pa.FixedSizeListArray:
        return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel(), kind, from_pandas=False), length)

    table = pa.table(
        {
            "unit": pa.array(order.index, pa.int32()),
            **{name: pa.array(order[name], pa.int32()) for name in ("prompt_id", "cell", "block")},
            "stem": lists(stems.astype(np.int32), pa.int32(), m),
            "log_odds": lists(log_odds, pa.float64(), m),
            "change": lists(kept.astype(np.float16), pa.float16(), kept.shape[1] * len(heads)),
        }
    )
    return table.replace_schema_metadata({"heads": json.dumps([int(h) for h in heads])})


def table_odds(table: pa.Table, *, by_block: bool) -> np.ndarray:
    """The log-odds of a table, (units, m) nats, or their means over each row's block of stems, (units, 1)."""
    log_odds = column_lists(table["log_odds"])
    return log_odds.mean(1, keepdims=True) if by_block else log_odds


def table_changes(table: pa.Table, *, by_block: bool) -> tuple[list[int], np.ndarray]:
    """The flat head ids of a table of log-odds, and the changes without each head, (units, m or 1, heads) float32."""
    heads = _heads(table)
    changes = _values(table["change"]).reshape(table.num_rows, -1, len(heads)).astype(np.float32)
    return heads, changes.mean(1, keepdims=True) if by_block else changes


def with_calibration(table: pa.Table, calibration: dict[str, str]) -> pa.Table:
    """A table of log-ratios or log-odds under compensation, which says what its residuals were fitted on."""
    return table.replace_schema_metadata({**table.schema.metadata, "calibration": json.dumps(calibration)})


def table_calibration(table: pa.Table) -> dict[str, str]:
    """What the residuals of a table under compensation were fitted on: the text's fingerprint, and the ridge."""
    return json.loads(table.schema.metadata[b"calibration"])


def contribution_table(
    units: Sequence[int], discounted: np.ndarray, unbiased: np.ndarray, heads: Sequence[int], *, lam: float
) -> pa.Table:
    """Columns unit, discounted (heads), unbiased (heads); flat head ids and λ of the discounted in the metadata.

    What each text adds to the change of toxicity without each head, (units, heads), with λ = `lam` and λ = 1. Kept in
    16 bits, whose rounding (1 in 2,000 of each) is far below the noise of sampling.
    """
    columns = {"unit": pa.array(units, pa.int32())}
    for name, values in (("discounted", discounted), ("unbiased", unbiased)):
        flat = pa.array(values.astype(np.float16).ravel(), pa.float16(), from_pandas=False)
        columns[name] = pa.FixedSizeListArray.from_arrays(flat, len(heads))
    about = {"heads": json.dumps([int(h) for h in heads]), "lambda": json.dumps(lam)}
    return pa.table(columns).replace_schema_metadata(about)


def table_contributions(table: pa.Table) -> tuple[float, np.ndarray, np.ndarray]:
    """λ, and the discounted and the unbiased contributions of a table, (units, heads) float32 each."""
    discounted, unbiased = (column_lists(table[name]).astype(np.float32) for name in ("discounted", "unbiased"))
    return json.loads(table.schema.metadata[b"lambda"]), discounted, unbiased


def sums_table(sums: PromptSums, *, lam: float, prompts_cut: int) -> pa.Table:
    """A row per prompt: prompt_id, group (code), n, f, f2, discounted (heads), unbiased (heads).

    In the metadata λ, and how many prompts of the texts were cut to the model's context.
    """
    columns = {"prompt_id": pa.array(sums.prompt, pa.int32()), "group": pa.array(sums.group, pa.int32())}
    columns |= {name: pa.array(getattr(sums, name), pa.float64()) for name in ("n", "f", "f2")}
    for name, values in sums.heads.items():
        flat = pa.array(np.ascontiguousarray(values, float).ravel(), pa.float64(), from_pandas=False)
        columns[name] = pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
    return pa.table(columns).replace_schema_metadata({"lambda": json.dumps(lam), PROMPTS_CUT: str(prompts_cut)})


def table_sums(table: pa.Table) -> tuple[float, PromptSums]:
    """λ, and the sums of a table that `sums_table` made."""
    prompt, group, n, f, f2 = (table[name].to_numpy() for name in ("prompt_id", "group", "n", "f", "f2"))
    heads = {name: column_lists(table[name]) for name in ("discounted", "unbiased")}
    return json.loads(table.schema.metadata[b"lambda"]), PromptSums(prompt, group, n, f, f2, heads)


def critic_table(weights: np.ndarray, texts: int) -> pa.Table:
    """Columns half, weights: a row for each half of the prompts; in the metadata how many texts it was learned from."""
    lists = pa.FixedSizeListArray.from_arrays(pa.array(weights.ravel(), pa.float64()), weights.shape[1])
    table = pa.table({"half": pa.array(range(len(weights)), pa.int32()), "weights": lists})
    return table.replace_schema_metadata({"texts": str(texts)})


def critic_weights(table: pa.Table) -> np.ndarray:
    """The weights of the critic of each half, (2, F)."""
    return column_lists(table["weights"])


def column_lists(column: pa.ChunkedArray) -> np.ndarray:
    """A column of lists of one length, (rows, length)."""
    return _values(column).reshape(len(column), -1)


def _values(column: pa.ChunkedArray) -> np.ndarray:
    return column.combine_chunks().flatten().to_numpy(zero_copy_only=False)


def _heads(table: pa.Table) -> list[int]:
    return json.loads(table.schema.metadata[b"heads"])
