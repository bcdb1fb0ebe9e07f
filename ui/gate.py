"""Who gets in: everybody on this machine; from elsewhere those who log in, or all where the app is for looking."""

from __future__ import annotations

import streamlit as st

from fasp_core.access import check_address
from fasp_core.errors import InputError
from ui import words
from ui.text import plain


def login_is_configured() -> bool:
    """Whether streamlit's secrets.toml has a section [auth]."""
    return st.secrets.load_if_toml_exists() and "auth" in st.secrets


def let_in() -> None:
    """Ask for the login where one is configured; end the run where strangers would have the whole app."""
    login = login_is_configured()
    try:
        if address := st.get_option("server.address"):
            check_address(address, login=login)
    except InputError as error:
        st.error(plain(error))
        st.stop()
    if login and not st.user.is_logged_in:
        st.title("FASP", anchor=False)
        st.caption(words.LOGIN)
        st.button("Log in", type="primary", on_click=st.login)
        st.stop()
