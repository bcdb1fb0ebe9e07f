"""The command `select`."""

from __future__ import annotations

from dataclasses import asdict

from fasp_core.cli.options import (
    Alpha,
    AsJson,
    Axis,
    Compensation,
    FileModel,
    Gamma,
    Layers,
    Method,
    ScoredMetric,
    ScorerName,
    Seed,
    SelectionBudget,
    Source,
)
from fasp_core.cli.output import chosen_by, print_heads, print_json
from fasp_core.cli.sources import open_source, select_by, share_within


def select(
    source: Source,
    axis: Axis = None,
    gamma: Gamma = 0.3,
    alpha: Alpha = 0.1,
    budget_ppl: SelectionBudget = None,
    method: Method = "fasp",
    seed: Seed = 0,
    metric: ScoredMetric = None,
    compensate: Compensation = None,
    scorer: ScorerName = None,
    model: FileModel = None,
    n_layers: Layers = None,
    as_json: AsJson = False,
) -> None:
    """Choose the heads to prune.

    Method fasp protects a share gamma of all heads, the highest by z_ppl; of the others it takes a share alpha of all
    heads, the highest by z_bias. Method fasp_joint chooses the set as a whole, by what every head does to every group;
    it may prune fewer, and says why. Where least squares takes the heads' place, they are chosen by the scores under
    compensation, if there are any (see: score --compensated).
    """
    study, table = open_source(source, model, n_layers, metric, scorer, axis, compensate or "none")
    if budget_ppl is not None and method == "fasp_iterative":
        alpha = share_within(study, table, axis, gamma, budget_ppl, compensate or "none")
        budget_ppl = None
    selection = select_by(study, table, axis, gamma, alpha, method, seed, budget_ppl)
    if as_json:
        print_json({"source": source, **asdict(selection), "note": selection.note})
        return
    print_heads(
        selection.pruned,
        f"{len(selection.pruned)} of {table.n_heads} heads pruned, {len(selection.protected)} protected, by "
        f"{chosen_by(selection, table.meta.metric)}",
    )
    if selection.note:
        print(f"note: {selection.note}")
