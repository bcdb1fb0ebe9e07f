"""Prompts in the format of the reference FASP repository: `social_biases_<split>.json` and its `_groups.json`.

The first maps axis → title → list of prompts, the second holds two flat lists, `axis` and `bucket`, with an entry per
prompt; within an axis, entries and prompts have the same order (see its `collect_results.py`). The file's name says the
split: `valid` or `test`. Without a `_groups.json`, the titles of an axis are its groups if it has several.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from fasp_core.data.frames import SPLITS
from fasp_core.data.prompt_set import numbered_frame
from fasp_core.errors import InputError
from fasp_core.files.reading import bad, read_json_object

STEM = "social_biases"
NO_BUCKET = "(none)"  # HolisticBias' own word for phrases that belong to no bucket
TEMPLATE = "as given"


def is_reference_folder(path: Path) -> bool:
    """Whether a folder holds a `social_biases_valid.json` or `social_biases_test.json`."""
    return any((path / f"{STEM}_{split}.json").is_file() for split in SPLITS)


def read_reference_prompts(path: Path) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The prompts of both splits, as a prompt set's frame, and what was left out: axes with one group, repeats.

    Raises InputError, naming file and place, for files that are not as described above.
    """
    files = _files(path)
    rows = [row for split, file in files.items() for row in _rows(file, split)]
    frame = numbered_frame(rows)
    notes = [f"only the {split} prompts were found: {file.name}" for split, file in files.items() if len(files) == 1]
    whole = len(frame)
    frame = frame[~frame.duplicated(["axis", "group", "prompt"])]
    if len(frame) < whole:
        notes.append(f"left out because they repeat another prompt of their group: {whole - len(frame)}")
    groups = frame.groupby("axis", sort=False)["group"].nunique()
    if lone := list(groups.index[groups < 2]):
        notes.append(f"{', '.join(lone)}: one group only, left out because bias compares groups")
    frame = frame[~frame["axis"].isin(lone)].reset_index(drop=True)
    if frame.empty:
        raise InputError(f"{path}: no axis has two groups, and bias compares at least two; check the _groups.json")
    return frame, tuple(notes)


def _files(path: Path) -> dict[str, Path]:
    """The file of each split that is there; raises InputError where a name says neither split."""
    if path.is_dir():
        named = {split: path / f"{STEM}_{split}.json" for split in SPLITS}
    else:
        path = path.with_name(path.name.replace("_groups", "")) if path.stem.endswith("_groups") else path
        own = [split for split in SPLITS if split in path.stem]
        if len(own) != 1:
            raise InputError(f"{path}: its name must say its split, as social_biases_valid.json does; rename it")
        named = {split: path.with_name(path.name.replace(own[0], split)) for split in SPLITS}
        named[own[0]] = path
        return {split: file for split, file in named.items() if file == path or file.is_file()}
    return {split: file for split, file in named.items() if file.is_file()}


def _rows(path: Path, split: str) -> Iterator[tuple[str, ...]]:
    groups_file = path.with_name(f"{path.stem}_groups.json")
    buckets = _buckets(groups_file) if groups_file.is_file() else None
    for axis, titles in read_json_object(path, "axes with titles with prompts").items():
        prompts = list(_prompts(path, axis, titles))
        if buckets is not None:
            groups = buckets.get(axis, [])
            if len(groups) != len(prompts):
                raise InputError(
                    f"{groups_file}, axis '{axis}': {len(groups)} buckets for the {len(prompts)} prompts in "
                    f"{path.name}; the two files belong to different versions, get both again"
                )
        elif len(titles) > 1:
            groups = [title for title, _ in prompts]
        else:
            raise InputError(
                f"{groups_file}: no such file; the groups of axis '{axis}' are in it, put it beside {path.name}"
            )
        for group, (_, prompt) in zip(groups, prompts, strict=True):
            yield axis, group, prompt, TEMPLATE, prompt, split


def _prompts(path: Path, axis: str, titles: Any) -> Iterator[tuple[str, str]]:
    """(title, prompt) of an axis."""
    if not isinstance(titles, dict) or not titles:
        raise bad(path, f"axis '{axis}'", titles, "an object of titles")
    for title, prompts in titles.items():
        if not title.strip() or not isinstance(prompts, list):
            raise bad(path, f"axis '{axis}', title '{title}'", prompts, "a list of prompts under a name")
        for number, prompt in enumerate(prompts, 1):
            if not isinstance(prompt, str) or not prompt.strip():
                raise bad(path, f"axis '{axis}', title '{title}', prompt {number}", prompt, "text that is not blank")
            yield title, prompt


def _buckets(path: Path) -> dict[str, list[str]]:
    """The buckets of each axis, in their order."""
    data = read_json_object(path, "the lists 'axis' and 'bucket'")
    lists: list[Any] = [data.get("axis"), data.get("bucket")]
    for name, values in zip(("axis", "bucket"), lists, strict=True):
        if not isinstance(values, list):
            raise bad(path, f"'{name}'", values, "a list with an entry per prompt")
    if len(lists[0]) != len(lists[1]):
        raise InputError(f"{path}: {len(lists[0])} axes and {len(lists[1])} buckets, must be one each per prompt")
    buckets: dict[str, list[str]] = {}
    for number, (axis, bucket) in enumerate(zip(*lists, strict=True), 1):
        if bucket is None or (isinstance(bucket, float) and math.isnan(bucket)):
            bucket = NO_BUCKET
        if not isinstance(bucket, str) or not bucket.strip():
            raise bad(path, f"'bucket', entry {number}", bucket, "text")
        buckets.setdefault(str(axis), []).append(bucket)
    return buckets
