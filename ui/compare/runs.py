"""Runs of the Compare page: a form that starts one as a job, and the jobs of this study, watched and stopped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import streamlit as st

from fasp_core.comparison.configurations import ComparisonSettings, methods_for, n_stages, why_not_in_stages
from fasp_core.comparison.shares import parse_shares
from fasp_core.comparison.table import comparison_file, list_comparisons
from fasp_core.errors import InputError
from fasp_core.jobs.jobs import Job, cancel_job, list_jobs, remove_job, start_job
from fasp_core.models.compensation_choice import COMPENSATIONS
from fasp_core.selection.clearest import clearest_axis
from fasp_core.selection.head_scores import HeadScores
from fasp_core.selection.select_heads import head_count
from fasp_core.stats.target import MEAN_TOXICITY
from fasp_core.study.study import Study
from fasp_core.study.views import measured_axes
from fasp_core.words.numbers import axis_label
from fasp_core.words.spoken import duration
from ui import words
from ui.caches import scores_by
from ui.foresight import change_told, time_of_a_set, time_of_stages
from ui.page import metric_of
from ui.text import axis_text, plain
from ui.view import view

POLL_S = 1.0
ALPHAS, GAMMAS = "0.02, 0.05, 0.1, 0.15, 0.2", "0.3, 0.5, 0.7"
FIRST_METHODS = ("fasp", "fasp_joint", "random")  # minutes; all that can be compared take hours


def run_form(study: Study, scores: HeadScores) -> None:
    """What to compare, and the button that starts it."""
    with st.container():
        metric = _metric(study, scores)
        scored = [*measured_axes(study, metric), *([MEAN_TOXICITY] if metric == "toxicity" and study.axes else [])]
        left, right = st.columns(2, gap="medium")
        axis = left.selectbox(
            "Prune for",
            scored,
            format_func=axis_text,
            help=words.TERMS["axis"],
            **_kept("compare.axis", scored, _first_axis(study, metric, scored)),
        )
        able = methods_for(axis)
        methods = left.multiselect(
            "Methods",
            able,
            format_func=words.method_label,
            help=words.COMPARED_METHODS,
            **_kept("compare.methods", able, [method for method in able if method in FIRST_METHODS]),
        )
        compensate = left.pills(
            words.COMPENSATE,
            COMPENSATIONS,
            selection_mode="multi",
            default=COMPENSATIONS[:1],
            format_func=words.COMPENSATIONS.get,
            key="compare.compensate",
            help=f"{words.COMPENSATE_HELP} {words.COMPARED_WAYS}",
        )
        alphas = right.text_input(
            "α, shares of heads to prune", ALPHAS, key="compare.alphas", help=words.COMPARED_ALPHAS
        )
        gammas = right.text_input(
            "γ, shares of heads to protect",
            GAMMAS,
            key="compare.gammas",
            help=words.COMPARED_GAMMAS,
        )
        axes = right.multiselect(
            "Biases to measure",
            [*study.prompts.axes, MEAN_TOXICITY] if metric == "toxicity" else study.prompts.axes,
            default=[],
            format_func=axis_text,
            key="compare.axes",
            placeholder="the one pruned for",
            help=words.COMPARED_AXES,
        )
        with right.container(horizontal=True):
            seeds = st.number_input(
                "Seeds",
                1,
                20,
                1,
                key="compare.seeds",
                width=130,
                help=words.SEEDS,
            )
            blocks = st.number_input(
                "Test blocks",
                1,
                200,
                25,
                key="compare.blocks",
                width=150,
                help=words.BLOCKS,
            )
        st.caption(plain(_foresight(study, axis, metric, compensate, int(seeds) * int(blocks))))
        if "fasp_iterative" in methods and (told := _stages_told(study, metric, compensate, alphas, gammas)):
            st.caption(plain(told))
        if st.button("Start the comparison", type="primary"):
            try:
                _start(study, axis, metric, methods, compensate, alphas, gammas, axes, int(seeds), int(blocks))
            except InputError as error:
                st.error(plain(error))


def _metric(study: Study, scores: HeadScores) -> str:
    """What heads are chosen and sets measured by: a choice where the study was scored in both ways."""
    if len(study.metrics) < 2:
        return metric_of(scores)
    return st.segmented_control(
        words.MEASURED_BY,
        study.metrics,
        format_func=words.MEASURES.get,
        required=True,
        help=words.TERMS["metric"],
        **_kept("compare.metric", study.metrics, metric_of(scores)),
    )


def _first_axis(study: Study, metric: str, scored: Sequence[str]) -> str | None:
    """The axis that the other pages show, else the one with the clearest bias."""
    shown = view()["axis"]
    return shown if shown in scored else clearest_axis(scores_by(study, metric))


def _kept(key: str, options: Sequence[str], first: Any) -> dict[str, str]:
    """The key of a widget whose options may change: what was chosen stays as far as it still is one of them."""
    chosen = st.session_state.setdefault(key, first)
    if isinstance(chosen, list):
        st.session_state[key] = [one for one in chosen if one in options]
    elif chosen not in options:
        st.session_state[key] = first
    return {"key": key}


def _foresight(study: Study, axis: str, metric: str, compensate: list[str], blocks: int) -> str:
    """What the test measurement of one set could tell of the bias, and about how long it takes in all ways."""
    size = {"split": "test", "blocks": blocks}
    intact = scores_by(study, metric).base_bias(axis)
    told = change_told(study, intact, axis, metric, **size)
    takes = time_of_a_set(study, axis, metric, compensate, **size) if compensate else ""
    return " ".join(filter(None, (told, takes)))


def _stages_told(study: Study, metric: str, compensate: list[str], alphas: str, gammas: str) -> str:
    """How many stages fasp_iterative goes through before anything is measured, and about how long that takes."""
    try:
        shares = {"alphas": parse_shares(alphas, "α"), "gammas": parse_shares(gammas, "γ")}
        settings = ComparisonSettings("", compensations=tuple(compensate), **shares)
    except InputError:
        return ""  # said when the comparison is started
    n_heads = study.n_layers * study.heads_per_layer
    n = {way: n_stages(replace(settings, compensations=(way,)), n_heads) for way in compensate}
    size = settings.iterative.readings if metric == "likelihood" else settings.iterative.samples
    return time_of_stages(study, metric, size, n)


def _start(
    study: Study,
    axis: str,
    metric: str,
    methods: list[str],
    compensate: list[str],
    alphas: str,
    gammas: str,
    axes: list[str],
    seeds: int,
    blocks: int,
) -> None:
    if not methods:
        raise InputError("choose at least one method")
    if not compensate:
        raise InputError("choose what takes the place of the pruned heads: one or more")
    if "fasp_iterative" in methods and (reason := why_not_in_stages(study, axis, metric, compensate)):
        raise InputError(reason)
    shares = parse_shares(alphas, "α"), parse_shares(gammas, "γ")
    for some, name in zip(shares, ("α", "γ"), strict=True):
        if not some:
            raise InputError(f"give at least one {name}")
        for share in some:
            head_count(share, 1)
    command = [
        "compare",
        study.name,
        "--axis",
        axis,
        "--metric",
        metric,
        "--methods",
        ",".join(methods),
        "--compensate",
        ",".join(compensate),
        "--alphas",
        ",".join(map(str, shares[0])),
        "--gammas",
        ",".join(map(str, shares[1])),
        "--seeds",
        str(seeds),
        "--test-blocks",
        str(blocks),
        "--valid-blocks",
        str(max(1, round(0.4 * blocks))),
        "--axes",
        ",".join(axes or [axis]),
    ]
    title = f"Compare methods, {axis_label(axis).lower()} by {metric}"
    start_job(command, key=f"{_key(study)}{' '.join(command)}", title=title)
    st.rerun()


def study_runs(study: Study) -> list[Job]:
    """This study's comparisons that run, or ended otherwise than well; the newest first."""
    return [job for job in list_jobs() if job.key.startswith(_key(study)) and job.state != "done"]


