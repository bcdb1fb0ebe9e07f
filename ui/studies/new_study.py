"""The form that starts or extends a study, with what it will take; and the one that imports published scores."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import streamlit as st

from fasp_core.background import list_jobs, start_job
from fasp_core.errors import InputError
from fasp_core.estimate import TIME_FACTOR, estimate_run, machine_flops, model_shape, spoken_bytes, spoken_range
from fasp_core.importing import import_scores, models_in
from fasp_core.numbers import axis_label
from fasp_core.paths import cache_root
from fasp_core.prompts import PromptSet, load_prompts
from fasp_core.study import list_studies, open_study, study_folder

from .text import plain

MODELS = {
    "default": "Default", "hub": "Hub", "folder": "Folder", "gguf": "GGUF file",
}  # fmt: skip
ASKS = {
    "hub": ("Hub id", "gpt2", "As on huggingface.co, such as gpt2 or Qwen/Qwen3-0.6B."),
    "folder": ("Folder", "", "What save_pretrained wrote: config.json, safetensors and the tokenizer."),
    "gguf": ("File", "", "A .gguf file; it is converted when it is opened."),
}
BUDGETS = {
    "quick": "Quick", "standard": "Standard", "paper": "As published: every head sampled again",
    "minutes": "So many minutes", "reliability": "Until the order of heads is reliable",
}  # fmt: skip
NEW = "A new study"
SCORERS = ("embedded", "detoxify:unbiased", "vader")  # `python -m fasp_core scorers` lists all, but looking needs torch
MOST_UPLOAD_MB = 200


def new_study_form() -> None:
    """Everything a run needs, its estimate, and the button that starts it as a job."""
    names = [name for name in list_studies() if _measured(name)]
    at = st.selectbox("Study", [NEW, *names], help="An existing one is extended: by more axes, or a larger budget.")
    extends = at != NEW
    if extends:
        study = open_study(at)
        name, ref = at, study.manifest.model["ref"]
        prompts, prompts_ref, text_ref, scorer_ref = study.prompts, "", "", ""
        st.caption(f"Model {plain(ref)}, scored so far: {', '.join(map(axis_label, study.axes)) or 'nothing'}.")
    else:
        ref = _model()
        name = st.text_input("Name", _free_name(ref), max_chars=100, key=f"name_of_{ref}")
        prompts, prompts_ref, text_ref, scorer_ref = _data()
        if prompts is None:
            return
    axes = st.multiselect(
        "Axes", prompts.axes, [prompts.axes[0]], format_func=axis_label, key=f"axes_{at}_{prompts_ref}"
    )
    budget, minutes, reliability = _budget()
    if axes and ref:
        _estimate(ref, axes, budget, minutes, prompts)
    command = score_command(
        ref, name, axes, budget=budget, minutes=minutes, reliability=reliability, prompts=prompts_ref, text=text_ref,
        scorer=scorer_ref,
    )  # fmt: skip
    busy = any(job.state == "running" and job.key == f"score {name}" for job in list_jobs())
    st.button(
        "Extend" if extends else "Start", type="primary", disabled=not (axes and ref and name) or busy,
        on_click=_start, args=(command, name, axes, extends),
    )  # fmt: skip
    if busy:
        st.caption("A job is at work on this study; it has to end first.")
    if problem := st.session_state.pop("new_study_problem", None):
        st.error(plain(problem))


def score_command(
    ref: str, name: str, axes: list[str], *, budget: str = "quick", minutes: float | None = None,
    reliability: float | None = None, prompts: str = "", text: str = "", scorer: str = "",
) -> list[str]:  # fmt: skip
    """The command line of a run; what a person typed cannot be taken for an option."""
    command = ["score", f"--axes={','.join(axes)}", f"--name={name}"]
    if minutes is not None:
        command.append(f"--minutes={minutes:g}")
    elif reliability is not None:
        command.append(f"--reliability={reliability:g}")
    else:
        command.append(f"--budget={budget}")
    sources = (("prompts", prompts), ("text", text), ("scorer", scorer))
    command += [f"--{option}={value}" for option, value in sources if value]
    return [*command, "--", ref]


def _start(command: list[str], name: str, axes: list[str], extends: bool) -> None:
    try:
        study_folder(name)
        if not extends and name in list_studies():
            raise InputError(f"there is a study '{name}' already; choose another name, or extend that one")
        start_job(command, key=f"score {name}", title=f"{'Extend' if extends else 'Score'} {name}: {', '.join(axes)}")
    except InputError as error:
        st.session_state["new_study_problem"] = str(error)


def _model() -> str:
    """The reference of the model, "" while it is not given."""
    kind = st.segmented_control("Model", list(MODELS), format_func=MODELS.get, default="default", required=True)
    if kind == "default":
        return "default"
    label, placeholder, help_text = ASKS[kind]
    return st.text_input(label, key=f"ref_{kind}", placeholder=placeholder, help=help_text).strip()


def _data() -> tuple[PromptSet | None, str, str, str]:
    """Prompts (None where they cannot be read, which is said), and the references of prompts, text and scorer."""
    with st.expander("Prompts, text and toxicity scorer"):
        prompts_ref = st.text_input(
            "Prompts", placeholder="built-in",
            help="A folder of HolisticBias v1.1, a social_biases_valid.json, or a .csv of prompt, axis, group.",
        ).strip()  # fmt: skip
        text_ref = st.text_input(
            "Text for perplexity", placeholder="built-in",
            help="wikitext-2, a UTF-8 text file, or a folder of valid.txt and test.txt.",
        ).strip()  # fmt: skip
        scorer_ref = st.selectbox(
            "Toxicity scorer", SCORERS, index=None, placeholder="the best that is on this machine",
            accept_new_options=True, help="Or module:function of your own.",
        )  # fmt: skip
    try:
        return _prompts(prompts_ref or "builtin"), prompts_ref, text_ref, (scorer_ref or "").strip()
    except InputError as error:
        st.error(plain(error))
        return None, prompts_ref, text_ref, scorer_ref or ""


@st.cache_resource(max_entries=2, show_spinner="Reading the prompts …")
def _prompts(ref: str) -> PromptSet:
    return load_prompts(ref)


def _budget() -> tuple[str, float | None, float | None]:
    """Budget, minutes and reliability; of the last two, at most one."""
    budget = st.selectbox("Budget", list(BUDGETS), format_func=BUDGETS.get)
    if budget == "minutes":
        return "quick", float(st.number_input("Minutes", 1, 10_000, 30)), None
    if budget == "reliability":
        aim = st.number_input(
            "Reliability of the order of heads", 0.05, 0.99, 0.7, 0.05,
            help="Rank correlation expected with a second measurement of the same size; on every axis.",
        )  # fmt: skip
        return "quick", None, float(aim)
    return budget, None, None


def _estimate(ref: str, axes: list[str], budget: str, minutes: float | None, prompts: PromptSet) -> None:
    """Time, memory and disk, as far as the model's files tell."""
    try:
        shape = model_shape(ref)
    except InputError as error:
        st.error(plain(error))
        return
    if shape is None:
        st.caption("What it takes is known once the model is on this machine; a job can be paused at any time.")
        return
    per_axis = max(len(prompts.select(axes=[axis], split="valid").frame) for axis in axes)
    estimate = estimate_run(shape, len(axes), budget, flops=_flops(), minutes=minutes, prompts_per_axis=per_axis)
    with st.container(horizontal=True, key="estimate"):
        st.metric("Time", spoken_range(estimate), width="content")
        st.metric("Memory", spoken_bytes(estimate.memory_bytes), width="content")
        st.metric("Disk", spoken_bytes(estimate.disk_bytes), width="content")
    st.caption(
        f"From the model's size and the speed of this machine's processor; time is right within a factor of "
        f"{TIME_FACTOR:g} while nothing else runs here. A GPU is faster. It can be paused, and goes on where it was."
    )


