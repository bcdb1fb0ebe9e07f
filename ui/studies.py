"""Studies and the evaluation service for the pages: the one file with streamlit's caches.

A cached value is keyed by everything that changes it: the folder, the study's name, and the manifest's time and size.
"""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from fasp_core.comparison_table import ComparisonTable, comparison_file, read_comparison
from fasp_core.errors import InputError
from fasp_core.evaluation_plan import Identity, study_identity
from fasp_core.head_scores import HeadScores
from fasp_core.jobs import EvaluationClient
from fasp_core.paths import cache_root
from fasp_core.study import Study, list_studies, open_study

from .state import EndOfPage, bound, choose, view
from .text import plain

FIRST_STUDY = "python -m fasp_core score default --axes gender_and_sex --budget quick"


def study_picker() -> None:
    """The sidebar's choice of study; nothing where there is none."""
    names = list_studies()
    asked = view()["study"]
    if asked is not None and asked not in names:
        st.warning(f"There is no study {plain(asked)} here; showing another one.")
        choose("study", None)
    if names:
        st.sidebar.selectbox("Study", names, **bound("study", default=_first(names)))


def shown_study() -> str | None:
    """The name of the study that the pages show, None where there is none."""
    return view()["study"] or _first(list_studies())


def _first(names: list[str]) -> str | None:
    return "default" if "default" in names else next(iter(names), None)


def current_study() -> tuple[Study, HeadScores]:
    """The chosen study and its scores by the chosen metric (or the one it has), or words on what to do instead.

    Where there is no study, or it cannot be read, that ends the page.
    """
    name = shown_study()
    if name is None:
        st.info("There is no study yet. Measure the default model first; this takes some ten minutes on two cores:")
        st.code(FIRST_STUDY, language="bash")
        st.caption("Then reload this page; or start it on the page Studies.")
        raise EndOfPage
    try:
        return named_study(name)
    except InputError as error:
        st.error(plain(error))
    except FileNotFoundError:
        st.error(f"The study {plain(name)} is gone: its folder was deleted. Choose another one.")
    raise EndOfPage


def named_study(name: str) -> tuple[Study, HeadScores]:
    """A study and its scores by the chosen metric, or by the one it has.

    Raises InputError where they cannot be read, FileNotFoundError where there is no such study.
    """
    root = cache_root()
    status = (root / name / "manifest.json").stat()
    stamp = (status.st_mtime_ns, status.st_size)
    study = _opened(root, name, stamp)
    metrics = study.metrics or ["toxicity"]
    metric = view()["metric"] if view()["metric"] in metrics else metrics[0]
    return study, _scores(root, name, stamp, metric, study)


def scores_by(study: Study, metric: str) -> HeadScores:
    """The scores of a study by one of its metrics."""
    status = (study.folder / "manifest.json").stat()
    return _scores(study.folder.parent, study.name, (status.st_mtime_ns, status.st_size), metric, study)


def evaluation_client() -> EvaluationClient:
    """The page's side of the evaluation service, one for all sessions."""
    return _client(cache_root())


def comparison(study: Study, name: str) -> ComparisonTable:
    """A comparison of the study; raises InputError where its file is damaged."""
    return _compared(study, name, comparison_file(study, name).stat().st_mtime_ns)


def evaluation_identity(study: Study) -> Identity:
    """What evaluations of this study are found by; reading prompts and text windows for it once is enough."""
    shards = study.manifest.shards.items()
    return _identity(study.folder, tuple(r.sha256 for name, r in shards if name.startswith(("windows.", "prompts."))))


@st.cache_data(show_spinner=False, max_entries=64)
def _identity(folder: Path, checksums: tuple[str, ...]) -> Identity:
    return study_identity(open_study(folder.name, folder.parent))


@st.cache_resource(show_spinner=False, max_entries=8)
def _opened(root: Path, name: str, stamp: tuple[int, int]) -> Study:
    return open_study(name, root)


@st.cache_resource(show_spinner=False, max_entries=16, hash_funcs={Study: lambda study: str(study.folder)})
def _compared(study: Study, name: str, stamp: int) -> ComparisonTable:
    return read_comparison(study, name)


@st.cache_resource(show_spinner="Reading the study …", max_entries=8)
def _scores(root: Path, name: str, stamp: tuple[int, int], metric: str, _study: Study) -> HeadScores:
    return _study.scores(metric=metric)


@st.cache_resource(show_spinner=False)
def _client(root: Path) -> EvaluationClient:
    return EvaluationClient(root)