def watch_runs(study: Study) -> None:
    """The runs as they stand; while any runs, looked at again every second, and the page follows what they finish."""
    runs = study_runs(study)
    if any(job.live for job in runs):
        st.fragment(_follow, run_every=POLL_S)(study, _stamp(study))
    else:
        for job in runs:
            _show(job)


def _follow(study: Study, stamp: tuple) -> None:
    if _stamp(study) != stamp:
        st.rerun()
    for job in study_runs(study):
        _show(job)


def _stamp(study: Study) -> tuple:
    """What changes when a run files another result or ends."""
    running = tuple(job.id for job in study_runs(study) if job.live)
    files = tuple((name, comparison_file(study, name).stat().st_mtime_ns) for name in list_comparisons(study))
    return running, files


def _show(job: Job) -> None:
    with st.container(border=True, key=f"run_{job.id}"):
        text, button = st.columns([5, 1], vertical_alignment="center")
        with text:
            if job.live:
                now = job.progress
                share = now.done / now.total if now and now.total else 0.0
                left = f" · {duration(now.eta_s)} left in this stage" if now and now.eta_s is not None else ""
                stage = f"{plain(now.stage)}: {now.done:,} of {now.total:,} {now.unit}{left}" if now else "starting …"
                if job.state == "queued":
                    stage = "waiting for its turn"
                st.progress(min(share, 1.0), f"**{plain(job.title)}** · {stage}")
            else:
                st.markdown(f"**{plain(job.title)}** {words.RUN_ENDED[job.state]}. {plain(job.message)}")
        with button:
            if job.live:
                st.button(
                    "Stop",
                    key=f"stop.{job.id}",
                    on_click=_quietly,
                    args=(cancel_job, job.id),
                    width="stretch",
                    help=words.STOP_RUN,
                )
            else:
                st.button(
                    "Dismiss", key=f"dismiss.{job.id}", on_click=_quietly, args=(remove_job, job.id), width="stretch"
                )


def _quietly(action, job_id: str) -> None:
    """Do it; where the job has been removed in the meantime there is nothing to do."""
    try:
        action(job_id)
    except InputError:
        return


def _key(study: Study) -> str:
    return f"compare {study.name} "
