"""The command `scores`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from fasp_core.cli.agreement import print_agreement, study_agreement
from fasp_core.cli.options import (
    AsJson,
    Axis,
    FileModel,
    Layers,
    ScoredMetric,
    ScorerName,
    Sort,
    Source,
    TableFile,
    Top,
)
from fasp_core.cli.output import print_base, print_json, print_table
from fasp_core.cli.sources import axis_of, open_source
from fasp_core.errors import InputError
from fasp_core.head import head_of
from fasp_core.stats.target import MEAN_TOXICITY
from fasp_core.words.numbers import format_estimate, z_label
from fasp_core.words.spoken import some_heads

if TYPE_CHECKING:
    from fasp_core.selection.head_scores import HeadScores


def scores(
    source: Source,
    axis: Axis = None,
    top: Top = 20,
    sort: Sort = "bias",
    metric: ScoredMetric = None,
    to: TableFile = None,
    scorer: ScorerName = None,
    model: FileModel = None,
    n_layers: Layers = None,
    as_json: AsJson = False,
) -> None:
    """List heads by their scores.

    z_bias > 0: the head drives that bias; z_ppl > 0: the model needs the head. After ± is one standard error. If bias
    was measured by both metrics, a line says how far they agree.
    """
    import numpy as np

    study, table = open_source(source, model, n_layers, metric, scorer, axis)
    axis = axis_of(study, table, axis)
    agreement = None if axis == MEAN_TOXICITY else study_agreement(study, axis, table)
    if to is not None:
        _write_table(table, to)
    values = table.z_bias(axis) if sort == "bias" else table.z_ppl
    order = np.argsort(-values, kind="stable")[: top or None]
    columns = {
        "z_bias": table.z_bias(axis),
        "z_bias_se": table.z_bias_se(axis),
        "z_ppl": table.z_ppl,
        "z_ppl_se": table.z_ppl_se,
    }
    heads = [
        dict(zip(("layer", "head"), head_of(i, table.heads_per_layer), strict=True))
        | {name: float(column[i]) for name, column in columns.items()}
        for i in order
    ]
    if as_json:
        about = {"source": source, "axis": axis, "n_heads": table.n_heads, "meta": table.record()}
        print_json({**about, "agreement": agreement and asdict(agreement), "heads": heads})
        return
    print_base(table, [axis])
    print_agreement(agreement)
    if len(heads) < table.n_heads:
        by = z_label(axis) if sort == "bias" else "z_ppl"
        print(f"The {len(heads)} of {some_heads(table.n_heads)} with the highest {by}; --top 0 lists all:")
    print_table(
        ("layer", "head", "z_toxicity" if axis == MEAN_TOXICITY else f"z_bias {axis}", "z_ppl"),
        [
            (
                h["layer"],
                h["head"],
                format_estimate(h["z_bias"], h["z_bias_se"], signed=True),
                format_estimate(h["z_ppl"], h["z_ppl_se"], signed=True),
            )
            for h in heads
        ],
    )


def _write_table(table: HeadScores, to: Path) -> None:
    if to.suffix not in (".csv", ".parquet"):
        raise InputError(f"{to}: head scores are written to .csv or .parquet files")
    table.to_csv(to) if to.suffix == ".csv" else table.to_parquet(to)
