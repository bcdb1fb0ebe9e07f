"""What a study's shards hold, as the samples that `stats` estimates from, and as tables for people. No torch here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import pyarrow as pa

from fasp_core.data.pairs import PairSet
from fasp_core.errors import InputError, nearest
from fasp_core.stats.axis_sums import AxisSamples
from fasp_core.stats.log_odds import OddsSamples
from fasp_core.stats.perplexity import WindowSamples
from fasp_core.study.folder import StudyFolder
from fasp_core.study.shard_names import (
    GRADIENT,
    KNOCKOUT,
    ODDS,
    ODDS_KNOCKOUT,
    PAIRS,
    RETOXICITY,
    SAMPLES,
    TEXT,
    TOXICITY,
    measured_kind,
    shard_name,
    shard_of,
)
from fasp_core.study.shard_tables import column_lists, table_changes, table_odds, table_prompts_cut, table_ratios

ODDS_COLUMNS = ("prompt_id", "cell", "block")


def likelihood_axes(study: StudyFolder, *, compensated: bool = False) -> list[str]:
    """The axes that have log-odds, or those that have them under compensation, in the order of the prompt set."""
    if "likelihood" not in study.metrics:
        return []
    kind = measured_kind(ODDS, compensated=compensated)
    return [axis for axis in study.prompts.axes if study.shard_names(kind, axis)]


def measured_axes(study: StudyFolder, metric: str, *, compensated: bool = False) -> list[str]:
    """The axes that have scores by "toxicity" or "likelihood"; under compensation there are some by likelihood only."""
    if metric == "likelihood":
        return likelihood_axes(study, compensated=compensated)
    return [] if compensated else study.axes


def scored_axes(study: StudyFolder) -> list[str]:
    """Every axis that has scores by any metric, each once."""
    if not study.has_model:
        return study.axes
    return list(dict.fromkeys(axis for metric in study.metrics for axis in measured_axes(study, metric)))


def study_pairs(study: StudyFolder) -> PairSet | None:
    """The pairs that the study compares; None before the first."""
    return compared_pairs(study) if study.has_shard(PAIRS) else None


def compared_pairs(study: StudyFolder) -> PairSet:
    """The same of a study that compares some; raises InputError for another."""
    return PairSet(study.read_shard(PAIRS).to_pandas())


@dataclass(frozen=True)
class AxisGroups:
    """The valid prompts of an axis, and the share π_g of each of its groups, by name."""

    prompts: pd.DataFrame
    shares: pd.Series

    def codes(self, group: pd.Series) -> np.ndarray:
        """Codes of these groups in the order of the shares."""
        return pd.Categorical(group, categories=self.shares.index).codes.astype(int)


def axis_groups(study: StudyFolder, axis: str) -> AxisGroups:
    """The groups of an axis, sorted by name."""
    valid = study.prompts.select(axes=[axis], split="valid")
    return AxisGroups(valid.frame, valid.group_shares(axis).sort_index())


def odds_values(study: StudyFolder, axis: str) -> pd.DataFrame:
    """prompt_id, cell, block and value of each row of `odds_samples`, without the heads; value is its mean log-odds."""
    tables = [study.read_shard(name) for name in unbroken_shards(study, ODDS, axis)]
    columns = {name: np.concatenate([table[name].to_numpy() for table in tables]) for name in ODDS_COLUMNS}
    value = np.concatenate([table_odds(table, by_block=True)[:, 0] for table in tables])
    return pd.DataFrame({**columns, "value": value})


def odds_samples(study: StudyFolder, axis: str, *, compensated: bool = False) -> OddsSamples:
    """One axis's log-odds, groups and changes (under compensation, where `compensated`), one row per prompt.

    Where there are enough blocks of stems to resample, a block counts as one stem: `log_odds` are its means.
    """
    kind, exact = (measured_kind(each, compensated=compensated) for each in (ODDS, ODDS_KNOCKOUT))
    tables = [study.read_shard(name) for name in unbroken_shards(study, kind, axis)]
    if not tables:
        raise InputError(
            f"study '{study.name}' holds no log-odds of '{axis}'; add them: python -m fasp_core score MODEL --name "
            f"{study.name} --axes {axis} --metric likelihood"
        )
    known, by_block = axis_groups(study, axis), compared_pairs(study).kept_by_block
    prompts, cell, block = (np.concatenate([table[name].to_numpy() for table in tables]) for name in ODDS_COLUMNS)
    group = known.prompts.set_index("prompt_id")["group"].loc[prompts]
    stem = block[:, None] if by_block else np.concatenate([column_lists(table["stem"]) for table in tables])
    changes = partial(table_changes, by_block=by_block)
    gradient = np.concatenate([changes(table)[1] for table in tables])
    return OddsSamples(
        log_odds=np.concatenate([table_odds(table, by_block=by_block) for table in tables]),
        group=known.codes(group),
        cell=cell,
        block=block,
        stem=stem,
        shares=known.shares.to_numpy(),
        groups=tuple(known.shares.index),
        gradient=gradient,
        knockout=_at_units_and_heads(study, study.shard_names(exact, axis), gradient.shape, changes),
    )


def window_samples(study: StudyFolder, *, compensated: bool = False) -> WindowSamples:
    """The text stream's log-probabilities and log-ratios (under compensation, where so), one row per window."""
    kind, exact = (measured_kind(each, compensated=compensated) for each in (GRADIENT, KNOCKOUT))
    table = _concat(study, kind, TEXT)
    gradient = _gradient(study, TEXT, kind)
    return WindowSamples(
        log_prob=table["log_prob"].to_numpy(),
        n_tokens=table["n_tokens"].to_numpy(),
        gradient=gradient,
        knockout=_knockout(study, TEXT, gradient.shape, exact),
    )


