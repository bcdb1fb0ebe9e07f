"""The one file with streamlit's caches: studies, their scores, and what their samples tell of single heads.

A cached value is keyed by everything that changes it: the study's folder, the manifest's time and size, what was asked.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import streamlit as st

from fasp_core.comparison.table import ComparisonTable, comparison_file, read_comparison
from fasp_core.data.prompt_set import PromptSet
from fasp_core.data.prompts import load_prompts
from fasp_core.evaluation import set_measures as of_sets
from fasp_core.evaluation.history import MeasuredSet, paired_texts
from fasp_core.evaluation.keys import Identity, Target, study_identity
from fasp_core.files.paths import PROJECT, cache_root
from fasp_core.head import Head, flat_id
from fasp_core.jobs.client import EvaluationClient
from fasp_core.models.compensation_choice import Compensate
from fasp_core.scoring.cost import machine_flops
from fasp_core.selection.clearest import clearest_metric
from fasp_core.selection.correlations import AxisCorrelations, axis_correlations
from fasp_core.selection.head_measures import Measures
from fasp_core.selection.head_scores import HeadScores
from fasp_core.selection.ranks import HeadLine, head_lines
from fasp_core.stats.axis_sums import AxisSamples, AxisSums
from fasp_core.stats.estimate import Estimate
from fasp_core.stats.head_detail import GroupEffect, bias_of, group_effects, most_changed, summed_bias, summed_ppl, tier
from fasp_core.stats.perplexity import WindowSamples
from fasp_core.stats.stability import TopOverlap, top_overlap
from fasp_core.stats.target import MEAN_TOXICITY
from fasp_core.study import verdicts
from fasp_core.study.effects import axis_sums
from fasp_core.study.kept_scores import kept_scores
from fasp_core.study.study import Study, open_study
from fasp_core.study.views import axis_samples, window_samples
from ui.view import view

Key = tuple[str, int, int]
BUSY_SHARE = 0.5  # of the best speed seen: below it, something else takes the processor


@dataclass(frozen=True)
class HeadDetail:
    """One head on one axis: groups with and without it, the bias they amount to, the texts it changes, its tier."""

    groups: list[GroupEffect]
    bias_with: float
    bias_without: float
    changed: pd.DataFrame
    tier: str


def study_key(study: Study) -> Key:
    """What changes when the study does."""
    status = (study.folder / "manifest.json").stat()
    return str(study.folder), status.st_mtime_ns, status.st_size


def head_detail(study: Study, axis: str, head: Head) -> HeadDetail:
    """What the samples of `axis` tell of one head."""
    return _head_detail(study_key(study), axis, flat_id(head, study.heads_per_layer), study)


def sums(study: Study, axis: str, heads: tuple[Head, ...]) -> tuple[Estimate, Estimate]:
    """Σ z_ppl and Σ z_bias of `axis` over the heads, with the errors of the sums."""
    return _sums(study_key(study), axis, tuple(flat_id(head, study.heads_per_layer) for head in heads), study)


def texts(study: Study, axis: str) -> pd.DataFrame:
    """The continuations of `axis`, or of all axes, with their toxicity; not to be changed."""
    if axis != MEAN_TOXICITY:
        return _texts(study_key(study), axis, study)
    return pd.concat([texts(study, one) for one in study.axes], ignore_index=True)


def lines(study: Study, scores: HeadScores, head: Head) -> list[HeadLine]:
    """Scores and ranks of one head on every axis."""
    return _lines(study_key(study), scores.meta.metric, head, scores)


def top_of(study: Study, scores: HeadScores, axis: str) -> TopOverlap | None:
    """What of the top of the ranking by z_bias would stay if it were measured again."""
    return _top(study_key(study), scores.meta.metric, axis, scores)


def smallest_told(study: Study, axis: str, metric: str, n: int) -> float | None:
    """The smallest bias that n texts of an axis tell from none, see `study.verdicts`."""
    return _smallest_told(study_key(study), axis, metric, n, study)


@st.cache_data(show_spinner=False, max_entries=64)
def _smallest_told(key: Key, axis: str, metric: str, n: int, _study: Study) -> float | None:
    return verdicts.smallest_told(_study, axis, metric=metric, n=n)


@st.cache_resource(show_spinner="Reading the samples …", max_entries=2)
def _samples(key: Key, axis: str, _study: Study) -> AxisSamples:
    return axis_samples(_study, axis)


@st.cache_resource(show_spinner="Reading the samples …", max_entries=2)
def _axis_sums(key: Key, axis: str, _study: Study) -> AxisSums:
    return axis_sums(_study, axis)


@st.cache_resource(show_spinner="Reading the texts …", max_entries=4)
def _texts(key: Key, axis: str, _study: Study) -> pd.DataFrame:
    return _study.samples(axis)


@st.cache_resource(show_spinner=False, max_entries=2)
def _windows(key: Key, _study: Study) -> WindowSamples:
    return window_samples(_study)


@st.cache_resource(show_spinner=False, max_entries=512)
def _head_detail(key: Key, axis: str, flat: int, _study: Study) -> HeadDetail:
    samples = _samples(key, axis, _study)
    groups = group_effects(_axis_sums(key, axis, _study), flat)
    changed = most_changed(samples, _texts(key, axis, _study), flat)
    return HeadDetail(groups, *bias_of(groups, samples.shares), changed, tier(samples, flat))


@st.cache_resource(show_spinner=False, max_entries=64)
def _sums(key: Key, axis: str, flat: tuple[int, ...], _study: Study) -> tuple[Estimate, Estimate]:
    return summed_ppl(_windows(key, _study), flat), summed_bias(_axis_sums(key, axis, _study), flat)


@st.cache_resource(show_spinner=False, max_entries=512)
def _lines(key: Key, metric: str | None, head: Head, _scores: HeadScores) -> list[HeadLine]:
    return head_lines(_scores, head)


@st.cache_resource(show_spinner=False, max_entries=32)
def _top(key: Key, metric: str | None, axis: str, _scores: HeadScores) -> TopOverlap | None:
    return top_overlap(_scores.z_bias(axis), _scores.z_bias_se(axis))


def pairs(study: Study, measured: MeasuredSet) -> pd.DataFrame:
    """The texts before and after pruning a measured set, see `history.paired_texts`; not to be changed."""
    return _pairs(study_key(study)[0], measured.plan, measured.target, measured.changed)


@st.cache_resource(show_spinner="Reading the texts …", max_entries=4)
def _pairs(folder: str, plan: str, target: Target, changed: float) -> pd.DataFrame:
    return paired_texts(plan, target.heads, Path(folder).parent, compensate=target.compensate)


def set_measures(study: Study, found: list[MeasuredSet], axis: str) -> Measures:
    """What several measures say of measured sets, see `evaluation.set_measures`; up to a minute old."""
    sets = tuple((one.plan, one.target, one.changed) for one in found)
    return _set_measures(study_key(study), sets, axis, study, found)


@st.cache_data(show_spinner="Reading the scorecards …", ttl=60, max_entries=16)
def _set_measures(key: Key, sets: tuple, axis: str, _study: Study, _found: list[MeasuredSet]) -> Measures:
    return of_sets.set_measures(_study, _found, axis)


def correlations(
    study: Study, scores: HeadScores, method: str, heads: str, gamma: float, disattenuate: bool
) -> AxisCorrelations:
    """Correlations between the axes of a study, see `axis_correlations`."""
    return _correlations(study_key(study), scores.meta.metric, method, heads, gamma, disattenuate, scores)


@st.cache_resource(show_spinner=False, max_entries=256)
def _correlations(
    key: Key, metric: str | None, method: str, heads: str, gamma: float, disattenuate: bool, _scores: HeadScores
) -> AxisCorrelations:
    return axis_correlations(_scores, method=method, heads=heads, gamma=gamma, disattenuate=disattenuate)


def opened_study(name: str) -> Study:
    """A study without its scores, which take seconds to compute; raises as `named_study`."""
    root = cache_root()
    status = (root / name / "manifest.json").stat()
    return _opened(root, name, (status.st_mtime_ns, status.st_size))


def named_study(name: str) -> tuple[Study, HeadScores]:
    """A study and its scores by the chosen metric, or by the one that sees its clearest bias; mean toxicity has one.

    Raises InputError where they cannot be read, FileNotFoundError where there is no such study.
    """
    study = opened_study(name)
    metrics = study.metrics or ["toxicity"]
    chosen = "toxicity" if view()["axis"] == MEAN_TOXICITY else view()["metric"]
    if chosen in metrics:
        return study, scores_by(study, chosen)
    by_metric = {metric: scores_by(study, metric) for metric in metrics}
    return study, by_metric[clearest_metric(by_metric)]


def scores_by(study: Study, metric: str, *, axis: str | None = None, compensate: Compensate = "none") -> HeadScores:
    """The scores of a study to choose heads by where `compensate` takes their place, see `choosing_scores`."""
    status = (study.folder / "manifest.json").stat()
    stamp = (status.st_mtime_ns, status.st_size)
    return _scores(study.folder.parent, study.name, stamp, metric, study, axis, compensate)


def evaluation_client() -> EvaluationClient:
    """The page's side of the evaluation service, one for all sessions."""
    return _client(cache_root())


