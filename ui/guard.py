"""What stands between the network and streamlit: which hosts and pages may talk to the app, and what browsers may load.

Every answer tells the browser to load nothing from elsewhere and to show the app in no other page's frame. A request
under a foreign name (DNS rebinding), or from another page, is refused; so are the server's own figures, which are of no
use to a visitor.
"""

from __future__ import annotations

from urllib.parse import urlsplit

import streamlit as st
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import PlainTextResponse

# Streamlit's front end and plotly write styles and compile code; everything comes from this server.
POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "media-src 'self' data: blob:",
        "connect-src 'self' data: blob:",
        "worker-src 'self' blob:",
        "frame-src 'self' data: blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-frame-options", b"DENY"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
CLOSED = ("/_stcore/metrics",)


class Guard:
    """The ASGI middleware of what the head of this file says, but for the host, which starlette's own checks."""

    def __init__(self, app) -> None:
        self.app = app

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
        elif scope["path"].endswith(CLOSED) or not _is_own_page(scope):
            await _refuse(scope, receive, send)
        else:
            await self.app(scope, receive, _with_headers(send))


def guards() -> list[Middleware]:
    """The middleware of the app, the outermost first."""
    hosts = st.get_option("server.allowedHosts") or ["localhost", "127.0.0.1"]
    return [Middleware(TrustedHostMiddleware, allowed_hosts=hosts, www_redirect=False), Middleware(Guard)]


def _is_own_page(scope) -> bool:
    """Whether a request comes from a page of this very host and port, or from no page at all."""
    headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
    origin = headers.get(b"origin")
    if origin is None or origin in st.get_option("server.corsAllowedOrigins"):
        return True
    return urlsplit(origin).netloc == headers.get(b"host")


async def _refuse(scope, receive, send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
    else:
        await PlainTextResponse("refused", status_code=403)(scope, receive, send)


def _with_headers(send):
    async def sender(message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], *HEADERS]}
        await send(message)

    return sender