@st.cache_data(ttl=600, show_spinner=False)
def _flops() -> float:
    return machine_flops()


def import_form() -> None:
    """Published head scores from a file: a study without a model."""
    upload = st.file_uploader(
        "File of head scores", ["csv", "json", "parquet"], max_upload_size=MOST_UPLOAD_MB,
        help="head_scores_MODEL.csv or head_contributions.json of the FASP repository, or a table that this app wrote.",
    )  # fmt: skip
    if upload is None:
        return
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / os.path.basename(upload.name)
        path.write_bytes(upload.getvalue())
        try:
            models = models_in(path)
            model = st.selectbox("Model", models) if models else None
            left, right = st.columns(2)
            name = left.text_input("Name", placeholder="that of the file", key=f"import_name_{upload.name}_{model}")
            layers = right.number_input(
                "Layers", 0, 1000, 0, help="Where the file does not tell them; 0: it does, or the model is well known."
            )
            if st.button("Import", type="primary"):
                made = import_scores(path, name=name.strip() or None, model=model, n_layers=layers or None)
                st.success(f"Imported as study {plain(made.name)}: choose it on the left.")
        except InputError as error:
            st.error(plain(str(error).replace(f"{scratch}/", "")))


def _measured(name: str) -> bool:
    try:
        return open_study(name).has_model
    except InputError:
        return False


def _free_name(ref: str) -> str:
    """A name that no study has: the model's, with a number where it is taken."""
    base = (
        "".join(c if c.isalnum() or c in "._-" else "-" for c in Path(ref or "study").name).strip("-.")[:90] or "study"
    )
    taken = {path.name for path in cache_root().glob("*")}
    return next(name for name in (base, *(f"{base}-{i}" for i in range(2, 10_000))) if name not in taken)
