"""The guards of the server: foreign names and pages are refused, and browsers load nothing from elsewhere."""

from __future__ import annotations

import asyncio

import pytest
import streamlit as st
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute

from ui.guard import guards


async def hello(request):
    return PlainTextResponse("hello")


async def stream(websocket):
    await websocket.accept()
    await websocket.close()


@pytest.fixture(scope="module")
def app():
    routes = [Route("/{path:path}", hello), WebSocketRoute("/_stcore/stream", stream)]
    return Starlette(routes=routes, middleware=guards())


def ask(app, path="/", *, kind="http", **headers):
    """The messages that the app sends in answer to one request."""
    sent = []
    scope = {
        "type": kind,
        "http_version": "1.1",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "scheme": "ws" if kind == "websocket" else "http",
        "server": ("127.0.0.1", 8501),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "subprotocols": [],
        "extensions": {"websocket.http.response": {}},
    }

    async def receive():
        return {"type": "websocket.connect" if kind == "websocket" else "http.request", "body": b""}

    async def send(message):
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    return sent


def status(messages):
    return messages[0].get("status")


@pytest.mark.parametrize("host", ["127.0.0.1:8501", "localhost:8501", "localhost"])
def test_this_machine_is_served_and_told_to_load_nothing_from_elsewhere(app, host):
    messages = ask(app, host=host)
    headers = {name.decode(): value.decode() for name, value in messages[0]["headers"]}
    assert status(messages) == 200
    assert headers["x-frame-options"] == "DENY"
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["object-src"] == "'none'"
    assert not any("*" in sources or "http" in sources for sources in policy.values())


@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_another_name_for_this_machine_is_refused(app, kind):
    host = "evil.example:8501"
    assert status(ask(app, "/_stcore/stream", kind=kind, host=host, origin=f"http://{host}")) == 400


@pytest.mark.parametrize("origin", ["http://evil.example", "http://localhost:9999", "http://127.0.0.1:8502", "null"])
def test_pages_of_other_servers_are_refused(app, origin):
    messages = ask(app, "/_stcore/stream", kind="websocket", host="127.0.0.1:8501", origin=origin)
    assert [message["type"] for message in messages] == ["websocket.close"]
    assert status(ask(app, host="127.0.0.1:8501", origin=origin)) == 403


def test_the_apps_own_page_is_connected(app):
    messages = ask(app, "/_stcore/stream", kind="websocket", host="localhost:8501", origin="http://localhost:8501")
    assert [message["type"] for message in messages] == ["websocket.accept", "websocket.close"]


def test_the_servers_figures_are_closed(app):
    assert status(ask(app, "/_stcore/metrics", host="localhost")) == 403
    assert status(ask(app, "/base/_stcore/metrics", host="localhost")) == 403


def test_streamlits_own_check_has_the_same_hosts():
    assert st.get_option("server.allowedHosts") == ["localhost", "127.0.0.1"]
    assert st.get_option("client.showErrorDetails") == "none"
