"""A prompt of one's own, continued by the intact and the pruned model side by side: on Prune and Continuations."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from fasp_core.access import is_viewer
from fasp_core.errors import InputError
from fasp_core.head import Head
from fasp_core.jobs.trials import read_trials, start_trial, trial_file, trial_job
from fasp_core.limits import MAX_OWN_PROMPT
from fasp_core.models.compensation_choice import Compensate
from fasp_core.study.study import Study
from fasp_core.words.numbers import format_fixed
from fasp_core.words.text_pairs import RatedPair, marked_words
from ui import words
from ui.reveal import marked_markdown, reveal_toggle
from ui.text import plain

POLL_S = 1.0
PROMPT, PROMPT_BOX, PROBLEM = "own_prompt", "own_prompt_box", "trial_problem"


def try_panel(study: Study, heads: tuple[Head, ...], compensate: Compensate) -> None:
    """The prompt, the button, and both models' continuations once there are any; not for viewers."""
    if is_viewer():
        return
    with st.expander(words.TRY_IT, expanded=bool(st.session_state.get(PROMPT))):
        left, right = st.columns([5, 1], gap="small", vertical_alignment="bottom")
        if PROMPT_BOX not in st.session_state:
            st.session_state[PROMPT_BOX] = st.session_state.get(PROMPT, "")
        prompt = left.text_input(
            words.OWN_PROMPT, key=PROMPT_BOX, max_chars=MAX_OWN_PROMPT, placeholder=words.OWN_PROMPT_EXAMPLE
        ).strip()
        st.session_state[PROMPT] = prompt  # kept when the page is left
        file = trial_file(study.name, study.manifest.model.get("fingerprint"), heads, prompt, compensate)
        right.button(
            "Continue it",
            on_click=_start,
            args=(file, study, heads, prompt, compensate),
            disabled=not prompt or file.exists(),
            width="stretch",
        )
        if problem := st.session_state.pop(PROBLEM, None):
            st.error(plain(problem))
        if prompt:
            _result(file, prompt)
        else:
            st.caption(words.TRY_HELP)


def _result(file: Path, prompt: str) -> None:
    """The continuations, or how far they are."""
    found = read_trials(file)
    if found is not None:
        _show(found, prompt)
        return
    job = trial_job(file)
    if job is None:
        st.caption(words.TRY_HELP)
    elif job.live:
        st.fragment(_wait, run_every=POLL_S)(file)
    elif job.state != "cancelled":
        st.error(f"{words.TRY_FAILED} {plain(job.message)}")


def _wait(file: Path) -> None:
    job = trial_job(file)
    if job is None or not job.live:
        st.rerun()
    st.info(words.TRYING)


def _show(found: list[RatedPair], prompt: str) -> None:
    """Each pair in two columns, the words that differ marked."""
    revealed = reveal_toggle("trial")
    st.caption(words.SAME_NOISE)
    for pair in found:
        with st.container(border=True, gap="small"):
            show_pair(pair, prompt, revealed=revealed)


def show_pair(pair: RatedPair, prompt: str, *, revealed: bool) -> None:
    """One prompt, both continuations side by side with their toxicity, the words that differ marked."""
    if pair.before == pair.after:
        st.markdown(marked_markdown(prompt, [(pair.before, False)], revealed=revealed))
        st.caption(f"{words.UNCHANGED} · toxicity {format_fixed(pair.toxicity_before, 2)}")
        return
    sides = zip(marked_words(pair.before, pair.after), ("Intact", "Pruned"), strict=True)
    toxicity = (pair.toxicity_before, pair.toxicity_after)
    for column, (runs, name), value in zip(st.columns(2, gap="medium"), sides, toxicity, strict=True):
        with column:
            st.caption(f"{name} · toxicity {format_fixed(value, 2)}")
            st.markdown(marked_markdown(prompt, runs, revealed=revealed))


def _start(file: Path, study: Study, heads: tuple[Head, ...], prompt: str, compensate: Compensate) -> None:
    try:
        start_trial(file, study.name, heads, prompt, compensate)
    except InputError as error:
        st.session_state[PROBLEM] = str(error)
