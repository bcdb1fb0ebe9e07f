"""What the command line shares with its surroundings: exit statuses, one-line errors, progress on stderr.

Exit status 0: done; 1: the work failed; 2: something must be mended first, said in one line; 130: stopped.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperGroup

from .errors import Cancelled, FaspError, InputError
from .files import REASONS
from .job_report import current_job
from .progress import Progress

if TYPE_CHECKING:
    from rich.console import Console

DONE, FAILED, BAD_INPUT, STOPPED, BROKEN_PIPE = 0, 1, 2, 130, 141
STOPPED_LINE = "stopped; what was finished is kept: run the same command again to go on from there"
TRACEBACK = "FASP_TRACEBACK"  # set it to see where an unexpected error came from
LINE_EVERY_S = 10.0  # without a terminal: a line of progress this often


class Commands(TyperGroup):
    """The group of all commands: whatever goes wrong in one ends as one line on stderr and an exit status."""

    def main(
        self, args: Sequence[str] | None = None, prog_name: str | None = None, *, standalone_mode: bool = True,
        **extra: Any,
    ) -> int:  # fmt: skip
        """Run one command line; exits with its status, or returns it where not `standalone_mode`."""
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="replace")  # a terminal without "±" shows "?" instead
        run, job = super().main, current_job()

        def work() -> int | None:
            if job is not None:
                job.begin()
            return run(args, prog_name, standalone_mode=False, **extra)

        status = exit_status(work)
        if job is not None:
            job.end(status)
        if standalone_mode:
            sys.exit(status)
        return status


def exit_status(work: Callable[[], int | None]) -> int:
    """Do the work; its failure is told in one line on stderr and by the returned status, never by a traceback."""
    try:
        status = work() or DONE
        sys.stdout.flush()
        if status == STOPPED:  # typer's answer to Ctrl-C
            print(STOPPED_LINE, file=sys.stderr)
        return status
    except (KeyboardInterrupt, Cancelled):
        print(STOPPED_LINE, file=sys.stderr)
        return STOPPED
    except InputError as error:
        return _failed(str(error), BAD_INPUT)
    except typer.TyperException as error:
        return _failed(f"{error.format_message().rstrip('.')}; see --help", BAD_INPUT)
    except FaspError as error:
        return _failed(str(error), FAILED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing more to flush at exit
        return BROKEN_PIPE
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        if error.errno in REASONS:
            return _failed(f"{place}{REASONS[error.errno]}", BAD_INPUT)
        return _failed(f"{place}{(error.strerror or str(error)).lower()}", FAILED)
    except Exception as error:
        if os.environ.get(TRACEBACK):
            traceback.print_exc()
        what = str(error) or "no further message"
        return _failed(f"unexpected {type(error).__name__}: {what} (set {TRACEBACK}=1 to see where)", FAILED)


def _failed(message: str, status: int) -> int:
    print("error: " + " ".join(message.split()), file=sys.stderr)
    return status


class ProgressReport:
    """Shows `Progress` events on stderr: a bar per stage on a terminal, else a line now and then. A context manager."""

    def __init__(self, console: Console | None = None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as Bars

        self._bars = Bars(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[count]}"),
            TextColumn("{task.fields[left]}"), console=console or Console(stderr=True),
        )  # fmt: skip
        self._on_terminal = self._bars.console.is_terminal
        self._tasks: dict[str, Any] = {}
        self._last_line: dict[str, float] = {}

    def __enter__(self) -> ProgressReport:
        if self._on_terminal:
            self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._on_terminal:
            self._bars.stop()

    def __call__(self, event: Progress) -> None:
        """Show one event; where this process is a job, its folder is told too."""
        if (job := current_job()) is not None:
            job.progress(event)
        count, left = f"{event.done}/{event.total} {event.unit}", _time_left(event)
        if self._on_terminal:
            if event.stage not in self._tasks:
                self._tasks[event.stage] = self._bars.add_task(event.stage, total=event.total, count=count, left=left)
            self._bars.update(self._tasks[event.stage], completed=event.done, total=event.total, count=count, left=left)
        elif event.done >= event.total or event.elapsed_s >= self._last_line.get(event.stage, 0.0) + LINE_EVERY_S:
            self._last_line[event.stage] = event.elapsed_s
            print(f"{event.stage}: {count}, {left}" if left else f"{event.stage}: {count}", file=sys.stderr, flush=True)


def _time_left(event: Progress) -> str:
    if event.done >= event.total:
        return f"done in {duration(event.elapsed_s)}" if event.elapsed_s >= 1 else "done"
    return "" if event.eta_s is None else f"{duration(event.eta_s)} left"


def duration(seconds: float) -> str:
    """Seconds as people say them: `45 s`, `3 min 20 s`, `2 h 5 min`."""
    seconds = max(0, round(seconds))
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"
