"""Opening pages of the app under streamlit's AppTest, and reading them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import WidgetList

from fasp_core.evaluation.keys import EvaluationPlan, stream_fingerprints, study_identity
from fasp_core.evaluation.store import EvaluationStore
from fasp_core.evaluation.streams import metric_of, stream_of
from fasp_core.head import Head
from fasp_core.jobs.requests import Request, RequestQueue
from fasp_core.models.compensation_choice import Compensate
from fasp_core.study.importing import import_scores
from fasp_core.study.study import Study, open_study
from fasp_core.study.views import measured_axes, study_pairs
from helpers.made_study import made_evaluation

PROJECT = Path(__file__).resolve().parents[2]
AXIS = "gender_and_sex"
PAGES = sorted(path.relative_to(PROJECT).as_posix() for path in (PROJECT / "pages").glob("*.py"))


def open_page(page: str, **address: str) -> AppTest:
    app = AppTest.from_file(str(PROJECT / "app.py"), default_timeout=30)
    app.query_params.update(address)
    if page != "pages/heads.py":
        app.switch_page(page)
    app.run()
    assert not app.exception
    return app


def shown_value(widgets: WidgetList, part: str) -> Any:
    """What the widget of a part of the view shows: `shown_value(app.slider, "alpha")`."""
    return next(widget.value for widget in widgets if re.fullmatch(rf"widget\.{part}(\.\d+)?", widget.key or ""))


def all_text(app: AppTest) -> str:
    kinds = (app.title, app.caption, app.markdown, app.error, app.info, app.warning, app.code)
    metrics = [f"{metric.label} {metric.value} {metric.delta}" for metric in app.metric]
    return "\n".join([str(element.value) for kind in kinds for element in kind] + metrics)


def made_import(cache: Path, name: str = "default", *, n_layers: int = 12, heads_per_layer: int = 4) -> Study:
    """Imported scores of three axes: on the four heads of layer 0 all biases go together, on the others none do."""
    rng, n = np.random.default_rng(0), n_layers * heads_per_layer
    critical = np.arange(n) < heads_per_layer
    frame = pd.DataFrame(
        {
            "layer": np.arange(n) // heads_per_layer,
            "head": np.arange(n) % heads_per_layer,
            "z_ppl": np.where(critical, 50.0 + np.arange(n), rng.normal(0, 0.1, n)),
            "z_ppl_se": 0.05,
        }
    )
    for axis in ("age", "gender_and_sex", "religion"):
        frame[f"z_bias.{axis}"] = np.where(critical, np.linspace(-2, 2, n), 0) + rng.normal(0, 0.1, n)
        frame[f"z_bias_se.{axis}"] = 0.02
    path = cache / "theirs.csv"
    frame.to_csv(path, index=False)
    return import_scores(path, name=name, root=cache)


def button(app, label):
    return next(button for button in app.button if button.label == label)


def keep(
    study: Study,
    pruned: tuple[Head, ...],
    *,
    split: str = "valid",
    fraction: float = 1.0,
    metric: str = "toxicity",
    compensate: Compensate = "none",
    axes: Sequence[str] = (),
) -> None:
    """Leave behind what the worker does when it has measured a set: the same numbers for `axes`, by default for all."""
    axes = list(axes) or measured_axes(study, metric)
    asked = [stream_of(axis, metric) for axis in axes]
    streams = {stream: f"{stream} {split}" for stream in ("text", *asked)}
    prompts = stream_fingerprints(study.prompts, asked, study_pairs(study))
    plan = EvaluationPlan(f"plan {split} {asked}", study_identity(study).key, split, streams, prompts)
    groups = sorted(study.prompts.select(axes=[AXIS]).group_shares(AXIS).index)
    made = replace(made_evaluation(pruned, AXIS, groups, fraction), split=split, compensate=compensate)
    for part in (made.before, made.after, made.change):
        of_axis = part.axes.pop(AXIS)
        part.axes_by(metric).update(dict.fromkeys(axes, of_axis))
    if metric == "likelihood":
        made = replace(made, n_texts=0, n_readings=made.n_texts)
    EvaluationStore(study.folder.parent).keep(plan, made)


def answer(cache: Path, state: str, *, fraction: float | None = None, message: str = "", pruned=None) -> None:
    """Do the worker's part for all open requests."""
    queue = RequestQueue(cache)
    for request in queue.unfinished(60):
        target = request.target
        if fraction:
            of_study, metric = open_study(target.study, cache), metric_of(target.streams[0])
            keep(of_study, pruned or target.heads, split=target.split, fraction=fraction, metric=metric)
        queue.answer(request, state, message)


def the_request(cache: Path) -> Request:
    (request,) = RequestQueue(cache).unfinished(60)
    return request
