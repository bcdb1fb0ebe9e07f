"""The score table: one row per head, what `study` and the published files give, what selection and figures read.

`z_ppl` = perplexity without the head − with it (> 0: the model needs it); `z_bias.<axis>` = bias with the head −
without it (> 0: it drives that bias); `…_se` are standard errors. NaN means "not measured": it can be shown, but
`select_heads` refuses to rank by it. No torch here.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, PositiveInt

from .errors import InputError, nearest
from .files import write_atomic
from .tables import MAX_JSON_BYTES, read_csv_columns, read_parquet, read_text, to_integers, to_numbers

if TYPE_CHECKING:
    import pyarrow as pa

META_KEY = b"fasp_head_scores"
REQUIRED = ("layer", "head", "z_ppl", "z_ppl_se")
BIAS, BIAS_SE = "z_bias.", "z_bias_se."
PPL_WITHOUT, BIAS_WITHOUT = "ppl_without_head", "bias_without_head."


@dataclass(frozen=True, eq=False)
class HeadScores:
    """Scores of all N = n_layers × heads_per_layer heads, checked when made; arrays are (N,), ordered by flat id.

    `frame` has the columns layer, head, z_ppl, z_ppl_se and, for every axis, z_bias.<axis>, z_bias_se.<axis>. It may
    have more: `magnitude_l2`, `mask_gradient_l2`, and, where a file gives knocked-out values instead of differences,
    `ppl_without_head` and `bias_without_head.<axis>`.
    `meta` holds plain JSON values: source, model, fingerprints, base_ppl, base_ppl_se, base_bias {axis: value},
    base_bias_se, what noise does to it (bias_floor, base_bias_corrected, base_bias_corrected_se, by axis),
    reliability {axis or "ppl": value}, n_samples {axis: n}, notes [str]; any of them may be missing.
    Raises InputError for a frame that does not hold every head once, in order, with finite (or NaN) numbers.
    """

    frame: pd.DataFrame
    n_layers: int
    heads_per_layer: int
    meta: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "frame", _checked(self.frame, self.n_layers, self.heads_per_layer))

    @property
    def n_heads(self) -> int:
        """N, all heads of the model."""
        return self.n_layers * self.heads_per_layer

    @property
    def axes(self) -> list[str]:
        """The axes that have a z_bias, in the order of the columns."""
        return [name.removeprefix(BIAS) for name in self.frame.columns if name.startswith(BIAS)]

    @property
    def z_ppl(self) -> np.ndarray:
        """Perplexity without the head − with it, (N,); > 0: the model needs it."""
        return self.column("z_ppl")

    @property
    def z_ppl_se(self) -> np.ndarray:
        """Standard error of `z_ppl`, (N,); NaN where not known."""
        return self.column("z_ppl_se")

    def z_bias(self, axis: str) -> np.ndarray:
        """Bias of `axis` with the head − without it, (N,); > 0: the head drives that bias."""
        return self.column(BIAS + self.known_axis(axis))

    def z_bias_se(self, axis: str) -> np.ndarray:
        """Standard error of `z_bias`, (N,); NaN where not known."""
        return self.column(BIAS_SE + self.known_axis(axis))

    def importance(self) -> np.ndarray:
        """What orders heads by how much the model needs them, (N,), highest first.

        `z_ppl`, or the knocked-out perplexity where that is what was given: z = value − median has the same order, but
        rounding the difference could make two different values equal.
        """
        return self.column(PPL_WITHOUT if PPL_WITHOUT in self.frame else "z_ppl")

    def drive(self, axis: str) -> np.ndarray:
        """What orders heads by how much they drive the bias of `axis`, (N,), highest first; see `importance`."""
        without = BIAS_WITHOUT + self.known_axis(axis)
        return -self.column(without) if without in self.frame else self.z_bias(axis)

    def column(self, name: str) -> np.ndarray:
        """A column of numbers, (N,) float64, not to be written to; raises InputError if there is none of this name."""
        if name not in self.frame:
            raise InputError(f"these scores have no column '{name}'; {nearest(name, map(str, self.frame.columns))}")
        values = self.frame[name].to_numpy(dtype=float, copy=True)
        values.flags.writeable = False
        return values

    def known_axis(self, axis: str) -> str:
        """`axis` itself; raises InputError if it was not scored."""
        if axis not in self.axes:
            raise InputError(f"no scores for axis '{axis}'; {nearest(str(axis), self.axes)}")
        return axis

    def to_csv(self, path: str | os.PathLike) -> None:
        """Write the table, whole or not at all. A CSV cannot carry `meta`; Parquet does."""
        write_atomic(Path(path), lambda temporary: self.frame.to_csv(temporary, index=False))

    def to_parquet(self, path: str | os.PathLike) -> None:
        """Write the table and `meta`, whole or not at all."""
        import pyarrow.parquet as pq

        table = self.to_table()
        write_atomic(Path(path), lambda temporary: pq.write_table(table, temporary))

    def to_table(self) -> pa.Table:
        """The frame as an Arrow table that carries `meta`."""
        import pyarrow as pa

        table = pa.Table.from_pandas(self.frame, preserve_index=False)
        return table.replace_schema_metadata({META_KEY: json.dumps(_plain(self.meta)).encode()})

    @classmethod
    def read(cls, path: str | os.PathLike) -> HeadScores:
        """A table written by `to_csv` or `to_parquet`, or a CSV of one's own with the same columns, rows in any order.

        Every further column must hold numbers too.

        Raises InputError that names the file, the row (the header is row 1) and the mend.
        """
        path = Path(path)
        if path.suffix == ".parquet":
            frame, metadata = read_parquet(path, REQUIRED)
            meta = read_meta(metadata, str(path))
        else:
            frame = read_csv_columns(read_text(path), path, REQUIRED, optional=None)
            meta = {"notes": ["Read from a CSV file, which holds no reliability and no values of the intact model."]}
        return _from_rows(frame, path, {"source": path.name, **meta})


def read_head_scores(path: str | os.PathLike, *, model: str | None = None, n_layers: int | None = None) -> HeadScores:
    """Head scores from a file: the authors' published CSV or JSON (see `published`), or our own CSV or Parquet.

    `model` chooses from `head_contributions.json`, and names the model of a CSV that does not; `n_layers` is needed
    only for models whose layout is not known. Raises InputError that names the file, the place in it and the mend.
    """
    from . import published

    path = Path(path)
    if path.suffix == ".json":
        return published.read_contributions(read_text(path, MAX_JSON_BYTES), path, model=model, n_layers=n_layers)
    if path.suffix == ".csv":
        text = read_text(path)
        if published.is_published_csv(text):
            return published.read_seed_scores(text, path, model=model, n_layers=n_layers)
        return HeadScores.read(path)
    if path.suffix == ".parquet":
        return HeadScores.read(path)
    raise InputError(f"{path}: head scores are read from .csv, .json or .parquet files")


def _checked(frame: pd.DataFrame, n_layers: int, heads_per_layer: int) -> pd.DataFrame:
    """A copy of the frame with a plain index, integer layer and head, and float columns; or an InputError."""
    if min(n_layers, heads_per_layer) < 1:
        raise InputError(f"head scores need at least one layer and head, not {n_layers} × {heads_per_layer}")
    missing = [name for name in REQUIRED if name not in frame]
    axes = [str(name).removeprefix(BIAS) for name in frame.columns if str(name).startswith(BIAS)]
    missing += [BIAS_SE + axis for axis in axes if BIAS_SE + axis not in frame]
    if missing:
        raise InputError(f"head scores lack the column '{missing[0]}'; add it (standard errors may be NaN)")
    n_heads = n_layers * heads_per_layer
    if len(frame) != n_heads:
        raise InputError(
            f"head scores have {len(frame)} rows, but {n_layers} layers × {heads_per_layer} heads are {n_heads}"
        )
    frame = frame.reset_index(drop=True)
    flat = np.arange(n_heads)
    for name, expected in (("layer", flat // heads_per_layer), ("head", flat % heads_per_layer)):
        given = frame[name].to_numpy()
        wrong = np.flatnonzero(given != expected)
        if wrong.size:
            row = int(wrong[0])
            raise InputError(
                f"head scores are not in order: at place {row}, {name} is {given[row]} and must be {expected[row]} "
                "(each head once, ordered by layer, then head)"
            )
        frame[name] = expected
    for name in frame.columns.difference(["layer", "head"], sort=False):
        if not (pd.api.types.is_numeric_dtype(frame[name]) and not pd.api.types.is_bool_dtype(frame[name])):
            raise InputError(f"head scores: column '{name}' does not hold numbers")
        values = frame[name].to_numpy(dtype=float)
        bad = np.isinf(values) | (values < 0 if str(name).split(".")[0].endswith("_se") else False)
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise InputError(
                f"head scores: {name} of head {divmod(row, heads_per_layer)} is {values[row]}; it must be finite, a "
                "standard error not negative, and what was not measured NaN"
            )
        frame[name] = values
    return frame


def _from_rows(frame: pd.DataFrame, path: Path, meta: dict[str, Any]) -> HeadScores:
    """Rows in any order to a checked table; the layout is as large as the largest layer and head."""
    for name in ("layer", "head"):
        frame[name] = to_integers(frame[name], path, name, low=0)
    for name in frame.columns.difference(["layer", "head"], sort=False):
        frame[name] = to_numbers(frame[name], path, name, allow_missing=True)
    repeated = frame.duplicated(["layer", "head"])
    if repeated.any():
        row = int(np.flatnonzero(repeated)[0])
        head = (int(frame["layer"][row]), int(frame["head"][row]))
        raise InputError(f"{path}, row {row + 2}: head {head} is there twice; keep one row per head")
    frame = frame.sort_values(["layer", "head"], ignore_index=True)
    n_layers, per_layer = int(frame["layer"].max()) + 1, int(frame["head"].max()) + 1
    if len(frame) != n_layers * per_layer:
        there = set(zip(frame["layer"], frame["head"], strict=True))
        first = next(h for h in (divmod(flat, per_layer) for flat in range(len(frame) + 1)) if h not in there)
        raise InputError(
            f"{path}: head {first} is missing ({len(frame)} rows, but up to layer {n_layers - 1} and head "
            f"{per_layer - 1} there are {n_layers * per_layer}); add a row for every head"
        )
    try:
        return HeadScores(frame=frame, n_layers=n_layers, heads_per_layer=per_layer, meta=meta)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


class _Named(BaseModel):
    """What a model, prompt set or text is called in `meta`."""

    model_config = ConfigDict(extra="allow", strict=True)
    name: str | None = None
    ref: str | None = None
    revision: str | None = None
    fingerprint: str | None = None
    head_dim: PositiveInt | None = None


class _Meta(BaseModel):
    """The parts of `meta` that this program uses, and what they must be; there may be more."""

    model_config = ConfigDict(extra="allow", strict=True)
    source: str | None = None
    model: _Named | str | None = None
    base_ppl: float | None = None
    base_ppl_se: float | None = None
    base_bias: dict[str, float | None] = {}
    base_bias_se: dict[str, float | None] = {}
    bias_floor: dict[str, float | None] = {}
    base_bias_corrected: dict[str, float | None] = {}
    base_bias_corrected_se: dict[str, float | None] = {}
    reliability: dict[str, float | None] = {}
    n_samples: dict[str, int] = {}
    scorer: str | None = None
    scorer_fingerprint: str | None = None
    prompts: _Named | None = None
    text: _Named | None = None
    settings: dict[str, Any] = {}
    versions: dict[str, str] = {}
    notes: list[str] = []


def read_meta(metadata: dict[bytes, bytes] | None, where: str) -> dict[str, Any]:
    """The `meta` that `to_table` wrote; raises InputError, beginning with `where`, if it is not what that writes."""
    try:
        data = _Meta.model_validate(json.loads((metadata or {}).get(META_KEY, b"{}")))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: its description is damaged; export the scores again") from error
    return data.model_dump(exclude_unset=True)


def _plain(value: Any) -> Any:
    """JSON values: numpy numbers become Python's, NaN becomes None."""
    if isinstance(value, dict):
        return {str(key): _plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
