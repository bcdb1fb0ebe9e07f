"""How the models of a comparison differ from a baseline's on test prompts, pooled over seeds. Pandas only."""

from __future__ import annotations

import pandas as pd

from fasp_core.comparison.table import AGAINST, ComparisonTable, pool
from fasp_core.models.compensation_choice import COMPENSATIONS
from fasp_core.selection.rules import METHODS

POINT = ["method", "gamma", "alpha", "compensate", *AGAINST]


def differences_on_test(table: ComparisonTable) -> pd.DataFrame:
    """A row for each pruned model and each other one that it was compared with, of the same α.

    The pooled row of the axis's bias: `relative` and its ends are the difference as a share of what the other model
    leaves, negative where this one leaves less. Beside it, ending in `_ppl`, the same of perplexity.
    """
    pooled = pool(table.differences)
    bias, ppl = (pooled[pooled["metric"] == name] for name in (f"bias.{table.axis}", "ppl"))
    both = bias.merge(ppl, on=POINT, suffixes=("", "_ppl"))
    places = {"against": METHODS, "against_compensate": COMPENSATIONS}  # FASP as published comes first
    return both.sort_values(AGAINST, key=lambda c: c.map(places[str(c.name)].index), kind="stable", ignore_index=True)
