"""The authors' published head scores, read plainly with pandas and json; tests skip where the files are absent."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fasp_core.selection.head_scores import HeadScores
from fasp_core.selection.score_files import read_head_scores

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "data" / "fasp-published"
JSON = "head_contributions.json"


def published_file(name: str) -> Path:
    path = FOLDER / name
    if not path.is_file():
        pytest.skip(
            f"published file {name} is not on this machine (expected in {FOLDER.relative_to(FOLDER.parents[3])})"
        )
    return path


@cache
def published_scores(model: str, kind: str) -> HeadScores:
    if kind == "json":
        return read_head_scores(published_file(JSON), model=model)
    return read_head_scores(published_file(f"head_scores_{model}.csv"))


@cache
def published_json() -> dict[str, Any]:
    return json.loads(published_file(JSON).read_text("utf-8"))


@cache
def published_rows(model: str) -> pd.DataFrame:
    """The CSV's rows that score heads."""
    rows = pd.read_csv(published_file(f"head_scores_{model}.csv"))
    return rows[rows["Split"] == "valid"]


def published_values(model: str, kind: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Perplexity and, by axis, bias without each head, as the authors' code averages them."""
    if kind == "json":
        entry = published_json()[model]
        axes = [name[8:-5] for name in entry if name.startswith("cont_to_") and name.endswith("_bias")]
        return np.array(entry["cont_to_ppl"]), {axis: np.array(entry[f"cont_to_{axis}_bias"]) for axis in axes}
    rows = published_rows(model)
    bias = rows.groupby(["Group", "Head id"])["Bias"].mean()
    axes = rows["Group"].unique()
    return rows.groupby("Head id")["PPL"].mean().to_numpy(), {axis: bias[axis].to_numpy() for axis in axes}
