"""The form that starts or extends a study, with what it will take."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from fasp_core.access import check_scorer_listed, listed_scorers
from fasp_core.cluster.opening import offered_cluster
from fasp_core.data.prompt_set import PromptSet
from fasp_core.errors import InputError
from fasp_core.files.paths import cache_root
from fasp_core.jobs.jobs import list_jobs, start_job
from fasp_core.limits import MAX_STUDY_NAME, MAX_TYPED
from fasp_core.scoring.budgets import BUDGETS
from fasp_core.scoring.cost import TIME_FACTOR, estimate_run, model_shape
from fasp_core.study.shard_names import SAMPLES
from fasp_core.study.study import Study, list_studies, open_study, study_folder
from fasp_core.study.views import scored_axes
from fasp_core.words.numbers import axis_label
from fasp_core.words.spoken import model_title, rough_bytes, spoken_range
from ui import words
from ui.caches import machine_speed, prompts_of
from ui.foresight import biases_told, expected_of_more
from ui.page import shown_study
from ui.studies.scorer_download import scorer_download
from ui.studies.uploads import keep_upload
from ui.text import axis_text, plain

NEW = "A new study"
SCORERS = ("embedded", "detoxify:unbiased", "vader")  # `python -m fasp_core scorers` lists all, but looking needs torch


def new_study_form() -> None:
    """Everything a run needs, its estimate, and the button that starts it as a job."""
    names = [name for name in list_studies() if _measured(name)]
    at = st.selectbox("Study", [NEW, *names], help=words.EXTEND)
    extends = at != NEW
    if extends:
        study = open_study(at)
        name, ref = at, study.manifest.model.get("ref") or ""
        prompts, prompts_ref, text_ref, scorer_ref = study.prompts, "", "", ""
        name_of_model = model_title(study.manifest.model.get("name"), ref)
        scored = ", ".join(map(axis_text, scored_axes(study))) or "nothing"
        st.caption(f"Model {plain(name_of_model)}, scored so far: {scored}.")
    else:
        ref = _model()
        name = st.text_input("Name", _free_name(ref), max_chars=MAX_STUDY_NAME, key=f"name_of_{ref}")
        prompts, prompts_ref, text_ref, scorer_ref = _data()
        if prompts is None:
            return
    axes = st.multiselect(
        "Axes",
        prompts.axes,
        [prompts.axes[0]],
        format_func=axis_label,
        key=f"axes_{at}_{prompts_ref}",
        help=words.TERMS["axis"],
    )
    budget, minutes, reliability = _budget()
    compensated = budget != "paper" and st.checkbox(words.ALSO_COMPENSATED, help=words.ALSO_COMPENSATED_HELP)
    cluster = offered_cluster()
    if cluster and not st.checkbox(words.ON_CLUSTER, help=words.CLUSTER.format(address=cluster)):
        cluster = None
    if axes and ref:
        fixed = minutes is None and reliability is None and not compensated
        left = _unmeasured(study, axes, budget) if extends and fixed else axes
        if left:
            _estimate(ref, left, budget, minutes, prompts, compensated)
        else:
            st.caption(words.ALL_MEASURED)
        if minutes is None and reliability is None:
            st.caption(plain(_told(study if extends else _stand_in(), axes, budget, own=extends)))
        elif extends and (told := expected_of_more(study, axes, minutes=minutes, aim=reliability)):
            st.caption(plain(told))
    command = score_command(
        ref,
        name,
        axes,
        budget=budget,
        minutes=minutes,
        reliability=reliability,
        prompts=prompts_ref,
        text=text_ref,
        scorer=scorer_ref,
        cluster=cluster or "",
        compensated=compensated,
    )
    busy = any(job.live and job.key == f"score {name}" for job in list_jobs())
    st.button(
        "Extend" if extends else "Start",
        type="primary",
        disabled=not (axes and ref and name) or busy,
        on_click=_start,
        args=(command, name, axes, extends),
    )
    if busy:
        st.caption(words.JOB_AT_WORK)
    if problem := st.session_state.pop("new_study_problem", None):
        st.error(plain(problem))


def score_command(
    ref: str,
    name: str,
    axes: list[str],
    *,
    budget: str = "quick",
    minutes: float | None = None,
    reliability: float | None = None,
    prompts: str = "",
    text: str = "",
    scorer: str = "",
    cluster: str = "",
    compensated: bool = False,
) -> list[str]:
    """The command line of a run; what a person typed cannot be taken for an option."""
    command = ["score", f"--axes={','.join(axes)}", f"--name={name}"]
    if minutes is not None:
        command.append(f"--minutes={minutes:g}")
    elif reliability is not None:
        command.append(f"--reliability={reliability:g}")
    else:
        command.append(f"--budget={budget}")
    sources = (("prompts", prompts), ("text", text), ("scorer", scorer), ("cluster", cluster))
    command += [f"--{option}={value}" for option, value in sources if value]
    command += ["--compensated"] if compensated else []
    return [*command, "--", ref]


def _start(command: list[str], name: str, axes: list[str], extends: bool) -> None:
    try:
        study_folder(name)
        if not extends:
            check_place(command[-1])
        if not extends and name in list_studies():
            raise InputError(f"there is a study '{name}' already; choose another name, or extend that one")
        start_job(command, key=f"score {name}", title=f"{'Extend' if extends else 'Score'} {name}: {', '.join(axes)}")
        st.toast(words.JOB_STARTED)
    except InputError as error:
        st.session_state["new_study_problem"] = str(error)


def check_place(ref: str) -> None:
    """Raise InputError for a path that holds no model, before a job fails on it; hub ids are not looked up."""
    path = Path(ref).expanduser()
    looks_like_a_path = ref.startswith((".", "~", "/")) or path.exists() or ref.endswith(".gguf")
    if ref == "default" or not looks_like_a_path:
        return
    if not path.exists():
        raise InputError(f"there is no file or folder {ref}; give the path as the server sees it")
    if path.is_dir() and not (path / "config.json").is_file():
        raise InputError(f"{ref} holds no config.json; give the folder that save_pretrained wrote")
    if path.is_file() and path.suffix != ".gguf":
        raise InputError(f"{ref} is no .gguf file; give a folder that save_pretrained wrote, or a GGUF file")


def _model() -> str:
    """The reference of the model, "" while it is not given."""
    kind = st.segmented_control(
        "Model", list(words.MODELS), format_func=words.MODELS.get, default="default", required=True
    )
    if kind == "default":
        return "default"
    label, placeholder, help_text = words.MODEL_ASKS[kind]
    return st.text_input(label, key=f"ref_{kind}", placeholder=placeholder, max_chars=MAX_TYPED, help=help_text).strip()


def _data() -> tuple[PromptSet | None, str, str, str]:
    """Prompts (None where they cannot be read, which is said), and the references of prompts, text and scorer."""
    with st.expander("Prompts, text and toxicity scorer"):
        prompts_ref = st.text_input(
            "Prompts",
            placeholder="built-in",
            max_chars=MAX_TYPED,
            help=words.PROMPTS,
        ).strip()
        upload = st.file_uploader("Or upload prompts", ["csv"], help=words.PROMPTS_UPLOAD)
        text_ref = st.text_input(
            "Text for perplexity",
            placeholder="built-in",
            max_chars=MAX_TYPED,
            help=words.TEXT,
        ).strip()
        scorer_ref = st.selectbox(
            "Toxicity scorer",
            [*SCORERS, *(listed_scorers() or ())],
            index=None,
            placeholder=words.BEST_SCORER,
            accept_new_options=True,
            help=words.SCORER,
        )
        if (scorer_ref or "").startswith("detoxify:"):
            scorer_download(scorer_ref)
    try:
        check_scorer_listed(scorer_ref or "")
        if upload is not None:
            prompts_ref = str(keep_upload(upload.name, upload.getvalue()))
        return prompts_of(prompts_ref or "builtin"), prompts_ref, text_ref, (scorer_ref or "").strip()
    except InputError as error:
        st.error(plain(str(error).replace(f"{Path(prompts_ref).parent}/", "") if upload else error))
        return None, prompts_ref, text_ref, scorer_ref or ""


def _budget() -> tuple[str, float | None, float | None]:
    """Budget, minutes and reliability; of the last two, at most one."""
    budget = st.selectbox("Budget", list(words.BUDGETS), format_func=words.BUDGETS.get, help=words.TERMS["budget"])
    if budget == "minutes":
        return "quick", float(st.number_input("Minutes", 1, 10_000, 30)), None
    if budget == "reliability":
        aim = st.number_input(
            "Reliability of the ranking",
            0.05,
            0.99,
            0.7,
            0.05,
            help=words.AIM,
        )
        return "quick", None, float(aim)
    return budget, None, None


def _estimate(
    ref: str, axes: list[str], budget: str, minutes: float | None, prompts: PromptSet, compensated: bool
) -> None:
    """Time, memory and disk, as far as the model's files tell."""
    try:
        shape = model_shape(ref)
    except InputError as error:
        st.error(plain(error))
        return
    if shape is None:
        st.caption(words.COST_UNKNOWN)
        return
    per_axis = max(len(prompts.select(axes=[axis], split="valid").frame) for axis in axes)
    flops, busy = machine_speed()
    size = {"minutes": minutes, "prompts_per_axis": per_axis, "compensated": compensated}
    estimate = estimate_run(shape, len(axes), budget, flops=flops, **size)
    with st.container(horizontal=True, key="estimate"):
        st.metric("Time", spoken_range(estimate.seconds_low, estimate.seconds, estimate.seconds_high), width="content")
        st.metric("Memory", rough_bytes(estimate.memory_bytes), width="content")
        st.metric("Disk", rough_bytes(estimate.disk_bytes), width="content")
    st.caption(
        f"From the model's size and the speed of this machine's processor; time is right within a factor of "
        f"{TIME_FACTOR:g} while nothing else runs here. A GPU is faster. A job can be stopped and goes on later."
    )
    if busy:
        st.caption(words.BUSY)


