"""A fresh machine: in an empty home the project is set up by one command, and then works without a network.

    make fresh                              # HEAD, cloned into a temporary folder
    python3 tests/fresh_machine.py --here   # this checkout itself, which is a clone where CI runs

`make setup` runs with a network and pip's own configuration. All that follows has none: the self-check of the default
model, and two starts of the app, each until the first page's maps are drawn in Chromium. Printed is how long each step
took, and where the second start took longer than it should; exit status 1 where a step failed.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import shutil
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

PROJECT = Path(__file__).resolve().parent.parent
SEPARATE = ["unshare", "--user", "--map-root-user", "--net"]  # Linux: a network of its own, in which there is nobody
PROXIES = tuple(f"{kind}_proxy" for kind in ("http", "https", "all"))
REFUSING = {**dict.fromkeys(PROXIES, "http://127.0.0.1:9"), "no_proxy": "127.0.0.1"}  # where that is not allowed
KEPT = ("PATH", "LANG", "TMPDIR", "SSL_CERT_FILE")  # of the environment, beside what begins with PIP_
PIP_FILES = (".config/pip/pip.conf", ".pip/pip.conf")  # in a home: which index pip asks
SECOND_START_S = 5


def main() -> int:
    """Set up a clone or this checkout, and try the rest without a network."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--here", action="store_true", help="this checkout, not a clone of it")
    parser.add_argument("--offline", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.offline:
        return offline()
    with TemporaryDirectory(prefix="fresh-") as folder:
        home, checkout = Path(folder) / "home", PROJECT
        home.mkdir()
        if not options.here:
            checkout = Path(folder) / "clone"
            with timed("clone"):
                subprocess.run(["git", "clone", "--quiet", PROJECT, checkout], check=True)
        elif (PROJECT / ".venv").exists():
            print("this checkout was set up before: what follows does not show that a fresh one can be")
        return try_out(checkout, empty_home(os.environ, home))


def try_out(checkout: Path, env: dict[str, str]) -> int:
    """`make setup` in `checkout`, then `offline` there; the exit status."""
    with timed("make setup"):
        subprocess.run(["make", "--silent", "setup"], cwd=checkout, env=env, stdout=subprocess.DEVNULL, check=True)
    command = [str(checkout / ".venv" / "bin" / "python"), "-m", "tests.fresh_machine", "--offline"]
    env = {name: value for name, value in env.items() if name.lower() not in REFUSING}
    if can_separate():
        return subprocess.run([*SEPARATE, *command], cwd=checkout, env=env).returncode
    print("no network of its own is allowed here: proxies that refuse stand in for it")
    return subprocess.run(command, cwd=checkout, env={**env, **REFUSING}).returncode


def empty_home(environment: Mapping[str, str], home: Path) -> dict[str, str]:
    """Of an environment what names programs, certificates, proxies and pip's configuration; all else begins anew."""
    kept = {
        name: value
        for name, value in environment.items()
        if name in KEPT or name.startswith("PIP_") or name.lower() in REFUSING
    }
    for name in PIP_FILES:
        if (of_pip := Path(environment.get("HOME", home)) / name).is_file():
            kept.setdefault("PIP_CONFIG_FILE", str(of_pip))
    return {**kept, "HOME": str(home)}


def offline() -> int:
    """What works in a checkout once it is set up; run in it, by its own Python."""
    from benchmarks.app.serving import chromium, served
    from benchmarks.pages import CONTENT

    if "http_proxy" not in os.environ:
        raise_loopback()
        with socket.socket() as outside:
            assert outside.connect_ex(("192.0.2.1", 443)) != 0, "there is a network after all"
    with timed("fasp doctor"):
        subprocess.run([".venv/bin/fasp", "doctor"], stdout=subprocess.DEVNULL, check=True)
    with chromium() as browser:
        for which, aim_s in (("first", None), ("second", SECOND_START_S)):
            started = time.monotonic()
            with served(Path("cache"), Path.home() / "app.log") as address:
                page = browser.new_page()
                page.goto(address)
                page.get_by_role("heading", name="Heads", exact=True).wait_for(timeout=120_000)
                say(f"{which} start, until a page is there", time.monotonic() - started)
                page.locator(CONTENT["Heads"]).first.wait_for(timeout=120_000)
                say(f"{which} start, until its maps are drawn", time.monotonic() - started, aim_s)
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
    say(what, time.monotonic() - started)


def say(what: str, seconds: float, aim_s: float | None = None) -> None:
    """Print how long something took, and whether that is longer than it should be."""
    late = f", and should take less than {aim_s} s" if aim_s is not None and seconds >= aim_s else ""
    print(f"{what}: {seconds:.1f} s{late}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
