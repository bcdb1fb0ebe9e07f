"""Opening pages of the app under streamlit's AppTest, and reading them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import WidgetList

from fasp_core.importing import import_scores
from fasp_core.study import Study

PROJECT = Path(__file__).resolve().parent.parent
PAGES = sorted(path.relative_to(PROJECT).as_posix() for path in (PROJECT / "pages").glob("*.py"))


def open_page(page: str, **address: str) -> AppTest:
    app = AppTest.from_file(str(PROJECT / "app.py"), default_timeout=30)
    app.query_params.update(address)
    app.run()
    if page != "pages/heads.py":
        app.switch_page(page).run()
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
    frame = pd.DataFrame({
        "layer": np.arange(n) // heads_per_layer, "head": np.arange(n) % heads_per_layer,
        "z_ppl": np.where(critical, 50.0 + np.arange(n), rng.normal(0, 0.1, n)), "z_ppl_se": 0.05,
    })  # fmt: skip
    for axis in ("age", "gender_and_sex", "religion"):
        frame[f"z_bias.{axis}"] = np.where(critical, np.linspace(-2, 2, n), 0) + rng.normal(0, 0.1, n)
        frame[f"z_bias_se.{axis}"] = 0.02
    path = cache / "theirs.csv"
    frame.to_csv(path, index=False)
    return import_scores(path, name=name, root=cache)
