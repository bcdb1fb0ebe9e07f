"""The study that tests of the folder, the manifest and the names share."""

from __future__ import annotations

import pandas as pd
import pytest

from fasp_core.data.prompts import load_prompts
from fasp_core.study.manifest import Manifest
from fasp_core.study.study import create_study


@pytest.fixture
def study(tmp_path):
    """The study `s` in `tmp_path`: prompts and one window, nothing measured; 2 layers × 3 heads."""
    windows = pd.DataFrame({"window_id": [0], "article": ["a"], "split": ["valid"], "token_ids": [[1, 2, 3]]})
    manifest = Manifest(
        name="s",
        created="2026-01-01T00:00:00+00:00",
        prompts={"name": "builtin"},
        text={},
        settings={},
        model={"n_layers": 2, "heads_per_layer": 3},
    )
    return create_study(tmp_path / "s", manifest, load_prompts(), windows)
