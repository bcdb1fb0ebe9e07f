"""How a command ends and what it shows meanwhile: exit statuses, one-line errors, progress on stderr.

Exit status 0: done; 1: the work failed; 2: bad input, one line says how to fix it; 130: stopped.
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

from fasp_core.errors import BAD_INPUT, BROKEN_PIPE, DONE, FAILED, STOPPED, Cancelled, FaspError, InputError
from fasp_core.files.run_log import place_of
from fasp_core.files.writing import REASONS
from fasp_core.jobs.report import current_job
from fasp_core.progress import Progress
from fasp_core.words.spoken import duration

if TYPE_CHECKING:
    from rich.console import Console

STOPPED_LINE = "stopped; finished work is kept: run the same command again to continue"
TRACEBACK = "FASP_TRACEBACK"  # set it to see where an unexpected error came from
LINE_EVERY_S = 10.0  # without a terminal: a line of progress this often


class Commands(TyperGroup):
    """The group of all commands. Any error in a command becomes one line on stderr and an exit status."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> int:
        """Run one command line; exits with its status, or returns it where not `standalone_mode`."""
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="replace")  # a terminal without "±" shows "?" instead
        run, job = super().main, current_job()

        def work() -> int | None:
            if job is not None:
                job.begin()
                from fasp_core.jobs.turns import wait_for_turn

                wait_for_turn(job.folder)
            return run(args, prog_name, complete_var, False, windows_expand_args, **extra)

        status = exit_status(work, log=job.log if job is not None else None)
        if job is not None:
            job.end(status)
        if standalone_mode:
            sys.exit(status)
        return status


def exit_status(work: Callable[[], int | None], log: Callable[..., None] | None = None) -> int:
    """Do the work and return its exit status; a failure is one line on stderr, never a traceback.

    `log` is told the kind and the place of an error that nobody foresaw.
    """
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
        message = error.format_message().replace("Value error, ", "").rstrip(".")
        return _failed(f"{message}; see --help", BAD_INPUT)
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
        if log is not None:
            log("fails unexpectedly", level="error", error=type(error).__name__, place=place_of(error))
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
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[count]}"),
            TextColumn("{task.fields[left]}"),
            console=console or Console(stderr=True),
        )
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
        """Show one event; if this process is a job, write it into the job's folder too."""
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