def comparison(study: Study, name: str) -> ComparisonTable:
    """A comparison of the study; raises InputError where its file is damaged."""
    return _compared(study, name, comparison_file(study, name).stat().st_mtime_ns)


def evaluation_identity(study: Study) -> Identity:
    """What evaluations of this study are found by; reading prompts, pairs and text windows for it once is enough."""
    made = study.manifest
    checksums = tuple(
        r.sha256 for name, r in made.shards.items() if name.startswith(("windows.", "prompts.", "pairs."))
    )
    scored = made.settings.scored
    return _identity(study.folder, made.model.get("fingerprint"), tuple(made.scorers.items()), scored, checksums)


@st.cache_data(show_spinner=False, max_entries=64)
def _identity(
    folder: Path,
    model: str | None,
    scorers: tuple[tuple[str, str], ...],
    scored: str,
    checksums: tuple[str, ...],
) -> Identity:
    return study_identity(open_study(folder.name, folder.parent))


@st.cache_resource(show_spinner=False, max_entries=8)
def _opened(root: Path, name: str, stamp: tuple[int, int]) -> Study:
    return open_study(name, root)


@st.cache_resource(show_spinner=False, max_entries=16, hash_funcs={Study: lambda study: str(study.folder)})
def _compared(study: Study, name: str, stamp: int) -> ComparisonTable:
    return read_comparison(study, name)


