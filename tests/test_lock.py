"""requirements.lock: the set-up installs exactly what is pinned, and every package by the hashes of its files."""

from __future__ import annotations

import re
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
PIN = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)(.*)$", re.MULTILINE)


def pins(name: str) -> dict[str, str]:
    """Package → version, from the lines of a requirements file."""
    found = PIN.findall((PROJECT / name).read_text("utf-8"))
    return {re.sub(r"[-_.]+", "-", package).lower(): version for package, version, _ in found}


def test_every_pinned_package_is_locked_at_its_version():
    asked = pins("requirements.txt") | pins("requirements-test.txt")
    locked = pins("requirements.lock")
    assert asked.pop("torch")  # its build depends on the machine
    assert {package: locked.get(package) for package in asked} == asked, "run: make lock"


def test_every_locked_package_has_a_hash_and_no_build_of_torch_is_among_them():
    text = (PROJECT / "requirements.lock").read_text("utf-8")
    entries = PIN.split(text)[1:]
    assert all("--hash=sha256:" in (rest + after) for rest, after in zip(entries[2::4], entries[3::4], strict=True))
    assert not [name for name in pins("requirements.lock") if re.match("torch$|triton|cuda|nvidia", name)]
