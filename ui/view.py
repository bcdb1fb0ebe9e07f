"""The view is what one looks at: study, axis, γ, α, head, … It is kept across pages and in the address.

The session holds one view (`view()`). `ui.address.PARTS` lists its parts. Three things change it: a widget, a page
(`choose`), and the browser going back or forward.

**Widgets** show a part of the view and report to it when they are moved (`bound`). So nothing is lost when a widget
vanishes, as all widgets of a page do when it is left. A widget whose value was changed by anything but itself is
drawn anew under another key (`showing`), and reports of the old one are ignored. The reason: with every event, a
timer's included, the browser sends the values of all widgets as it knows them. What it sends before it hears of a
change would count as moving the widget back.

**The address** is read in two cases only: at the start of a session, and in a run that the browser started by going
back or forward, which streamlit marks. In any other run the address that the browser sends may be older than the view.
It is written only where it means another view, and before the page is drawn. So each change is one step to go back
over, and a run that went back adds no step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from fasp_core.errors import FaspError
from ui import words
from ui.address import PARTS, read_view, write_view
from ui.text import plain


def view() -> dict[str, Any]:
    """The session's view: a value for every name of `ui.address.PARTS`."""
    return st.session_state["view"]


def address_of_view() -> dict[str, str]:
    """The view as the query of an address, for links to other pages."""
    return write_view(view())


def session_id() -> str:
    """A random name for this browser session."""
    return st.session_state.setdefault("session_id", uuid4().hex)


def choose(name: str, value: Any) -> None:
    """Change one part of the view, in a callback or before its widget is drawn; its widget follows."""
    view()[name] = value


def bound(name: str, *, default: Any = None, moved: Callable[[], None] | None = None) -> dict[str, Any]:
    """Arguments that tie a widget to one part of the view: `st.slider("γ", 0.0, 1.0, **bound("gamma"))`.

    While that part is None the widget shows `default`, and the view stays as it is. `moved` is called after a move.
    """
    shown = view()[name] if view()[name] is not None else default
    if isinstance(PARTS[name].default, tuple):
        shown = list(shown)  # widgets that hold several values give lists

    def take(value: Any) -> None:
        choose(name, _plain(value))
        if moved is not None:
            moved()

    return showing(_widget_key(name), shown, take)


def bound_value(name: str, *, moved: Callable[[], None] | None = None) -> dict[str, Any]:
    """`bound(name)` for widgets whose default is called `value`: sliders, numbers, texts, toggles.

    Their default is the view's value too: a browser that draws a widget anew starts from its default and reports it.
    """
    arguments = bound(name, moved=moved)
    return {**arguments, "value": st.session_state[arguments["key"]]}


def showing(key: str, value: Any, take: Callable[[Any], None]) -> dict[str, Any]:
    """Arguments of a widget that shows `value` and calls `take` with its new value when it is moved.

    Its key is `key`, followed by a number once the widget had to be drawn anew. While only the widget itself is moved
    the key stays the same, so that it keeps the focus.
    """
    numbers = st.session_state.setdefault("widget_numbers", {})
    current = _numbered(key)
    if current in st.session_state and _plain(st.session_state[current]) != _plain(value):
        numbers[key] = numbers.get(key, 0) + 1
        current = _numbered(key)
    if current not in st.session_state:
        st.session_state[current] = value

    def report() -> None:
        # Until the browser has removed a replaced widget it reports it, and streamlit takes that for a move.
        if current == _numbered(key):
            take(st.session_state[current])

    return {"key": current, "on_change": report}


class EndOfPage(Exception):
    """Raised to end a page early; `st.stop()` would also keep the view from being written."""


def inside_app() -> bool:
    """Whether app.py is running around the page."""
    return st.session_state.get("inside_app", False)


@contextmanager
def kept_in_url(page: str) -> Iterator[None]:
    """Around a run of `page`: read the view from the address where the address leads, and write it there.

    A page that finds a file of its study damaged, or deleted meanwhile, ends with the line that says so.
    """
    memory = st.session_state
    if "view" not in memory or get_script_run_ctx().is_history_navigation:
        memory["view"] = read_view(st.query_params.to_dict())
    if page != memory.get("page"):
        memory["page"] = page
        for name in PARTS:  # on a new page all widgets are new, also under the same key
            memory.pop(_numbered(_widget_key(name)), None)
    _write_address()
    memory["inside_app"] = True
    try:
        yield
    except EndOfPage:
        pass
    except FaspError as error:
        st.error(plain(error))
    except FileNotFoundError as error:
        st.error(words.DELETED_MEANWHILE.format(plain(Path(error.filename or "").name)))
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
    """A widget's value as the view holds it: several values as a sorted tuple."""
    return tuple(sorted(value)) if isinstance(value, list) else value
