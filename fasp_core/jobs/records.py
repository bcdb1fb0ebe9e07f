"""The files in a job's folder as typed values. A damaged file, or one that holds something else, is `DAMAGED`."""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path
from typing import Annotated, Literal, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from fasp_core.jobs.report import END, PROCESS, PROGRESS
from fasp_core.progress import Progress

RECORD = "job.json"
MOST_STAGES = 10_000
Count = Annotated[int, Field(ge=0, le=10**15)]
Seconds = Annotated[float, Field(ge=0, le=10**11, allow_inf_nan=False)]
T = TypeVar("T")


class Damage(Enum):
    """What stands in place of a file's content that is not what a job wrote."""

    DAMAGED = "damaged"


DAMAGED = Damage.DAMAGED
Read: TypeAlias = T | Literal[Damage.DAMAGED] | None  # None: there is no such file


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)


class JobRecord(_Record):
    """job.json: what was asked for. `begun` is a moment of the monotonic clock, of the machine's start `boot`."""

    key: str = Field(max_length=10_000)
    title: str = Field(max_length=1000)
    command: list[str]
    created: Seconds
    boot: str = ""
    begun: float = Field(default=0.0, allow_inf_nan=False)


class ProcessRecord(_Record):
    """process.json: who runs the job, see `processes.identity`."""

    pid: int = Field(gt=0, lt=2**31)
    identity: str = ""


class EndRecord(_Record):
    """end.json: its exit status."""

    status: int


class _Event(_Record):
    stage: str = Field(max_length=200)
    done: Count
    total: Count
    unit: str = Field(max_length=200)
    elapsed_s: Seconds
    eta_s: Seconds | None = None
    message: str = Field(default="", max_length=10_000)


_EVENTS = TypeAdapter(Annotated[list[_Event], Field(max_length=MOST_STAGES)])


def read_job(folder: Path) -> Read[JobRecord]:
    """What was asked for."""
    return _read(folder / RECORD, TypeAdapter(JobRecord))


def read_process(folder: Path) -> Read[ProcessRecord]:
    """Who runs it."""
    return _read(folder / PROCESS, TypeAdapter(ProcessRecord))


def read_end(folder: Path) -> Read[EndRecord]:
    """How it ended."""
    return _read(folder / END, TypeAdapter(EndRecord))


def read_progress(folder: Path) -> tuple[Progress, ...]:
    """The newest events of each stage; none where they are damaged: a running job writes them again at once."""
    events = _read(folder / PROGRESS, _EVENTS)
    return () if events is None or events is DAMAGED else tuple(Progress(**event.model_dump()) for event in events)


def _read(path: Path, kind: TypeAdapter[T]) -> Read[T]:
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError:
        return DAMAGED
    try:
        return kind.validate_python(json.loads(text))
    except (ValueError, RecursionError):
        return DAMAGED
