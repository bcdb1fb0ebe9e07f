"""The authors' published head scores: per-seed CSV files and `head_contributions.json`.

Both hold the bias and the perplexity of the model *without* each head and nothing of the intact model. So
z = difference to the median head (most heads hardly matter), and `meta.notes` says so. The knocked-out values stay
in the table, since a rule must not depend on how a difference was rounded.
"""

from __future__ import annotations

import json
import math
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fasp_core.errors import InputError, nearest
from fasp_core.files.csv_files import CsvFile
from fasp_core.files.reading import to_integers, to_numbers
from fasp_core.selection.description import IntactBias, Named, Provenance
from fasp_core.selection.head_scores import BIAS, BIAS_SE, BIAS_WITHOUT, PPL_WITHOUT, HeadScores
from fasp_core.stats.resampling import spearman

COLUMNS = ("Group", "Bias", "Head id", "Seed", "Split", "PPL")
NUMBERS = ("Bias", "Head id", "Seed", "PPL")
SCORED_SPLIT = "valid"
MAX_HEADS = 100_000
MAX_VALUE = 1e100  # squares of it are still numbers
UNPROTECTED_SHARE = 0.7  # reliability is that of the heads which the default γ leaves unprotected
WEIGHT_SCORES = {"magnitude_l2_structured": "magnitude_l2", "mask_gradient_l2_structured": "mask_gradient_l2"}

# (layers, heads per layer), by the last part of the model's name
LAYOUTS = {
    "distilgpt2": (6, 12),
    "gpt2": (12, 12),
    "gpt2-medium": (24, 16),
    "gpt2-large": (36, 20),
    "gpt2-xl": (48, 25),
    "gpt-neo-125M": (12, 12),
    "gpt-neo-1.3B": (24, 16),
    "gpt-neo-2.7B": (32, 20),
    "gpt-j-6B": (28, 16),
    "Llama-2-7b-hf": (32, 32),
    "Llama-2-7b-chat-hf": (32, 32),
    "opt-125m": (12, 12),
    "opt-350m": (24, 16),
    "opt-1.3b": (24, 32),
    "bloom-560m": (24, 16),
    "bloom-1b1": (24, 16),
    "pythia-70m": (6, 8),
    "pythia-160m": (12, 12),
    "pythia-410m": (24, 16),
    "pythia-1b": (16, 8),
    "pythia-1.4b": (24, 16),
}

MEDIAN_NOTE = (
    "The file holds no values of the intact model: z_ppl and z_bias are differences to the median head, so their order "
    "is meaningful and their zero is not."
)


def is_published_csv(file: CsvFile) -> bool:
    """Whether a CSV's header has the authors' `Head id` column."""
    return "Head id" in file.header


def read_seed_scores(file: CsvFile, *, model: str | None, n_layers: int | None) -> HeadScores:
    """The per-seed CSV: a row per head (`Head id`, 1-based) × seed × axis (`Group`), with `Bias` and `PPL`.

    Only `Split == "valid"` scores heads. A head's value is the mean over its rows (of perplexity: over those of all
    axes, as published). The error of a z_bias is that between seeds, sd / √seeds, of what z_bias is: the difference to
    the median head, of the same seed; what raises a seed's values for all heads alike is no error of it. Reliability is
    the mean Spearman correlation between two seeds over the 70 % least critical heads, Spearman–Brown corrected to all
    seeds.
    """
    path = file.path
    rows = _clean_rows(file.columns(COLUMNS, optional=["Model"], numbers=NUMBERS), path)
    named = _one_model(rows, path) or _model_in(path.stem)
    if model and _model_in(named or "") not in (None, _model_in(model)):
        raise InputError(f"{path}: holds scores of '{named}', not of '{model}'; leave model out")
    model = model or named
    layers, per_layer = _layout(model, int(rows["Head id"].max()), n_layers, path)
    n_heads = layers * per_layer
    outside = np.flatnonzero(rows["Head id"] > n_heads)
    if outside.size:
        row = int(outside[0])
        raise InputError(
            f"{path}, row {row + 2}: Head id {rows['Head id'][row]} is out of range: {model or 'the model'} has "
            f"{layers} layers × {per_layer} heads, so ids are 1 to {n_heads}"
        )
    scored = rows[rows["Split"] == SCORED_SPLIT]
    if scored.empty:
        raise InputError(f"{path}: no row with Split '{SCORED_SPLIT}', and only those score heads")
    flat = np.arange(1, n_heads + 1)
    ppl = _exact_means(scored, "PPL", flat)
    columns: dict[str, np.ndarray] = {PPL_WITHOUT: ppl}
    errors, intact, unmeasured = {}, {}, []
    critical = np.argsort(np.where(np.isnan(ppl), np.inf, ppl), kind="stable")
    unprotected = critical[: math.floor(UNPROTECTED_SHARE * n_heads)]
    for axis in sorted(scored["Group"].unique()):
        part = scored[scored["Group"] == axis]
        name = BIAS_WITHOUT + axis
        columns[name] = _exact_means(part, "Bias", flat)
        by_seed = part.pivot(index="Head id", columns="Seed", values="Bias").reindex(flat)
        errors[name] = (by_seed - by_seed.median()).sem(axis=1).to_numpy()
        intact[axis] = IntactBias(reliability=_between_seeds(by_seed.to_numpy()[unprotected]))
        unmeasured += [axis] if np.isnan(columns[name]).any() else []
    notes = [MEDIAN_NOTE, "All seeds share one text, so the error of z_ppl is not known.", *file.notes]
    notes += [f"Some heads have no value for {axis}." for axis in unmeasured]
    if _differs_between_groups(scored):
        notes.append("The perplexity of one head differs between the axes of this file; their mean is used.")
    meta = Provenance(source=path.name, model=Named(name=model), n_seeds=int(scored["Seed"].nunique()), notes=notes)
    return _table(columns, errors, layers, per_layer, meta, intact)


