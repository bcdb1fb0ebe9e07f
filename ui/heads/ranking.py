"""The intact model's numbers, how far the ranking of heads can be trusted, and a button that measures on."""

from __future__ import annotations

import streamlit as st

from fasp_core.agreement import metric_agreement
from fasp_core.background import list_jobs, start_job
from fasp_core.captions import describe_reliability, describe_top
from fasp_core.errors import InputError
from fasp_core.head_scores import HeadScores
from fasp_core.numbers import format_estimate, format_fixed, format_number
from fasp_core.study import Study
from fasp_core.summaries import base_bias, base_bias_corrected, base_bias_floor, base_ppl

from .details import top_of
from .state import view
from .studies import scores_by
from .text import plain

MINUTES = 10  # of further sampling, at a press of the button


def base_numbers(study: Study, scores: HeadScores, axis: str) -> None:
    """Perplexity and bias of the intact model, the ranking's reliability, and both in words."""
    reliability = (scores.meta.get("reliability") or {}).get(axis)
    ppl, bias = base_ppl(scores), base_bias(scores, axis)
    floor, corrected = base_bias_floor(scores, axis), base_bias_corrected(scores, axis)
    with st.container(horizontal=True, gap="medium", key="base_numbers"):
        if ppl is not None:
            st.metric("Perplexity", format_estimate(ppl.value, ppl.se), width="content",
                      help="Of the intact model, on the study's text. ± is one standard error.")  # fmt: skip
        if bias is not None:
            st.metric("Bias", format_estimate(bias.value, bias.se), width="content",
                      help="Of the intact model: how far the groups' mean toxicities lie from that of the axis, "
                      "summed over groups. ± is one standard error.")  # fmt: skip
        if floor is not None:
            st.metric("By chance alone", format_number(floor, floor / 10), width="content",
                      help="The bias that groups which are all alike would show at this sample size: |μ − μ_g| is "
                      "never negative, so noise looks like bias.")  # fmt: skip
        if corrected is not None:
            st.metric("Bias without noise", format_estimate(corrected.value, corrected.se), width="content",
                      help="What is left of the bias when what noise adds is taken off. ± is one standard "
                      "error.")  # fmt: skip
        st.metric("Reliability of the ranking", "unknown" if reliability is None else format_fixed(reliability, 2),
                  width="content", help="Rank correlation expected between this order of the unprotected heads by "
                  "z_bias and a second measurement of the same size: 1 = the same order, 0 = noise.")  # fmt: skip
    based = f" Based on {bias.n:,} continuations." if bias and bias.n else ""
    words, button = st.columns([5, 2], gap="medium")
    with button:
        if study.has_model:
            _measure_on(study, axis)
    words.markdown(" ".join([describe_reliability(reliability), describe_top(top_of(study, scores, axis))]) + based)
    if len(study.metrics) > 1:
        both = (scores_by(study, metric) for metric in study.metrics)
        try:
            st.caption(metric_agreement(*both, axis=axis, gamma=view()["gamma"], alpha=view()["alpha"]).describe())
        except InputError as error:
            st.caption(plain(error))


def _measure_on(study: Study, axis: str) -> None:
    """A button that samples on for some minutes, or how far the sampling has come."""
    key = f"score {study.name}"
    job = next((job for job in list_jobs(study.folder.parent) if job.key == key), None)
    if job is not None and job.state == "running":
        st.caption(f"Sampling on: {plain(job.message) or 'starting'}. New scores are shown once this page is "
                   "reloaded.")  # fmt: skip
        return
    if job is not None and job.state == "failed":
        st.caption(f"The last sampling failed: {plain(job.message)}")
    ref = study.manifest.model.get("ref")
    if ref and st.button(f"Sample on for {MINUTES} minutes", help="In the background; it can be watched and stopped "
                         "under Studies. More samples make the ranking more reliable."):  # fmt: skip
        command = ["score", ref, "--name", study.name, "--axes", axis, "--minutes", str(MINUTES)]
        try:
            start_job(command, key=key, title=f"Sample on: {study.name}", root=study.folder.parent)
        except InputError as error:
            st.error(plain(error))
            return
        st.rerun()
