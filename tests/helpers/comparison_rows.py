"""Rows of a comparison, made up."""

from __future__ import annotations

import pandas as pd

AXIS = "gender_and_sex"


def valid_rows(entries) -> pd.DataFrame:
    """(γ, relative rise of perplexity, relative change of bias) as rows of method fasp at α = 0.1, before = 1."""
    rows = []
    for gamma, ppl, bias in entries:
        for metric, change in (("ppl", ppl), (f"bias.{AXIS}", bias)):
            rows.append(
                {
                    "method": "fasp",
                    "gamma": gamma,
                    "alpha": 0.1,
                    "compensate": "none",
                    "seed": 0,
                    "split": "valid",
                    "metric": metric,
                    "n_pruned": 1,
                    "heads": "0.0",
                    "before": 1.0,
                    "after": 1 + change,
                    "after_low": 1.0,
                    "after_high": 1.0,
                    "change": change,
                    "change_se": 0.1,
                    "change_low": change - 0.2,
                    "change_high": change + 0.2,
                    "predicted": 0.0,
                    "n": 100,
                }
            )
    return pd.DataFrame(rows)