def read_contributions(text: str, path: Path, *, model: str | None, n_layers: int | None) -> HeadScores:
    """One model of `head_contributions.json`: flat lists `cont_to_<axis>_bias`, `cont_to_ppl` and weight scores.

    NaN (or null) is a head that was not measured. There are no seeds, hence no errors and no reliability.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        place = f", row {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise InputError(f"{path}{place}: not JSON; get the file again") from error
    if not (isinstance(data, dict) and data and all(isinstance(entry, dict) for entry in data.values())):
        raise InputError(f"{path}: not a table of head contributions, which is {{model: {{score: [numbers]}}}}")
    if model is None and len(data) == 1:
        model = next(iter(data))
    if model is None:
        raise InputError(
            f"{path}: name the model whose scores to read (option model); it holds: {', '.join(sorted(data))}"
        )
    if model not in data:
        raise InputError(f"{path}: no scores of '{model}'; {nearest(model, data)}")
    entry, where = data[model], f"{path}, {model}"
    axes = sorted(m[1] for m in (re.fullmatch(r"cont_to_(.+)_bias", name) for name in entry) if m)
    if "cont_to_ppl" not in entry or not axes:
        missing = "cont_to_<axis>_bias" if "cont_to_ppl" in entry else "cont_to_ppl"
        raise InputError(f"{where}: no list '{missing}'; it holds: {', '.join(sorted(entry))}")
    names = {"cont_to_ppl": PPL_WITHOUT} | {f"cont_to_{axis}_bias": BIAS_WITHOUT + axis for axis in axes}
    names |= {name: column for name, column in WEIGHT_SCORES.items() if name in entry}
    columns = {column: _numbers(entry[name], f"{where}, {name}") for name, column in names.items()}
    n_heads = columns[PPL_WITHOUT].size
    for name, column in names.items():
        if columns[column].size != n_heads:
            raise InputError(f"{where}: {name} has {columns[column].size} values, cont_to_ppl has {n_heads}")
    layers, per_layer = _layout(model, n_heads, n_layers, path)
    if layers * per_layer != n_heads:
        raise InputError(f"{where}: {n_heads} heads, but {model} has {layers} layers × {per_layer} heads")
    notes = [MEDIAN_NOTE, "The file holds no seeds: errors and reliability are unknown."]
    notes += [f"Not every head has a value in '{name}'." for name, c in names.items() if np.isnan(columns[c]).any()]
    meta = Provenance(source=path.name, model=Named(name=model), notes=notes)
    return _table(columns, {}, layers, per_layer, meta, {})


def _table(
    columns: dict[str, np.ndarray],
    errors: dict[str, np.ndarray],
    layers: int,
    per_layer: int,
    meta: Provenance,
    intact: dict[str, IntactBias],
) -> HeadScores:
    """Knocked-out values (N) by column, with errors where known, to z against the median head."""
    unknown = np.full(layers * per_layer, np.nan)
    ppl = columns[PPL_WITHOUT]
    frame = {
        "layer": np.repeat(np.arange(layers), per_layer),
        "head": np.tile(np.arange(per_layer), layers),
        "z_ppl": ppl - _median(ppl),
        "z_ppl_se": unknown,
    }
    for name, values in columns.items():
        if name.startswith(BIAS_WITHOUT):
            axis = name.removeprefix(BIAS_WITHOUT)
            frame[BIAS + axis] = _median(values) - values
            frame[BIAS_SE + axis] = errors.get(name, unknown)
    return HeadScores(pd.DataFrame(frame | columns), layers, per_layer, meta, intact=intact)


def _clean_rows(frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Typed rows; raises InputError for the first bad cell, unknown split, empty axis or repeated row."""
    frame["Head id"] = to_integers(frame["Head id"], path, "Head id", low=1, high=MAX_HEADS)
    frame["Seed"] = to_integers(frame["Seed"], path, "Seed", low=0)
    for name in ("Bias", "PPL"):
        frame[name] = to_numbers(frame[name], path, name, positive=True, high=MAX_VALUE)
    for name, allowed in (("Split", r"valid|test"), ("Group", r"[A-Za-z][A-Za-z0-9_ -]{0,60}")):
        bad = np.flatnonzero(~frame[name].str.fullmatch(allowed).to_numpy(bool))
        if bad.size:
            row = int(bad[0])
            mend = "known: test, valid" if name == "Split" else "it must be the name of an axis, as gender_and_sex"
            raise InputError(f"{path}, row {row + 2}: {name} is {frame[name][row][:40]!r}; {mend}")
    repeated = np.flatnonzero(frame.duplicated(["Group", "Head id", "Seed", "Split"]))
    if repeated.size:
        row = int(repeated[0])
        raise InputError(
            f"{path}, row {row + 2}: Head id {frame['Head id'][row]}, seed {frame['Seed'][row]}, "
            f"{frame['Group'][row]}, {frame['Split'][row]} is there twice; keep one row"
        )
    return frame