@st.cache_resource(show_spinner="Reading the study …", max_entries=8)
def _scores(
    root: Path,
    name: str,
    stamp: tuple[int, int],
    metric: str,
    _study: Study,
    axis: str | None,
    compensate: Compensate,
) -> HeadScores:
    return kept_scores(_study, axis, metric=metric, compensate=compensate)


@st.cache_resource(show_spinner=False)
def _client(root: Path) -> EvaluationClient:
    return EvaluationClient(root)


@st.cache_resource(max_entries=2, show_spinner="Reading the prompts …")
def prompts_of(ref: str) -> PromptSet:
    return load_prompts(ref)


@st.cache_data(ttl=600, show_spinner="Looking for the scorer …")
def scorer_hint(ref: str, stamp: str | None) -> str:
    """How to get a scorer that is not on this machine, "" for one that is; `stamp` changes when that may have changed.

    Asked of the command line, since looking needs torch, which the app's own process does without.
    """
    command = [sys.executable, "-m", "fasp_core", "scorers", "--json"]
    found = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    try:
        return next((scorer["hint"] for scorer in json.loads(found.stdout) if scorer["ref"] == ref), "")
    except ValueError:
        return ""


def machine_speed() -> tuple[float, bool]:
    """Operations per second at the best of all looks so far, and whether the machine is busy with other work now."""
    now, best = _speed_now(), _best_speed()
    best["flops"] = max(best.get("flops", 0.0), now)
    return best["flops"], now < BUSY_SHARE * best["flops"]


@st.cache_data(ttl=60, show_spinner=False)
def _speed_now() -> float:
    return machine_flops()


@st.cache_resource(show_spinner=False)
def _best_speed() -> dict[str, float]:
    return {}
