"""Task files of the user's own for the LM evaluation harness, taken as plain data.

The harness's loader imports what `!function` names, follows `include`, and looks up unknown metrics as scripts. Here a
file is read without any of that, and only the entries of `ENTRIES` are taken, so that no code comes from a file.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from fasp_core.errors import InputError
from fasp_core.files.reading import read_bytes, read_text, shorten
from fasp_core.limits import MAX_JSON_BYTES

FORMATS = ("json", "csv", "parquet", "text")
TEXTS = ("doc_to_text", "doc_to_target", "doc_to_choice", "doc_to_decontamination_query", "description", "gen_prefix")
SPLITS = ("training_split", "validation_split", "test_split", "fewshot_split")
ENTRIES = (
    *("task", "task_alias", "tag", "dataset_path", "dataset_name", "dataset_kwargs", "output_type", "metric_list"),
    *("target_delimiter", "fewshot_delimiter", "num_fewshot", "generation_kwargs", "repeats", "filter_list"),
    *("should_decontaminate", "metadata"),
    *TEXTS,
    *SPLITS,
)
OF_METRICS = ("metric", "aggregation", "higher_is_better", "ignore_case", "ignore_punctuation", "ignore_numbers")
NAME = re.compile(r"[A-Za-z0-9_.-]{1,80}")


@dataclass(frozen=True)
class OwnTask:
    """A task of the user's: its `config` as the harness takes it, and 16 hex digits over its file and its data."""

    name: str
    config: dict[str, Any]
    fingerprint: str

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that it names; none where it leaves them to the harness."""
        return tuple(entry["metric"] for entry in self.config.get("metric_list") or ())


def read_task_files(folder: Path) -> dict[str, OwnTask]:
    """The tasks of a folder's .yaml files, by name; data files are found beside the file that names them.

    Raises InputError for a folder without one, and for a file that is no task, asks for code, or names data that are
    not there.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give --tasks-folder a folder of task files (.yaml)")
    tasks: dict[str, OwnTask] = {}
    for path in sorted((*folder.glob("*.yaml"), *folder.glob("*.yml"))):
        task = _read_task(path)
        if task.name in tasks:
            raise InputError(f"{path}: a second task '{task.name}'; give each a name of its own")
        tasks[task.name] = task
    if not tasks:
        raise InputError(f"{folder}: no task files (.yaml) in it; check --tasks-folder")
    return tasks


def _read_task(path: Path) -> OwnTask:
    text = read_text(path, MAX_JSON_BYTES)
    config = _plain(path, text)
    for entry in config:
        if entry not in ENTRIES:
            raise InputError(
                f"{path}: '{shorten(entry)}' is not taken from a task file: it must be plain data; remove it"
            )
    name = config.get("task")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise InputError(f"{path}: 'task' must be a name of letters, digits, '_', '.' and '-'")
    _check_metrics(path, config.get("metric_list"))
    data = dict(_data_files(path, config))
    config["dataset_kwargs"] = {"data_files": data}
    digest = hashlib.sha256(text.encode())
    for files in data.values():
        for file in files:
            digest.update(hashlib.sha256(read_bytes(Path(file))).digest())
    return OwnTask(name, config, digest.hexdigest()[:16])


def _plain(path: Path, text: str) -> dict[str, Any]:
    """What a YAML file says, where it is entries of plain data."""
    try:
        config = yaml.safe_load(text)
    except yaml.constructor.ConstructorError as error:
        tag = re.search(r"the tag '([^']+)'", str(error))
        what = tag[1].removeprefix("tag:yaml.org,2002:") if tag else "a tag"
        raise InputError(f"{path}: {what} stands for code, and no code is run from a task file; remove it") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}" if where else ""
        raise InputError(f"{path}{line}: not YAML; correct it") from error
    if not isinstance(config, dict) or not all(isinstance(entry, str) for entry in config):
        raise InputError(f"{path}: not a task file: it must be entries like 'task: my_task'")
    return config


def _check_metrics(path: Path, metrics: Any) -> None:
    if metrics is None:
        return
    for entry in metrics if isinstance(metrics, list) else [metrics]:
        if not isinstance(entry, dict) or not isinstance(entry.get("metric"), str) or set(entry) - set(OF_METRICS):
            raise InputError(
                f"{path}: an entry of metric_list must hold a metric and, at most, {', '.join(OF_METRICS[1:])}"
            )


def _data_files(path: Path, config: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """Each split with its files, which are there."""
    if config.get("dataset_path") not in FORMATS:
        raise InputError(f"{path}: dataset_path must be one of {', '.join(FORMATS)}, with data_files in dataset_kwargs")
    asked = config.get("dataset_kwargs")
    if not isinstance(asked, dict) or set(asked) != {"data_files"} or not isinstance(asked["data_files"], dict):
        raise InputError(
            f"{path}: dataset_kwargs must hold data_files alone, a file for each split: {{test: data.jsonl}}"
        )
    for split, files in asked["data_files"].items():
        found = [path.parent / str(file) for file in (files if isinstance(files, list) else [files])]
        for file in found:
            if not file.is_file():
                raise InputError(f"{path}: no data file {file}; check data_files")
        yield str(split), [str(file.resolve()) for file in found]
