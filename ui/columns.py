"""What the columns of a table mean, said on hover."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from ui import words


def explained(frame: pd.DataFrame) -> dict[str, Any]:
    """The `column_config` that explains the columns of `frame` whose name has a sentence in `words.COLUMNS`."""
    return {name: st.column_config.Column(help=words.COLUMNS[name]) for name in frame.columns if name in words.COLUMNS}
