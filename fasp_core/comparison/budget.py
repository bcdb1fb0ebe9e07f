"""What a comparison says within a perplexity budget, and which of its methods pruned the same heads. Pandas only."""

from __future__ import annotations

from typing import Any

import pandas as pd

from fasp_core.comparison.table import POINT, pool


def affordable(frame: pd.DataFrame, metric: str, limit: float) -> pd.DataFrame:
    """For each method and compensation, its change of `metric` on test at its best point that costs at most `limit`.

    Among the points whose perplexity rises by at most the share `limit`, the best is the one with the lowest `metric`,
    and both are judged on valid prompts: so the interval on test stays valid. A method without valid rows gets the
    largest α whose perplexity on test is within the limit, which looks at no bias. α = 0 is always affordable.
    One row each in the order of the test rows: the pooled row of `metric`, with `ppl_relative` beside it.
    """
    test, valid = (_with_cost(frame[frame["split"] == split], metric) for split in ("test", "valid"))
    key = ["method", "compensate", "gamma", "alpha"]
    judged = test.merge(valid[[*key, "ppl_relative", "relative"]], on=key, how="left", suffixes=("", "_valid"))
    best = []
    for _, points in judged.groupby(["method", "compensate"], sort=False):
        known = points["relative_valid"].notna()
        if known.any():
            points = points[known | (points["alpha"] == 0)].fillna({"ppl_relative_valid": 0.0, "relative_valid": 0.0})
            within = points[(points["ppl_relative_valid"] <= limit) | (points["alpha"] == 0)]
            best.append(within.nsmallest(1, "relative_valid"))
        else:
            within = points[(points["ppl_relative"] <= limit) | (points["alpha"] == 0)]
            best.append(within.nlargest(1, "alpha"))
    chosen = pd.concat(best) if best else judged
    return chosen.drop(columns=["ppl_relative_valid", "relative_valid"]).reset_index(drop=True)


def repeated_methods(frame: pd.DataFrame) -> dict[str, str]:
    """Methods whose every point prunes the same heads as another method's, and that other one, which comes first.

    Their curves lie on each other, so one of them says it all.
    """
    sets: dict[str, frozenset[tuple[Any, ...]]] = {}
    for method, rows in frame.groupby("method", sort=False):
        points = rows[["alpha", "compensate", "seed", "split", "heads"]].drop_duplicates()
        sets[method] = frozenset(points.itertuples(index=False, name=None))
    first: dict[frozenset[tuple[Any, ...]], str] = {}
    return {method: first[points] for method, points in sets.items() if first.setdefault(points, method) != method}


def _with_cost(frame: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The pooled rows of `metric`, each with the relative rise of perplexity of its point."""
    pooled = pool(frame)
    ppl = pooled.loc[pooled["metric"] == "ppl", [*POINT[:-1], "relative"]].rename(columns={"relative": "ppl_relative"})
    return pooled[pooled["metric"] == metric].merge(ppl, on=POINT[:-1])
