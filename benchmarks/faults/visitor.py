"""A visitor without a browser: a session of the real app over its websocket, and the server that it visits."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.request import urlopen

import psutil
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ClientState_pb2 import ClientState
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from fasp_core.files.paths import PROJECT

STARTS_WITHIN_S = 120
AGAIN_AFTER_S = 1.0  # a page that looks at a measurement runs about so often


class Server:
    """The app as `fasp app` serves it, on a free port over one folder of studies, in a process of its own."""

    def __init__(self, root: Path, log: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        command = [sys.executable, "-m", "streamlit", "run", "serve.py", "--server.headless=true"]
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                [*command, f"--server.port={self.port}"],
                cwd=PROJECT,
                env={**os.environ, "FASP_CACHE": str(root), "FASP_TOUR": "0"},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )
        deadline = time.monotonic() + STARTS_WITHIN_S
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                with urlopen(f"http://127.0.0.1:{self.port}/_stcore/health", timeout=5):
                    return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError(f"the app did not start:\n{log.read_text()}")

    def kill(self) -> list[psutil.Process]:
        """End it at once; the processes that it had started."""
        family = psutil.Process(self.process.pid).children(recursive=True)
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(30)
        return family


class Visitor(threading.Thread):
    """A session that opens a page and has it run again and again, until its server is gone or `leave` is called.

    `runs` counts the page's whole runs, `faults` are the exceptions that any run showed.
    """

    def __init__(self, server: Server, page: str, query: str) -> None:
        super().__init__(daemon=True)
        self.address = f"ws://127.0.0.1:{server.port}/_stcore/stream"
        self.page, self.query = page, query
        self.runs, self.faults = 0, []
        self._leaving = threading.Event()

    def run(self) -> None:
        """Look until there is nobody to answer."""
        try:
            with connect(self.address, subprotocols=["streamlit"], max_size=None) as socket:
                self._ask(socket)
                while not self._leaving.is_set():
                    try:
                        message = ForwardMsg.FromString(socket.recv(timeout=0.2))
                    except TimeoutError:
                        continue
                    self._note(message)
                    if message.WhichOneof("type") == "script_finished":
                        self.runs += 1
                        self._leaving.wait(AGAIN_AFTER_S)
                        self._ask(socket)
        except (ConnectionClosed, OSError, EOFError):
            return

    def leave(self) -> None:
        """Close the page."""
        self._leaving.set()
        self.join(30)

    def wait_for_run(self, server: Server, seconds: float = 120) -> bool:
        """Whether the page has run once more, wholly; False where the server ended, or took too long."""
        before, deadline = self.runs, time.monotonic() + seconds
        while self.runs == before and time.monotonic() < deadline and server.process.poll() is None:
            time.sleep(0.05)
        return self.runs > before

    def _ask(self, socket) -> None:
        asked = BackMsg(rerun_script=ClientState(query_string=self.query, page_name=self.page))
        socket.send(asked.SerializeToString())

    def _note(self, message: ForwardMsg) -> None:
        if message.WhichOneof("type") != "delta" or message.delta.WhichOneof("type") != "new_element":
            return
        element = message.delta.new_element
        if element.WhichOneof("type") == "exception":
            self.faults.append(f"{self.page}: {element.exception.type}: {element.exception.message}"[:300])
