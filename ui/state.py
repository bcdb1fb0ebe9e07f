"""What one looks at: study, axis, γ, α and head. Kept across pages and in the URL, so that a link opens the same view.

Widget values vanish when their page is left, so the view lives under a key of its own; `bound` ties a widget to it.
The URL is read when a session starts and when one goes back or forward in the browser, and written when the view or
the page has changed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import streamlit as st

DEFAULTS: dict[str, Any] = {"study": None, "axis": None, "gamma": 0.3, "alpha": 0.1, "head": None}


def view() -> dict[str, Any]:
    """The session's view: `study`, `axis` (str or None), `gamma`, `alpha` (float), `head` ((layer, head) or None)."""
    return st.session_state.setdefault("view", dict(DEFAULTS))


def session_id() -> str:
    """A name for this browser session, known to nobody else."""
    return st.session_state.setdefault("session_id", uuid4().hex)


def choose(name: str, value: Any) -> None:
    """Change one part of the view from a callback or before its widget is drawn; its widget follows."""
    view()[name] = value
    st.session_state["view_is_newer"] = True
    if _widget_key(name) in st.session_state:
        st.session_state[_widget_key(name)] = value


def bound(name: str, *, default: Any = None) -> dict[str, Any]:
    """Arguments that tie a widget to one part of the view: `st.slider("γ", 0.0, 1.0, **bound("gamma"))`.

    While that part is None the widget shows `default`, which does not become part of the view.
    """
    key = _widget_key(name)
    if key not in st.session_state or view()[name] is None:
        st.session_state[key] = default if view()[name] is None else view()[name]
    return {"key": key, "on_change": _take, "args": (name,)}


def rerun() -> None:
    """Run the whole page again from within one of its fragments; the view stays as it is."""
    st.session_state["view_is_newer"] = True
    st.rerun()


class EndOfPage(Exception):
    """Raised where a page has said all it can; `st.stop()` would also keep the view from being written."""


def inside_app() -> bool:
    """Whether app.py is running around the page."""
    return st.session_state.get("inside_app", False)


@contextmanager
def kept_in_url(page: str) -> Iterator[None]:
    """Around a run of `page`: the view is read from the URL before it, and written there after it.

    A browser sends its address with every interaction, and that may be older than the view; so it is read only when
    it changed and neither a widget nor the page itself started the run: at first, and on going back or forward. The
    view is written only when it or the page changed: going back to a bare address must not add a new entry to the
    history. A new page has new widgets, even under the same key; they take their values from the view.
    """
    memory = st.session_state
    address = st.query_params.to_dict()
    if not memory.pop("view_is_newer", False) and address != memory.get("address"):
        for name, value in read_view(address).items():
            choose(name, value)
    if page != memory.get("page"):
        memory["page"] = page
        memory.update({_widget_key(name): value for name, value in view().items() if value is not None})
    memory["inside_app"] = True
    try:
        yield
    except EndOfPage:
        pass
    finally:
        memory["inside_app"] = False
    memory.pop("view_is_newer", None)
    wanted = write_view(view())
    if (page, wanted) != memory.get("written"):
        memory["written"] = (page, wanted)
        st.query_params.from_dict(wanted)
    memory["address"] = st.query_params.to_dict()


def read_view(address: dict[str, str]) -> dict[str, Any]:
    """The parts of a view that an address holds; what cannot be read is left out."""
    readers: dict[str, Callable[[str], Any]] = {
        "study": str, "axis": str, "gamma": _share, "alpha": _share, "head": _head,
    }  # fmt: skip
    found = {}
    for name, reader in readers.items():
        try:
            found[name] = reader(address[name])
        except (KeyError, ValueError):
            continue
    return found


def write_view(parts: dict[str, Any]) -> dict[str, str]:
    """The address of a view, the inverse of `read_view`."""
    address = {name: str(parts[name]) for name in ("study", "axis") if parts[name] is not None}
    address |= {name: f"{parts[name]:.2f}" for name in ("gamma", "alpha")}
    if parts["head"] is not None:
        address["head"] = "{}.{}".format(*parts["head"])
    return address


def _share(text: str) -> float:
    value = float(text)
    if not (math.isfinite(value) and 0 <= value <= 1):
        raise ValueError(text)
    return round(value, 2)


def _head(text: str) -> tuple[int, int]:
    layer, head = text.split(".")
    if not (layer.isdecimal() and head.isdecimal()):
        raise ValueError(text)
    return int(layer), int(head)


def _widget_key(name: str) -> str:
    return f"widget.{name}"


def _take(name: str) -> None:
    view()[name] = st.session_state[_widget_key(name)]
    st.session_state["view_is_newer"] = True