def _told(study: Study | None, axes: list[str], budget: str, *, own: bool) -> str:
    """What a budget of a known size could tell, by the noise of the study, or where that is new of the one shown.

    Of the study's `own` axes that have as much already, nothing: more would not be measured.
    """
    if study is None or budget not in BUDGETS:
        return ""
    sizes = {"toxicity": BUDGETS[budget].samples, "likelihood": BUDGETS[budget].likelihood_reads}
    known = [axis for axis in (_unmeasured(study, axes, budget) if own else axes) if axis in study.prompts.axes]
    return biases_told(study, known, sizes, like=None if own else study.name)


def _stand_in() -> Study | None:
    """The study that the pages show, whose noise stands for that of a new one; None where it has none."""
    name = shown_study()
    try:
        study = None if name is None else open_study(name)
    except InputError:
        return None
    return study if study is not None and study.has_model else None


def _unmeasured(study: Study, axes: list[str], budget: str) -> list[str]:
    """The axes that have fewer samples than the budget asks for: what is measured already costs nothing again."""
    if budget not in BUDGETS:
        return axes
    shards = study.manifest.shards
    sampled = {axis: sum(shards[name].rows for name in study.shard_names(SAMPLES, axis)) for axis in axes}
    return [axis for axis in axes if sampled[axis] < BUDGETS[budget].samples]


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
