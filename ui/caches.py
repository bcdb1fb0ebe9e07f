"""What the samples of a study tell of single heads, read once and kept: streamlit's caches around `head_detail`.

A cached value is keyed by the study's folder, the manifest's time and size, and what was asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import streamlit as st

from fasp_core.bias import AxisSamples
from fasp_core.correlations import AxisCorrelations, axis_correlations
from fasp_core.estimates import Estimate
from fasp_core.head_detail import (
    GroupEffect,
    bias_of,
    group_effects,
    most_changed,
    summed_bias,
    summed_ppl,
    tier,
)
from fasp_core.head_scores import HeadScores
from fasp_core.history import MeasuredSet, paired_texts
from fasp_core.perplexity import WindowSamples
from fasp_core.results import axis_samples, window_samples
from fasp_core.selection import Head
from fasp_core.stability import TopOverlap, top_overlap
from fasp_core.study import Study
from fasp_core.summaries import HeadLine, head_lines

Key = tuple[str, int, int]


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
    return _head_detail(study_key(study), axis, head[0] * study.heads_per_layer + head[1], study)


def sums(study: Study, axis: str, heads: tuple[Head, ...]) -> tuple[Estimate, Estimate]:
    """Σ z_ppl and Σ z_bias of `axis` over the heads, with the errors of the sums."""
    return _sums(study_key(study), axis, tuple(lay * study.heads_per_layer + head for lay, head in heads), study)


def texts(study: Study, axis: str) -> pd.DataFrame:
    """The continuations of `axis` with their toxicity; not to be changed."""
    return _texts(study_key(study), axis, study)


def lines(study: Study, scores: HeadScores, head: Head) -> list[HeadLine]:
    """Scores and ranks of one head on every axis."""
    return _lines(study_key(study), scores.meta.get("metric"), head, scores)


def top_of(study: Study, scores: HeadScores, axis: str) -> TopOverlap | None:
    """What of the top of the ranking by z_bias would stay if it were measured again."""
    return _top(study_key(study), scores.meta.get("metric"), axis, scores)


@st.cache_resource(show_spinner="Reading the samples …", max_entries=2)
def _samples(key: Key, axis: str, _study: Study) -> AxisSamples:
    return axis_samples(_study, axis)


@st.cache_resource(show_spinner="Reading the texts …", max_entries=4)
def _texts(key: Key, axis: str, _study: Study) -> pd.DataFrame:
    return _study.samples(axis)


@st.cache_resource(show_spinner=False, max_entries=2)
def _windows(key: Key, _study: Study) -> WindowSamples:
    return window_samples(_study)


@st.cache_resource(show_spinner=False, max_entries=512)
def _head_detail(key: Key, axis: str, flat: int, _study: Study) -> HeadDetail:
    samples = _samples(key, axis, _study)
    groups = group_effects(samples, flat)
    changed = most_changed(samples, _texts(key, axis, _study), flat)
    return HeadDetail(groups, *bias_of(groups, samples.shares), changed, tier(samples, flat))


@st.cache_resource(show_spinner=False, max_entries=64)
def _sums(key: Key, axis: str, flat: tuple[int, ...], _study: Study) -> tuple[Estimate, Estimate]:
    return summed_ppl(_windows(key, _study), flat), summed_bias(_samples(key, axis, _study), flat)


@st.cache_resource(show_spinner=False, max_entries=512)
def _lines(key: Key, metric: str | None, head: Head, _scores: HeadScores) -> list[HeadLine]:
    return head_lines(_scores, head)


@st.cache_resource(show_spinner=False, max_entries=32)
def _top(key: Key, metric: str | None, axis: str, _scores: HeadScores) -> TopOverlap | None:
    return top_overlap(_scores.z_bias(axis), _scores.z_bias_se(axis))


def pairs(study: Study, measured: MeasuredSet) -> pd.DataFrame:
    """The texts before and after pruning a measured set, see `history.paired_texts`; not to be changed."""
    return _pairs(study_key(study)[0], measured.plan, measured.pruned, measured.changed)


@st.cache_resource(show_spinner="Reading the texts …", max_entries=4)
def _pairs(folder: str, plan: str, pruned: tuple[Head, ...], changed: float) -> pd.DataFrame:
    return paired_texts(plan, pruned, Path(folder).parent)


def correlations(
    study: Study, scores: HeadScores, method: str, heads: str, gamma: float, disattenuate: bool
) -> AxisCorrelations:
    """Correlations between the axes of a study, see `axis_correlations`."""
    return _correlations(study_key(study), scores.meta.get("metric"), method, heads, gamma, disattenuate, scores)


@st.cache_resource(show_spinner=False, max_entries=256)
def _correlations(
    key: Key, metric: str | None, method: str, heads: str, gamma: float, disattenuate: bool, _scores: HeadScores
) -> AxisCorrelations:
    return axis_correlations(_scores, method=method, heads=heads, gamma=gamma, disattenuate=disattenuate)
