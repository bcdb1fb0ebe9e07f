"""A fresh machine: in an empty home a clone is set up by one command, and then works without a network.

    make fresh        # or: python3 tests/fresh_machine.py

HEAD is cloned into a temporary folder and `make setup` run there, with a network and pip's own configuration. All that
follows has none: the self-check of the default model, and two starts of the app, each until a page is drawn in
Chromium. Printed is how long each step took; exit status 1 where one failed. It takes minutes, so no test does it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

PROJECT = Path(__file__).resolve().parent.parent
SEPARATE = ["unshare", "--user", "--map-root-user", "--net"]  # Linux: a network of its own, in which there is nobody
REFUSING = {f"{kind}_proxy": "http://127.0.0.1:9" for kind in ("http", "https", "all")}  # where that is not allowed
KEPT = ("PATH", "LANG", "TMPDIR", "SSL_CERT_FILE")  # of the environment, beside what begins with PIP_
OFFLINE = "--offline"


def main() -> int:
    """Clone, set up, and try the rest without a network."""
    with TemporaryDirectory(prefix="fresh-") as folder:
        home, clone = Path(folder) / "home", Path(folder) / "clone"
        home.mkdir()
        kept = {name: value for name, value in os.environ.items() if name in KEPT or name.startswith("PIP_")}
        env = {**kept, "HOME": str(home)}
        with timed("clone"):
            subprocess.run(["git", "clone", "--quiet", PROJECT, clone], check=True)
        with timed("make setup"):
            subprocess.run(["make", "--silent", "setup"], cwd=clone, env=env, stdout=subprocess.DEVNULL, check=True)
        command = [str(clone / ".venv" / "bin" / "python"), "-m", "tests.fresh_machine", OFFLINE]
        if can_separate():
            return subprocess.run([*SEPARATE, *command], cwd=clone, env=env).returncode
        print("no network of its own is allowed here: proxies that refuse stand in for it")
        return subprocess.run(command, cwd=clone, env={**env, **REFUSING, "no_proxy": "127.0.0.1"}).returncode


def offline() -> int:
    """What works in a clone once it is set up; run in the clone, by its own Python."""
    from benchmarks.app.serving import chromium, served

    if "http_proxy" not in os.environ:
        raise_loopback()
        with socket.socket() as outside:
            assert outside.connect_ex(("192.0.2.1", 443)) != 0, "there is a network after all"
    with timed("fasp doctor"):
        subprocess.run([".venv/bin/fasp", "doctor"], stdout=subprocess.DEVNULL, check=True)
    with chromium() as browser:
        for which in ("first", "second"):
            with timed(f"{which} start, until a page is drawn"), served(Path("cache"), Path("app.log")) as address:
                page = browser.new_page()
                page.goto(address)
                page.get_by_role("heading", name="Heads", exact=True).wait_for(timeout=120_000)
                page.close()
    return 0


def can_separate() -> bool:
    """Whether a process may have a network of its own here."""
    if shutil.which(SEPARATE[0]) is None:
        return False
    return subprocess.run([*SEPARATE, "true"], stderr=subprocess.DEVNULL).returncode == 0


def raise_loopback() -> None:
    """Let this machine reach itself in a new network, where even that is off at first."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        up_and_running = struct.pack("16sh22x", b"lo", 0x1 | 0x40)
        fcntl.ioctl(any_socket, 0x8914, up_and_running)  # SIOCSIFFLAGS


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Print how long the block took."""
    started = time.monotonic()
    yield
    print(f"{what}: {time.monotonic() - started:.1f} s", flush=True)


if __name__ == "__main__":
    sys.exit(offline() if OFFLINE in sys.argv else main())