def axis_samples(study: StudyFolder, axis: str, *, scorer: str | None = None) -> AxisSamples:
    """One axis's toxicities, groups and log-ratios, one row per sample that has a gradient and a toxicity."""
    scorer = known_scorer(study, scorer)
    frame = sample_frame(study, axis, scorer=scorer, shards=len(unbroken_shards(study, GRADIENT, axis)) or None)
    gradient = _gradient(study, axis)
    n = min(len(frame), len(gradient))
    frame, gradient = frame.iloc[:n], gradient[:n]
    known = axis_groups(study, axis)
    return AxisSamples(
        toxicity=frame["toxicity"].to_numpy(),
        group=known.codes(frame["group"]),
        prompt=np.unique(frame["prompt_id"], return_inverse=True)[1],
        shares=known.shares.to_numpy(),
        groups=tuple(known.shares.index),
        gradient=gradient,
        knockout=_knockout(study, axis, gradient.shape),
        regenerated=_regenerated(study, axis, scorer, gradient.shape),
    )


def sample_frame(
    study: StudyFolder, axis: str, *, scorer: str | None = None, shards: int | None = None
) -> pd.DataFrame:
    """The continuations of an axis with their toxicity, in the order they were drawn; of the first `shards` only."""
    if axis not in study.axes:
        raise InputError(f"study '{study.name}' has no axis '{axis}'; {nearest(axis, study.axes)}")
    scorer = known_scorer(study, scorer)
    samples = _concat(study, SAMPLES, axis, most=shards)
    samples = samples.select(["unit", "prompt_id", "draw", "continuation"]).to_pandas()
    toxicity = _concat(study, TOXICITY, axis, scorer=scorer, most=shards).to_pandas()
    prompts = study.prompts.frame[["prompt_id", "axis", "group", "prompt"]]
    frame = samples.merge(toxicity, on="unit").merge(prompts, on="prompt_id", how="left").sort_values("unit")
    return frame[["prompt_id", "draw", "axis", "group", "prompt", "continuation", "toxicity"]].reset_index(drop=True)


def toxicity_sums(study: StudyFolder, axis: str, *, scorer: str | None = None) -> pd.DataFrame:
    """prompt_id, n, f and f2 of the prompts of an axis: how many texts were rated, the sums of toxicity and its square.

    Texts that were folded into sums are not read again; a prompt may then have two rows.
    """
    scorer = known_scorer(study, scorer)
    folded, columns, parts = study.n_folded(axis, scorer), ["prompt_id", "n", "f", "f2"], []
    if name := study.sums_shard(axis, scorer):
        parts.append(study.read_shard(name).select(columns).to_pandas())
    for name in study.shard_names(TOXICITY, axis, scorer=scorer):
        if (made := shard_of(name)).shard >= folded:
            samples = study.read_shard(shard_name(SAMPLES, axis, made.shard)).select(["unit", "prompt_id"]).to_pandas()
            rated = samples.merge(study.read_shard(name).to_pandas(), on="unit")
            rated = rated.assign(n=1.0, f=rated["toxicity"], f2=rated["toxicity"] ** 2)
            parts.append(rated.groupby("prompt_id", as_index=False)[["n", "f", "f2"]].sum())
    if not parts:
        raise InputError(f"study '{study.name}' holds no {TOXICITY} of '{axis}' yet; go on with scoring it")
    return pd.concat(parts, ignore_index=True)


