"""Opening an exported configuration on the Prune page: the view takes its axis, its method and its heads."""

from __future__ import annotations

import streamlit as st

from fasp_core.errors import InputError
from fasp_core.export.pruning_config import PruningConfig
from fasp_core.selection.head_scores import HeadScores
from fasp_core.selection.rules import RULES
from fasp_core.stats.target import MEAN_TOXICITY
from fasp_core.study.study import Study
from fasp_core.study.views import measured_axes
from ui import words
from ui.page import metric_of
from ui.text import plain
from ui.view import choose

UPLOAD, PROBLEM, NOTE = "configuration", "configuration_problem", "configuration_note"


def open_configuration(study: Study, scores: HeadScores) -> None:
    """The upload of a configuration; what is wrong with it, or what to know about it, is said below."""
    with st.expander("Open a configuration"):
        st.file_uploader(
            "Configuration (JSON)",
            ["json"],
            key=UPLOAD,
            on_change=_opened,
            args=(study, scores),
            help=words.OPEN_CONFIGURATION,
        )
    if problem := st.session_state.pop(PROBLEM, None):
        st.error(plain(problem))
    if note := st.session_state.pop(NOTE, None):
        st.warning(plain(note))


def _opened(study: Study, scores: HeadScores) -> None:
    """Callback of an upload; the view stays as it is where the file cannot be used."""
    upload = st.session_state[UPLOAD]
    if upload is None:
        return
    try:
        config = PruningConfig.loads(_text(upload.getvalue()), upload.name)
        show_configuration(config, study, scores)
    except InputError as error:
        st.session_state[PROBLEM] = str(error)
        return
    theirs, ours = config.model.fingerprint, study.manifest.model.get("fingerprint")
    if theirs and ours and theirs != ours:
        st.session_state[NOTE] = f"{upload.name} was made for another model than this study's: {config.model.name}."


def show_configuration(config: PruningConfig, study: Study, scores: HeadScores) -> None:
    """Have the view show the set of a configuration; raises InputError where it is of a model of another shape."""
    theirs, ours = (config.model.n_layers, config.model.heads_per_layer), (scores.n_layers, scores.heads_per_layer)
    if theirs != ours:
        raise InputError(
            f"the configuration is for {theirs[0]} layers × {theirs[1]} heads ({config.model.name}), this study has "
            f"{ours[0]} × {ours[1]}; choose the study of that model"
        )
    made = config.method
    if made.metric in study.metrics:
        choose("metric", made.metric)
    by = made.metric or metric_of(scores)
    if made.axis in measured_axes(study, by) or (made.axis == MEAN_TOXICITY and "toxicity" in study.metrics):
        choose("axis", made.axis)
    if made.name in RULES:  # else the set was made by hand, and the sliders stay as they are
        choose("method", made.name)
        choose("alpha", round(made.alpha, 4))
        if RULES[made.name].protects:
            choose("gamma", round(made.gamma, 2))
        if made.seed is not None:
            choose("seed", made.seed)
        choose("weights", tuple(made.weights.items()) if made.weights else None)
    choose("heads", config.pruned)
    choose("compensate", config.compensation.how if config.compensation else "none")


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"the file is not UTF-8 text (byte {error.start}); upload a configuration") from error
