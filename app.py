"""The app: its pages and the study picker. Start it with `make run`, or `streamlit run app.py`."""

from base64 import b64encode
from pathlib import Path

import streamlit as st

from ui import words
from ui.charts import image_picker
from ui.copy_link import copy_link
from ui.gate import let_in
from ui.help_names import name_help
from ui.job_notice import job_notice
from ui.menu import close_menu_after_a_choice
from ui.page import shown_title, study_picker
from ui.still import keep_pictures
from ui.theme import dark, report_theme
from ui.touch import let_taps_select
from ui.tour import tour
from ui.view import address_of_view, kept_in_url

STATIC = Path(__file__).parent / "static"
# As text: streamlit forgets a served picture at the start of each run, and a browser that asks just then gets a 404.
ICON = f"data:image/png;base64,{b64encode((STATIC / 'icon.png').read_bytes()).decode()}"
LOGO = (STATIC / "logo.svg").read_text("utf-8")

st.set_page_config(page_icon=ICON, layout="wide")
let_in()
st.html(STATIC / "style.css")
if dark():
    st.html(STATIC / "dark.css")
pages = [
    st.Page("pages/heads.py", title="Heads", default=True),
    st.Page("pages/prune.py", title="Prune"),
    st.Page("pages/compare.py", title="Compare"),
    st.Page("pages/correlations.py", title="Correlations"),
    st.Page("pages/continuations.py", title="Continuations"),
    st.Page("pages/export.py", title="Export"),
    st.Page("pages/studies.py", title="Studies"),
]
page = st.navigation(pages, position="hidden")
text_color = st.get_option(f"theme.{'dark' if dark() else 'light'}.textColor")
st.logo(LOGO.replace("currentColor", text_color or "currentColor"), size="large")
st.sidebar.caption(words.PURPOSE)
with kept_in_url(page.url_path):
    # Links of our own: streamlit's go to the page without the view, a step that going back would stop at.
    for other in pages:
        st.sidebar.page_link(other, query_params=address_of_view(), width="stretch")
    study_picker()
    st.set_page_config(page_title=" · ".join(filter(None, (page.title, shown_title(), "FASP"))))
    image_picker()
    copy_link()
    tour(page.url_path)
    job_notice(page.url_path)
    report_theme()
    let_taps_select()
    close_menu_after_a_choice()
    keep_pictures()
    name_help()
    page.run()
