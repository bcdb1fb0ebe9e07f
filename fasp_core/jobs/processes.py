"""Which process is which: a number alone is used again, and the machine's clock may be set while a process runs."""

from __future__ import annotations

from pathlib import Path

import psutil

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def boot() -> str:
    """What this start of the machine is called; "" where the system has no name for it."""
    try:
        return BOOT_ID.read_text("ascii").strip()
    except OSError:
        return ""


def identity(process: psutil.Process) -> str:
    """What tells a process from every other that had or will have its number, whatever the clock is set to.

    On Linux the start of the machine and the clock ticks from it to the start of the process. Elsewhere the system
    notes the time of a process's start once, and a clock that is set later does not change it. Raises
    psutil.NoSuchProcess once the process is gone.
    """
    if named := boot():
        return f"{named} {_start_ticks(process.pid)}"
    return repr(process.create_time())


def _start_ticks(pid: int) -> int:
    """Field 22 of /proc/PID/stat; the name in field 2 may hold spaces and brackets."""
    try:
        line = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        raise psutil.NoSuchProcess(pid) from None
    return int(line.rpartition(")")[2].split()[19])
