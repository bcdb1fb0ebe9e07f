"""read_head_scores(): head scores from a file of ours or a published one."""

from __future__ import annotations

import os
from pathlib import Path

from fasp_core.errors import InputError
from fasp_core.files.csv_files import open_csv
from fasp_core.files.reading import read_text
from fasp_core.limits import MAX_JSON_BYTES
from fasp_core.selection import published
from fasp_core.selection.head_scores import HeadScores


def read_head_scores(
    path: str | os.PathLike[str], *, model: str | None = None, n_layers: int | None = None
) -> HeadScores:
    """Head scores from a file: the authors' published CSV or JSON (see `published`), or our own CSV or Parquet.

    `model` chooses from `head_contributions.json`, and names the model of a CSV that does not; `n_layers` is needed
    only for models whose layout is not known. Raises InputError that names the file, the place in it and how to correct
    it.
    """
    path = Path(path)
    if path.suffix == ".json":
        return published.read_contributions(read_text(path, MAX_JSON_BYTES), path, model=model, n_layers=n_layers)
    if path.suffix == ".csv":
        file = open_csv(path)
        if published.is_published_csv(file):
            return published.read_seed_scores(file, model=model, n_layers=n_layers)
    if path.suffix in (".csv", ".parquet"):
        return HeadScores.read(path)
    raise InputError(f"{path}: head scores are read from .csv, .json or .parquet files")