def prompts_cut(study: StudyFolder, axis: str, *, last: int | None = None) -> int:
    """How many texts of an axis, up to shard `last`, have a prompt that was cut on the left to fit the context."""
    sums = [name for scorer in study.manifest.scorers if (name := study.sums_shard(axis, scorer))]
    most = max(sums, key=lambda name: shard_of(name).shard, default=None)
    later = [n for n in study.shard_names(SAMPLES, axis) if most is None or shard_of(n).shard > shard_of(most).shard]
    later = [name for name in later if last is None or shard_of(name).shard <= last]
    return sum(table_prompts_cut(study.read_shard(name)) for name in [*filter(None, [most]), *later])


def sample_tokens(study: StudyFolder, axis: str) -> pd.Series:
    """The token ids of each continuation of an axis, indexed by prompt_id and draw."""
    frame = _concat(study, SAMPLES, axis).select(["prompt_id", "draw", "token_ids"]).to_pandas()
    return frame.set_index(["prompt_id", "draw"])["token_ids"]


def knockout_counts(study: StudyFolder, stream: str, units_per_shard: int) -> np.ndarray:
    """Whether each head was knocked out on each knock-out shard's units, (shards so far, N) bool."""
    n_heads = study.n_layers * study.heads_per_layer
    rows: dict[int, np.ndarray] = {}
    for name in study.shard_names(KNOCKOUT, stream):
        table = study.read_shard(name)
        row = rows.setdefault(int(table["unit"][0].as_py()) // units_per_shard, np.zeros(n_heads, bool))
        row[table_ratios(table)[0]] = True
    done = np.zeros((max(rows, default=-1) + 1, n_heads), bool)
    for shard, row in rows.items():
        done[shard] = row
    return done


def known_scorer(study: StudyFolder, scorer: str | None) -> str:
    """The scorer asked for, or the study's first; raises InputError for one that has rated nothing here."""
    known = list(study.manifest.scorers)
    if scorer is None and known:
        return known[0]
    if scorer not in known:
        raise InputError(f"study '{study.name}' has no scores of '{scorer}'; {nearest(str(scorer), known)}")
    return scorer


def unbroken_shards(study: StudyFolder, kind: str, stream: str, *, scorer: str | None = None) -> list[str]:
    """The shards of a kind up to the first that is missing: their rows are the units 0, 1, 2, …

    One that was found damaged may be deleted; until it is measured again, later rows would stand in its place.
    """
    names = study.shard_names(kind, stream, scorer=scorer)
    return [name for number, name in enumerate(names) if shard_of(name).shard == number]


def _concat(
    study: StudyFolder, kind: str, stream: str, *, scorer: str | None = None, most: int | None = None
) -> pa.Table:
    names = unbroken_shards(study, kind, stream, scorer=scorer)[:most]
    if not names:
        raise InputError(f"study '{study.name}' holds no {kind} of '{stream}' yet; go on with scoring it")
    return pa.concat_tables([study.read_shard(name).replace_schema_metadata() for name in names])


def _gradient(study: StudyFolder, stream: str, kind: str = GRADIENT) -> np.ndarray:
    names = unbroken_shards(study, kind, stream)
    if not names:
        raise InputError(f"study '{study.name}' holds no log-ratios of '{stream}'; go on with scoring it")
    return np.concatenate([table_ratios(study.read_shard(name))[1] for name in names])


def _knockout(study: StudyFolder, stream: str, shape: tuple[int, int], kind: str = KNOCKOUT) -> np.ndarray | None:
    return _at_units_and_heads(study, study.shard_names(kind, stream), shape, table_ratios)


def _at_units_and_heads(
    study: StudyFolder,
    names: list[str],
    shape: tuple[int, ...],
    read: Callable[[pa.Table], tuple[list[int], np.ndarray]],
) -> np.ndarray | None:
    """Exact values in the place of each unit (first axis) and head (last axis), NaN where not measured.

    None without shards. Units beyond the shape, which have no gradient yet, are left out.
    """
    if not names:
        return None
    matrix = np.full(shape, np.nan, np.float32)
    for name in names:
        table = study.read_shard(name)
        heads, values = read(table)
        units = table["unit"].to_numpy()
        inside = units < shape[0]
        matrix[np.ix_(units[inside], *map(range, shape[1:-1]), heads)] = values[inside]
    return matrix


def _regenerated(study: StudyFolder, axis: str, scorer: str, shape: tuple[int, int]) -> np.ndarray | None:
    """Toxicity of the text sampled without each head, in the place of each unit and head; NaN where there is none."""
    names = study.shard_names(RETOXICITY, axis, scorer=scorer)
    if not names:
        return None
    matrix = np.full(shape, np.nan)
    for name in names:
        table = study.read_shard(name)
        units, heads = table["unit"].to_numpy(), table["head"].to_numpy()
        inside = units < shape[0]
        matrix[units[inside], heads[inside]] = table["toxicity"].to_numpy()[inside]
    return matrix
