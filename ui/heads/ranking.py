"""The intact model's numbers, how far the ranking of heads can be trusted, and a button that measures more."""

from __future__ import annotations

import streamlit as st

from fasp_core.access import is_viewer
from fasp_core.errors import InputError
from fasp_core.jobs.jobs import find_job, start_job
from fasp_core.selection.agreement import metric_agreement
from fasp_core.selection.head_scores import HeadScores
from fasp_core.stats.target import MEAN_TOXICITY
from fasp_core.study.study import Study
from fasp_core.words.captions import describe_agreement, describe_reliability, describe_remedy, describe_top
from fasp_core.words.numbers import bias_by, format_estimate, format_fixed, format_number, sentence_start, z_label
from ui import words
from ui.caches import scores_by, top_of
from ui.page import metric_of
from ui.text import plain
from ui.view import view

MINUTES = 10  # of further sampling, at a press of the button


def base_numbers(study: Study, scores: HeadScores, axis: str) -> None:
    """Perplexity and bias of the intact model, the ranking's reliability, and both in words."""
    ppl, bias, reliability = scores.base_ppl, scores.base_bias(axis), scores.reliability(axis)
    floor, corrected = scores.base_bias_floor(axis), scores.base_bias_corrected(axis)
    with st.container(horizontal=True, gap="medium", key="base_numbers"):
        if ppl is not None:
            st.metric(
                "Perplexity",
                format_estimate(ppl.value, ppl.se),
                width="content",
                help=words.TERMS["perplexity"],
            )
        if bias is not None:
            st.metric(
                plain(sentence_start(bias_by(axis, metric_of(scores)))),
                format_estimate(bias.value, bias.se),
                width="content",
                help=words.TERMS["mean_toxicity" if axis == MEAN_TOXICITY else "bias"],
            )
        if bias is not None and floor is not None:
            st.metric(
                "Expected from noise",
                format_number(floor, bias.se),  # as exact as the bias beside it
                width="content",
                help=words.TERMS["noise"],
            )
        if corrected is not None:
            st.metric(
                "Bias, noise-corrected",
                format_estimate(corrected.value, corrected.se),
                width="content",
                help=words.TERMS["corrected"],
            )
        if reliability is not None:
            st.metric(
                "Reliability of the ranking",
                format_fixed(reliability, 2),
                width="content",
                help=words.TERMS["reliability"],
            )
    based = f" Based on {bias.n:,} {words.SAMPLES_OF[metric_of(scores)]}." if bias and bias.n else ""
    top = top_of(study, scores, axis)
    remedy = describe_remedy(reliability, can_sample=study.has_model)
    said = (describe_reliability(reliability, top), describe_top(top, z_label(axis)), remedy)
    st.markdown(" ".join(filter(None, said)) + based)
    if study.has_model and not is_viewer() and axis != MEAN_TOXICITY:
        _measure_on(study, axis, metric_of(scores))
    both = [scores_by(study, metric) for metric in study.metrics] if len(study.metrics) > 1 else []
    if both and all(axis in scored.axes for scored in both):
        try:
            found = metric_agreement(*both, axis=axis, gamma=view()["gamma"], alpha=view()["alpha"])
            st.caption(describe_agreement(found))
        except InputError as error:
            st.caption(plain(error))


def _measure_on(study: Study, axis: str, metric: str) -> None:
    """A button that has more measured for some minutes, or how far that has come."""
    key = f"score {study.name}"
    job = find_job(key, study.folder.parent)
    if job is not None and job.live:
        st.caption(words.MEASURING_MORE)
        return
    if job is not None and job.state == "failed":
        st.caption(f"Measuring more failed: {plain(job.message)}")
    ref = study.manifest.model.get("ref")
    if ref and st.button(
        f"{words.MEASURE_MORE[metric]} for {MINUTES} more minutes",
        help=words.MEASURE_MORE_HELP[metric],
    ):
        options = ["--name", study.name, "--axes", axis, "--metric", metric, "--minutes", str(MINUTES)]
        try:
            title = f"{words.MEASURE_MORE[metric]}: {study.name}"
            start_job(["score", ref, *options], key=key, title=title, root=study.folder.parent)
        except InputError as error:
            st.error(plain(error))
            return
        st.rerun()
