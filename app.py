"""The app: its pages and the study picker. Start it with `make run`, or `streamlit run app.py`."""

from pathlib import Path

import streamlit as st

from ui.state import kept_in_url
from ui.studies import study_picker

ICON = Path(__file__).parent / "static" / "icon.png"

st.set_page_config(page_title="FASP", page_icon=str(ICON), layout="wide")
page = st.navigation(
    [
        st.Page("pages/heads.py", title="Heads", default=True),
        st.Page("pages/prune.py", title="Prune"),
    ]
)
with kept_in_url(page.url_path):
    study_picker()
    page.run()
