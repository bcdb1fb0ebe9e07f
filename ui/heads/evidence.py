"""Evidence for a head: its texts with the tokens marked that made the difference, and what it attends to on one."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from fasp_core.access import is_viewer
from fasp_core.errors import InputError
from fasp_core.figures import attention_map
from fasp_core.head import Head, head_text
from fasp_core.jobs.evidence import evidence_file, evidence_job, read_evidence, start_evidence
from fasp_core.study.study import Study
from fasp_core.words.text_evidence import TextEvidence, largest_ratio, marked_tokens
from ui import words
from ui.charts import draw
from ui.text import plain
from ui.theme import dark

POLL_S = 1.0
PROBLEM = "evidence_problem"


def evidence_panel(study: Study, axis: str, head: Head) -> None:
    """The marked texts and the attention map, or the button that has them made; texts only where they are shown."""
    file = evidence_file(study.name, study.manifest.model.get("fingerprint"), axis, head)
    found, job = read_evidence(file), evidence_job(file)
    if found is None and is_viewer():
        return
    with st.container(border=True, key="evidence"):
        st.markdown(f"**{words.MARK_TOKENS}**")
        if problem := st.session_state.pop(PROBLEM, None):
            st.error(plain(problem))
        if found is not None:
            _show(found, head)
        elif job is not None and job.live:
            st.fragment(_wait, run_every=POLL_S)(file)
        else:
            if job is not None and job.state in ("failed", "lost"):
                st.error(f"{words.MARKING_FAILED} {plain(job.message)}")
            st.button("Mark the tokens", on_click=_start, args=(file, study, axis, head), help=words.MARK_HELP)


def _wait(file: Path) -> None:
    job = evidence_job(file)
    if job is None or not job.live:
        st.rerun()
    st.info(words.MARKING)


def _show(texts: list[TextEvidence], head: Head) -> None:
    if not st.session_state.get("revealed"):
        st.caption(words.HIDDEN)
        return
    limit = largest_ratio(texts)
    for text in texts:
        st.html(marked_tokens(text, limit))
    st.caption(words.MARKED)
    number = st.selectbox("Attention on text", range(1, len(texts) + 1), help=words.ATTENTION) if texts else None
    if number is not None:
        text = texts[number - 1]
        draw(
            attention_map(text.tokens, text.attention, dark=dark()),
            key="attention",
            filename=f"attention.{head_text(head)}",
            alt=f"Attention weights of head {head_text(head)} between the tokens of text {number}.",
        )


def _start(file: Path, study: Study, axis: str, head: Head) -> None:
    try:
        start_evidence(file, study.name, axis, head)
    except InputError as error:
        st.session_state[PROBLEM] = str(error)
