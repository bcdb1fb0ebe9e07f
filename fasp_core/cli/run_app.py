"""The command `app`: the app in a browser."""

from __future__ import annotations

import os
import runpy
import socket
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

from fasp_core.access import LOG, SCORERS, VIEWER, check_address, is_loopback, is_viewer
from fasp_core.cli.options import Address, AppLog, AppScorers, HostNames, Port, Viewer
from fasp_core.files.paths import app_script, server_script


def run_app(
    port: Port = None,
    address: Address = "127.0.0.1",
    host: HostNames = None,
    viewer: Viewer = False,
    scorer: AppScorers = None,
    log: AppLog = None,
) -> None:
    """Start the app, for this machine only, and open it in the browser.

    It runs until Ctrl-C. Jobs continue without it, and are shown again at the next start. On another address it starts
    only with --viewer or with a login (docs/sharing.md).
    """
    if viewer:
        os.environ[VIEWER] = "1"
    if log:
        os.environ[LOG] = log
    os.environ[SCORERS] = ",".join([*filter(None, [os.environ.get(SCORERS)]), *(scorer or [])])
    check_address(address, login=has_login())
    # As `python -m streamlit run`, in this process, so that signals and the exit status need no passing on. Streamlit
    # reads its options from .streamlit/config.toml beside the script, whatever the working directory.
    options = [f"--server.address={address}", *([f"--server.port={port}"] if port else [])]
    options += [f"--server.allowedHosts={name}" for name in host_names(address, host or ())]
    if not is_loopback(address):
        options.append("--server.headless=true")
        print(f"for {'looking' if is_viewer() else 'those who log in'}, on {address}", file=sys.stderr)
    sys.argv = ["streamlit", "run", str(server_script()), *options]
    runpy.run_module("streamlit", run_name="__main__", alter_sys=True)


def host_names(address: str, more: Iterable[str]) -> list[str]:
    """The names under which browsers may ask for the app: those of this machine, its address there, and `more`."""
    own = ["localhost", "127.0.0.1"]
    if not is_loopback(address):
        own += [socket.gethostname(), *([address] if address not in ("0.0.0.0", "::") else [])]
    return list(dict.fromkeys([*own, *more]))


def has_login() -> bool:
    """Whether a secrets.toml that Streamlit reads has a section [auth]."""
    folders = (Path.home(), Path.cwd(), app_script().parent)
    return any(_has_auth(folder / ".streamlit" / "secrets.toml") for folder in folders)


def _has_auth(path: Path) -> bool:
    try:
        return "auth" in tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return False
