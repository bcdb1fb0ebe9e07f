"""What one looks at, the view: kept across pages and in the address, so that a link opens the same view.

The server's copy of the view is the only one. Three things change it: a widget, a page (`choose`), and the browser
going back or forward. Widgets show the view's value and report to it when moved, so they can vanish (as those of a
page do when it is left) without anything being lost. `view_parts.PARTS` lists what it holds.

A widget whose value was changed by anything but itself is drawn as a new one, and the old one has no say any more
(`showing`). With every event the browser sends the values of all widgets as it knows them, timers included; what it
sent before it heard of the change would count as the widget being moved back.

The address follows the view and is read only where it leads: at a session's start, and in a run that the browser
started by going back or forward, which streamlit marks as such. In any other run the address that the browser sent
along may be older than the view. It is written only when it does not already mean the view, and as soon as the change
is known, before the page is drawn: each change is one step to go back over, going back writes nothing (writing then
would put steps where one has just gone back), and an answer seldom meets a browser that has already gone elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from .view_parts import PARTS, read_view, write_view


def view() -> dict[str, Any]:
    """The session's view: a value for every name of `view_parts.PARTS`."""
    return st.session_state["view"]


def address_of_view() -> dict[str, str]:
    """The view as the query of an address, for links to other pages."""
    return write_view(view())


def session_id() -> str:
    """A name for this browser session, known to nobody else."""
    return st.session_state.setdefault("session_id", uuid4().hex)


def choose(name: str, value: Any) -> None:
    """Change one part of the view, from a callback or before its widget is drawn; its widget follows."""
    view()[name] = value


def bound(name: str, *, default: Any = None, moved: Callable[[], None] | None = None) -> dict[str, Any]:
    """Arguments that tie a widget to one part of the view: `st.slider("γ", 0.0, 1.0, **bound("gamma"))`.

    While that part is None the widget shows `default`, which does not become part of the view. `moved` is called when
    the widget was moved.
    """
    shown = view()[name] if view()[name] is not None else default
    if isinstance(PARTS[name].default, tuple):
        shown = list(shown)  # as widgets that hold several values have it

    def take(value: Any) -> None:
        choose(name, _plain(value))
        if moved is not None:
            moved()

    return showing(_widget_key(name), shown, take)


def bound_value(name: str, *, moved: Callable[[], None] | None = None) -> dict[str, Any]:
    """`bound(name)` for widgets whose default is called `value`: sliders, numbers, texts, toggles.

    The default is the view's value too: it is what a browser falls back to, and reports, when it draws a widget anew.
    """
    arguments = bound(name, moved=moved)
    return {**arguments, "value": st.session_state[arguments["key"]]}


def showing(key: str, value: Any, take: Callable[[Any], None]) -> dict[str, Any]:
    """Arguments of a widget that shows `value` and hands what it is moved to to `take`.

    Its key is `key` itself, with a number behind it once the widget had to be new. It stays the same while the widget
    itself is moved, so that it keeps the focus.
    """
    numbers = st.session_state.setdefault("widget_numbers", {})
    current = _numbered(key)
    if current in st.session_state and _plain(st.session_state[current]) != _plain(value):
        numbers[key] = numbers.get(key, 0) + 1
        current = _numbered(key)
    if current not in st.session_state:
        st.session_state[current] = value

    def report() -> None:
        # The browser reports a replaced widget until it has taken it away, and streamlit takes that for a move.
        if current == _numbered(key):
            take(st.session_state[current])

    return {"key": current, "on_change": report}


class EndOfPage(Exception):
    """Raised where a page has said all it can; `st.stop()` would also keep the view from being written."""


def inside_app() -> bool:
    """Whether app.py is running around the page."""
    return st.session_state.get("inside_app", False)


@contextmanager
def kept_in_url(page: str) -> Iterator[None]:
    """Around a run of `page`: the view is read from the address where that leads, and written there where it lags."""
    memory = st.session_state
    if "view" not in memory or get_script_run_ctx().is_history_navigation:
        memory["view"] = read_view(st.query_params.to_dict())
    if page != memory.get("page"):
        memory["page"] = page
        for name in PARTS:  # a new page has new widgets, even under the same key
            memory.pop(_numbered(_widget_key(name)), None)
    _write_address()
    memory["inside_app"] = True
    try:
        yield
    except EndOfPage:
        pass
    finally:
        memory["inside_app"] = False
    _write_address()


def _write_address() -> None:
    if read_view(st.query_params.to_dict()) != view():
        st.query_params.from_dict(write_view(view()))


def _widget_key(name: str) -> str:
    return f"widget.{name}"


def _numbered(key: str) -> str:
    number = st.session_state.get("widget_numbers", {}).get(key)
    return f"{key}.{number}" if number else key


def _plain(value: Any) -> Any:
    """A widget's value as the view has it: several values as a sorted tuple."""
    return tuple(sorted(value)) if isinstance(value, list) else value
