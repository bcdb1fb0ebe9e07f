"""Who may reach the app, and what it lets a visitor do. The operator says so when the app is started.

Environment variables carry it to the server, its jobs and its workers: `fasp app` sets them from its options.
"""

from __future__ import annotations

import ipaddress
import math
import os
import time
from collections import deque
from threading import Lock

from fasp_core.errors import InputError

VIEWER = "FASP_VIEWER"  # "1": visitors look, select, compare and export, and start nothing but bounded evaluations
SCORERS = "FASP_SCORERS"  # scorers of the operator's own, module:function, with commas; where set, no others are used
LOG = "FASP_LOG"  # "json": the server prints what it does, a line of JSON each (see `files.run_log`)
MODELS_AS_SCORERS = ("detoxify", "hf")
HOUR_S = 3600.0


def is_viewer() -> bool:
    """Whether the app is for looking only."""
    return os.environ.get(VIEWER, "0") not in ("", "0")


def refuse_viewers(what: str) -> None:
    """Raise InputError in viewer mode: `what` is for the operator."""
    if is_viewer():
        raise InputError(f"this app is for looking: {what} is not possible here; ask who runs it")


def listed_scorers() -> tuple[str, ...] | None:
    """The operator's own scorers; None where nobody restricts them, as on the command line."""
    given = os.environ.get(SCORERS)
    return None if given is None else tuple(ref.strip() for ref in given.split(",") if ref.strip())


def is_own_scorer(ref: str) -> bool:
    """Whether a scorer's reference names code to run, `module:function`; those of `MODELS_AS_SCORERS` name files."""
    kind, colon, _ = ref.partition(":")
    return bool(colon) and kind not in MODELS_AS_SCORERS


def check_scorer_listed(ref: str) -> None:
    """Raise InputError for a scorer `module:function` that the operator of the app did not list."""
    listed = listed_scorers()
    if is_own_scorer(ref) and listed is not None and ref not in listed:
        raise InputError(
            f"the app runs no scorer of your own that it was not started with: stop it and start it again with "
            f"fasp app --scorer {ref[:100]}"
        )


def check_address(address: str | None, *, login: bool) -> None:
    """Raise InputError for an address that others can reach, unless they log in or can only look.

    `address` is what the server listens on; None or "" is every address of the machine. `login` tells whether one is
    configured.
    """
    if login or is_viewer() or is_loopback(address):
        return
    raise InputError(
        f"the app would let everybody who reaches {address or 'this machine'} start jobs and delete studies; start it "
        "with --viewer, or configure a login (see docs/sharing.md)"
    )


def is_loopback(address: str | None) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return address == "localhost" or ipaddress.ip_address(address or "0.0.0.0").is_loopback
    except ValueError:
        return False


class Quota:
    """At most so many acts in an hour, for each visitor and for all together; the clock is the monotonic one."""

    def __init__(self, each: int, together: int) -> None:
        self.each, self.together = each, together
        self._acts: deque[tuple[float, str]] = deque()  # when, by whom; the oldest first
        self._lock = Lock()

    def take(self, visitor: str, now: float | None = None) -> None:
        """Count one act; raises InputError, and counts nothing, where the hour's are used up."""
        now = time.monotonic() if now is None else now
        with self._lock:
            while self._acts and self._acts[0][0] <= now - HOUR_S:
                self._acts.popleft()
            mine = [when for when, who in self._acts if who == visitor]
            if len(mine) >= self.each:
                raise self._used_up(f"{self.each} sets an hour for a visitor", mine[0], now)
            if len(self._acts) >= self.together:
                raise self._used_up(f"{self.together} sets an hour for all visitors together", self._acts[0][0], now)
            self._acts.append((now, visitor))

    @staticmethod
    def _used_up(most: str, first: float, now: float) -> InputError:
        minutes = max(1, math.ceil((first + HOUR_S - now) / 60))
        return InputError(
            f"this app measures at most {most}; the next one in {minutes} min. What is measured is shown at any time"
        )
