"""The score table: one row per head, what `study` and the published files give, what selection and figures read.

`z_ppl` = perplexity without the head − with it (> 0: the model needs it); `z_bias.<axis>` = bias with the head −
without it (> 0: it drives that bias); `…_se` are standard errors. NaN means "not measured": it can be shown, but
`select_heads` refuses to rank by it. No torch here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from fasp_core.errors import InputError, nearest
from fasp_core.files.csv_files import open_csv
from fasp_core.files.reading import read_parquet, to_integers, to_numbers
from fasp_core.files.writing import write_atomic
from fasp_core.head import all_heads, head_of
from fasp_core.selection.description import (
    BiasVerdict,
    Described,
    IntactBias,
    IntactPerplexity,
    Orders,
    Provenance,
    from_record,
    to_record,
)
from fasp_core.selection.group_effects import GroupEffects
from fasp_core.stats.estimate import Estimate
from fasp_core.stats.target import MEAN_TOXICITY

if TYPE_CHECKING:
    import pyarrow as pa

META_KEY = b"fasp_head_scores"
REQUIRED = ("layer", "head", "z_ppl", "z_ppl_se")
BIAS, BIAS_SE = "z_bias.", "z_bias_se."
LEVEL, LEVEL_SE = "z_toxicity", "z_toxicity_se"
CSV_NOTE = "Read from a CSV file, which holds no reliability and no values of the intact model."
PPL_WITHOUT, BIAS_WITHOUT = "ppl_without_head", "bias_without_head."


@dataclass(frozen=True, eq=False)
class HeadScores:
    """Scores of all N = n_layers × heads_per_layer heads, checked when made; arrays are (N,), ordered by flat id.

    `frame` has the columns layer, head, z_ppl, z_ppl_se and, for every axis, z_bias.<axis>, z_bias_se.<axis>. It may
    have more: `z_toxicity` and `z_toxicity_se`, what heads do to the mean toxicity whatever the group; `magnitude_l2`,
    `mask_gradient_l2`, `activation_difference.<axis>`; `z_bias_unbiased.<axis>` with its error (by λ = 1, where z_bias
    is by advantages with λ < 1: docs/estimators.md); and, where a file gives knocked-out values instead of differences,
    `ppl_without_head` and `bias_without_head.<axis>`. As an axis, "toxicity" asks for the mean toxicity.
    `meta` says where they come from; `intact_ppl` and `intact` (by axis) hold the intact model's numbers and how well
    the heads' effects are known; `orders` {axis: {γ: flat ids}} are the stored orders of fasp_iterative;
    `group_effects` (by axis) is what each head does to every group, known of a study alone: files do not hold it.
    Raises InputError for a frame that does not hold every head once, in order, with finite (or NaN) numbers, and for
    flat ids that are no heads of the model.
    """

    frame: pd.DataFrame
    n_layers: int
    heads_per_layer: int
    meta: Provenance = field(default_factory=Provenance)
    intact_ppl: IntactPerplexity = field(default_factory=IntactPerplexity)
    intact: Mapping[str, IntactBias] = field(default_factory=dict)
    orders: Orders = field(default_factory=dict)
    group_effects: Mapping[str, GroupEffects] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "frame", _checked(self.frame, self.n_layers, self.heads_per_layer))
        for axis, known in self.intact.items():
            _check_heads(known.corrected_heads or (), self.n_heads, f"corrected heads of {axis}")
            if known.effective_share is not None and len(known.effective_share) != self.n_heads:
                raise InputError(
                    f"head scores: {axis} has {len(known.effective_share)} effective sample sizes for {self.n_heads} "
                    "heads; there must be one for each head"
                )
        for axis, by_gamma in self.orders.items():
            for gamma, order in by_gamma.items():
                _check_heads(order, self.n_heads, f"the order of {axis} at gamma {gamma}")

    def __repr__(self) -> str:
        biases = f" and z_bias of {', '.join(self.axes)}" if self.axes else ""
        return f"<HeadScores of {self.n_layers} layers × {self.heads_per_layer} heads: z_ppl{biases}>"

    @property
    def n_heads(self) -> int:
        """N, all heads of the model."""
        return self.n_layers * self.heads_per_layer

    @property
    def axes(self) -> list[str]:
        """The axes that have a z_bias, in the order of the columns."""
        return [name.removeprefix(BIAS) for name in self.frame.columns if name.startswith(BIAS)]

    @property
    def targets(self) -> list[str]:
        """What heads can be chosen for: the axes and, where it was scored, the mean toxicity."""
        return [*self.axes, *([MEAN_TOXICITY] if LEVEL in self.frame else [])]

    @property
    def z_ppl(self) -> np.ndarray:
        """Perplexity without the head − with it, (N,); > 0: the model needs it."""
        return self.column("z_ppl")

    @property
    def z_ppl_se(self) -> np.ndarray:
        """Standard error of `z_ppl`, (N,); NaN where not known."""
        return self.column("z_ppl_se")

    def z_bias(self, axis: str) -> np.ndarray:
        """Bias of `axis` (or the mean toxicity) with the head − without it, (N,); > 0: the head drives it."""
        return self.column(self.z_columns(axis)[0])

    def z_bias_se(self, axis: str) -> np.ndarray:
        """Standard error of `z_bias`, (N,); NaN where not known."""
        return self.column(self.z_columns(axis)[1])

    def z_columns(self, axis: str) -> tuple[str, str]:
        """The columns of `z_bias` and `z_bias_se`; raises InputError for an axis that was not scored."""
        target = self.known_axis(axis)
        return (LEVEL, LEVEL_SE) if target == MEAN_TOXICITY else (BIAS + target, BIAS_SE + target)

    @property
    def relative(self) -> bool:
        """Whether z is relative to the median head: the file held values without each head, and no intact model."""
        return PPL_WITHOUT in self.frame or any(BIAS_WITHOUT + axis in self.frame for axis in self.axes)

    @property
    def base_ppl(self) -> Estimate | None:
        """Perplexity of the intact model; None where the scores do not tell."""
        return self.intact_ppl.ppl

    def base_bias(self, axis: str) -> Estimate | None:
        """Bias of the intact model on `axis`; None where the scores do not tell."""
        return self._intact(axis).bias

    def base_bias_floor(self, axis: str) -> float | None:
        """The bias of `axis` that noise alone would give with as many texts; None where the scores do not tell."""
        return self._intact(axis).floor

    def base_bias_corrected(self, axis: str) -> Estimate | None:
        """Bias of the intact model on `axis` without what noise adds to it; None where the scores do not tell."""
        return self._intact(axis).corrected

    def reliability(self, axis: str) -> float | None:
        """Reliability of the heads' order by z_bias of `axis`, 1 at best; None where the scores do not tell."""
        return self._intact(axis).reliability

    def verdict(self, axis: str) -> BiasVerdict | None:
        """Whether `axis` has a bias at all; None where the scores do not tell."""
        return self._intact(axis).verdict

    @property
    def prompt_echo(self) -> dict[str, Estimate]:
        """The bias that the prompts alone have by the same scorer, by axis, where known. No head can change it."""
        return {axis: known.prompt_echo for axis, known in self.intact.items() if known.prompt_echo is not None}

    def _intact(self, axis: str) -> IntactBias:
        return self.intact.get(axis, IntactBias())

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
        """`axis` itself, of the `targets`; raises InputError if it was not scored."""
        if axis not in self.targets:
            by = f" by {self.meta.metric}" if self.meta.metric else ""
            raise InputError(f"no scores for axis '{axis}'{by}; {nearest(str(axis), self.targets)}")
        return axis

    def record(self) -> dict[str, Any]:
        """All that is known besides the table, as one object of plain JSON values (see `description`)."""
        return to_record(self.meta, self.intact_ppl, self.intact, self.orders)

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write the table, whole or not at all. A CSV cannot carry the `record`; Parquet does."""
        write_atomic(Path(path), lambda temporary: self.frame.to_csv(temporary, index=False))

    def to_parquet(self, path: str | os.PathLike[str]) -> None:
        """Write the table and the `record`, whole or not at all."""
        import pyarrow.parquet as pq

        table = self.to_table()
        write_atomic(Path(path), lambda temporary: pq.write_table(table, temporary))

    def to_table(self) -> pa.Table:
        """The frame as an Arrow table that carries the `record`."""
        import pyarrow as pa

        table = pa.Table.from_pandas(self.frame, preserve_index=False)
        return table.replace_schema_metadata({META_KEY: json.dumps(self.record()).encode()})

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> HeadScores:
        """A table written by `to_csv` or `to_parquet`, or a CSV of one's own with the same columns, rows in any order.

        Every further column must hold numbers too. Raises InputError that names the file, the row (the header is row 1)
        and how to correct it.
        """
        path = Path(path)
        if path.suffix == ".parquet":
            frame, metadata = read_parquet(path, REQUIRED)
            about = read_description(metadata, str(path))
        else:
            file = open_csv(path)
            frame = file.columns(REQUIRED, optional=None, numbers=None)
            about = from_record({"notes": [CSV_NOTE, *file.notes]})
        if about.meta.source is None:
            about = about._replace(meta=about.meta.model_copy(update={"source": path.name}))
        return _from_rows(frame, path, about)


def _checked(frame: pd.DataFrame, n_layers: int, heads_per_layer: int) -> pd.DataFrame:
    """A copy of the frame with a plain index, integer layer and head, and float columns; or an InputError."""
    if min(n_layers, heads_per_layer) < 1:
        raise InputError(f"head scores need at least one layer and head, not {n_layers} × {heads_per_layer}")
    missing = [name for name in REQUIRED if name not in frame]
    axes = [str(name).removeprefix(BIAS) for name in frame.columns if str(name).startswith(BIAS)]
    missing += [BIAS_SE + axis for axis in axes if BIAS_SE + axis not in frame]
    missing += [LEVEL_SE] if LEVEL in frame and LEVEL_SE not in frame else []
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
                f"head scores: {name} of head {head_of(row, heads_per_layer)} is {values[row]}; it must be finite, a "
                "standard error not negative, and what was not measured NaN"
            )
        frame[name] = values
    return frame


def _check_heads(flat: Sequence[int], n_heads: int, what: str) -> None:
    if len(set(flat)) != len(flat) or not all(0 <= head < n_heads for head in flat):
        raise InputError(f"head scores: {what} must name heads from 0 to {n_heads - 1}, each at most once")


def _from_rows(frame: pd.DataFrame, path: Path, about: Described) -> HeadScores:
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
        first = next(head for head in all_heads(n_layers, per_layer) if head not in there)
        raise InputError(
            f"{path}: head {first} is missing ({len(frame)} rows, but up to layer {n_layers - 1} and head "
            f"{per_layer - 1} there are {n_layers * per_layer}); add a row for every head"
        )
    try:
        return HeadScores(frame, n_layers, per_layer, *about)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def read_description(metadata: dict[bytes, bytes] | None, where: str) -> Described:
    """What `to_table` wrote beside the table; raises InputError, beginning with `where`, if it is something else."""
    try:
        return from_record(json.loads((metadata or {}).get(META_KEY, b"{}")))
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{where}: its description is damaged; export the scores again") from error