def _one_model(rows: pd.DataFrame, path: Path) -> str | None:
    """The name in the `Model` column, if there is one; raises InputError if there are several."""
    if "Model" not in rows:
        return None
    others = np.flatnonzero(rows["Model"] != rows["Model"][0])
    if others.size:
        row = int(others[0])
        raise InputError(
            f"{path}, row {row + 2}: model '{rows['Model'][row][:40]}', but row 2 has '{rows['Model'][0][:40]}'; keep "
            "one model per file"
        )
    return rows["Model"][0] or None


def _model_in(name: str) -> str | None:
    """The known model a name ends in (`head_scores_EleutherAI_gpt-neo-1.3B` → `gpt-neo-1.3B`), or None."""
    for known in sorted(LAYOUTS, key=len, reverse=True):
        if re.search(rf"(^|[/_]){re.escape(known)}($|_)", name, flags=re.IGNORECASE):
            return known
    return None


def _layout(model: str | None, n_heads: int, n_layers: int | None, path: Path) -> tuple[int, int]:
    """(layers, heads per layer) from `n_layers`, else from the model's name."""
    if n_layers is not None:
        if n_layers < 1 or n_heads % n_layers:
            raise InputError(f"{path}: {n_heads} heads cannot be spread over {n_layers} layers; correct n_layers")
        return n_layers, n_heads // n_layers
    known = _model_in(model or "")
    if known is None:
        named = f"of model '{model}'" if model else "of its model"
        raise InputError(
            f"{path}: the layout {named} is not known; give its number of layers (option n_layers), or as model "
            f"one of: {', '.join(LAYOUTS)}"
        )
    return LAYOUTS[known]


def _exact_means(rows: pd.DataFrame, name: str, flat: np.ndarray) -> np.ndarray:
    """Mean of each head's rows, correctly rounded whatever their order, so that equal rows give equal means."""
    means = rows.groupby("Head id")[name].agg(lambda x: math.fsum(x) / len(x))
    return means.reindex(flat).to_numpy(float)


def _differs_between_groups(rows: pd.DataFrame) -> bool:
    by_group = rows.groupby(["Head id", "Group"])["PPL"].mean().groupby("Head id").agg(["min", "max"])
    return bool((by_group["max"] > 1.001 * by_group["min"]).any())


def _between_seeds(values: np.ndarray) -> float | None:
    """Mean Spearman ρ between the columns of (heads, seeds), corrected to all k seeds: kρ / (1 + (k − 1)ρ).

    A ρ below 0 is chance and given as it is; None with fewer than two seeds.
    """
    rhos = [spearman(values[:, a], values[:, b]) for a, b in combinations(range(values.shape[1]), 2)]
    rhos = [rho for rho in rhos if math.isfinite(rho)]
    if not rhos:
        return None
    rho, k = float(np.mean(rhos)), values.shape[1]
    return k * rho / (1 + (k - 1) * rho) if rho > 0 else rho


def _median(values: np.ndarray) -> float:
    return float(np.nanmedian(values)) if np.isfinite(values).any() else math.nan


def _numbers(values: Any, where: str) -> np.ndarray:
    """A JSON list of numbers as float64; null and NaN are NaN."""
    if not isinstance(values, list) or not values:
        raise InputError(f"{where}: must be a list of numbers")
    for place, value in enumerate(values):
        number = isinstance(value, int | float) and not isinstance(value, bool)  # an int may be beyond floats
        if value is not None and not (number and (value != value or 0 <= value <= MAX_VALUE)):
            raise InputError(
                f"{where}[{place}]: is {str(value)[:40]!r} and must be a number from 0 to {MAX_VALUE:g}, or NaN"
            )
    return np.array([math.nan if value is None else float(value) for value in values])
