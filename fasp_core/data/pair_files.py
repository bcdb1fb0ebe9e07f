"""Sentence pairs in the formats that people have; each file is read whole or refused by file, row and mend.

| format | how it is known | scored |
| --- | --- | --- |
| CrowS-Pairs (Nangia et al. 2020, arXiv 2010.00133) | a CSV with sent_more, sent_less, bias_type | shared tokens |
| StereoSet (Nadeem et al. 2021, arXiv 2004.09456) | a JSON file; its intrasentence part is read | mean of all tokens |
| WinoBias (Zhao et al. 2018, arXiv 1804.06876) | a name such as pro_stereotyped_type1.txt.dev | all tokens |
| two sentences and an axis | a CSV with sentence_more, sentence_less, axis, and split where wanted | all tokens |

Without a split, half of the pairs of each axis are valid and half test, by name alone; all of one target word of
StereoSet are in one split. Of WinoBias `dev` is valid. In CrowS-Pairs sent_more is the more stereotyped sentence
whatever `stereo_antistereo` says, so that column is not read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fasp_core.data.frames import SPLITS
from fasp_core.data.sentence_pairs import COLUMNS, Scored, SentencePairs, builtin_pairs, pair_problem
from fasp_core.data.splits import halves
from fasp_core.errors import InputError, nearest
from fasp_core.files.csv_files import open_csv
from fasp_core.files.paths import user_path
from fasp_core.files.reading import bad, read_json_object, read_text
from fasp_core.limits import MAX_SENTENCE

# The published sets' names of axes, and those of HolisticBias, which the rest of the program uses.
AXES = {
    "race-color": "race_ethnicity",
    "race": "race_ethnicity",
    "gender": "gender_and_sex",
    "sexual-orientation": "sexual_orientation",
    "socioeconomic": "socioeconomic_class",
    "disability": "ability",
    "physical-appearance": "body_type",
}
WINOBIAS = re.compile(r"(?:pro|anti)_stereotyped_(type\d)\.txt\.(?:dev|test)")
WINOBIAS_SPLITS = dict(zip(("dev", "test"), SPLITS, strict=True))
LABELS = ("stereotype", "anti-stereotype", "unrelated")
Row = tuple[str, str, str, str, str, str]  # as COLUMNS; an empty split is made later


def load_sentence_pairs(source: str | os.PathLike[str] = "builtin") -> SentencePairs:
    """The pairs of a source: "builtin", or a file in one of the formats above; raises InputError for anything else."""
    if source == "builtin":
        return builtin_pairs()
    path = user_path(source)
    if WINOBIAS.fullmatch(path.name):
        return _made(path, "whole", list(_winobias(path)))
    if path.suffix.lower() == ".json":
        return _made(path, "mean", list(_stereoset(path)))
    file = open_csv(path)
    crows = "sent_more" in file.header
    names = ("sent_more", "sent_less", "bias_type") if crows else ("sentence_more", "sentence_less", "axis")
    frame = file.columns(names, optional=("split",))
    if "split" in frame:
        frame["split"] = frame["split"].str.strip()
        wrong = np.flatnonzero(~frame["split"].isin(SPLITS))
        if wrong.size:
            shown = frame["split"].iloc[wrong[0]][:40]
            raise InputError(f"{path}, row {wrong[0] + 2}: unknown split '{shown}'; {nearest(shown, SPLITS)}")
    rows: list[Row] = []
    for i, (more, less, axis) in enumerate(frame[list(names)].itertuples(index=False, name=None)):
        split = frame["split"].iloc[i] if "split" in frame else ""
        row = (axis_name(axis), split, f"{more}\t{less}", more.strip(), less.strip(), "")
        _check(path, f"row {i + 2}", row)
        rows.append(row)
    return _made(path, "shared" if crows else "whole", rows, file.notes)


def axis_name(published: str) -> str:
    """The name of an axis: `race-color` of CrowS-Pairs is `race_ethnicity`."""
    return AXES.get(published.strip(), published.strip())


def _made(path: Path, scored: Scored, rows: list[Row], notes: tuple[str, ...] = ()) -> SentencePairs:
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    if (frame["split"] == "").any():
        notes += ("the file has no split: half of each axis's pairs are valid, half test",)
        for axis, some in frame.groupby("axis", sort=False):
            frame.loc[some.index, "split"] = some["unit"].map(halves(some["unit"], axis))
    repeated = int(frame.duplicated(["axis", "more", "less"]).sum())
    if repeated:
        notes += (f"left out because they repeat another pair of their axis: {repeated}",)
        frame = frame[~frame.duplicated(["axis", "more", "less"])].reset_index(drop=True)
    return SentencePairs(path.name.split(".")[0], scored, frame, notes)


def _check(path: Path, place: str, row: Row) -> None:
    axis, _, _, more, less, unrelated = row
    if problem := pair_problem(axis, more, less):
        raise InputError(f"{path}, {place}: {problem}")
    for sentence in (more, less, unrelated):
        if len(sentence) > MAX_SENTENCE:
            raise InputError(
                f"{path}, {place}: a sentence has {len(sentence):,} characters, more than the {MAX_SENTENCE:,} that "
                "are read; shorten it or delete that row"
            )
        if "\0" in sentence:
            raise InputError(f"{path}, {place}: a sentence holds a null character; delete that character")


def _winobias(path: Path) -> Iterator[Row]:
    """The lines of both files of each split that lies beside the given one."""
    kind = WINOBIAS.sub(r"\1", path.name)
    for ending, split in WINOBIAS_SPLITS.items():
        pro, anti = (path.with_name(f"{side}_stereotyped_{kind}.txt.{ending}") for side in ("pro", "anti"))
        if not pro.exists() and not anti.exists() and not path.name.endswith(ending):
            continue
        lines = [[_plain(line) for line in read_text(file).rstrip("\n").split("\n")] for file in (pro, anti)]
        if len(lines[0]) != len(lines[1]):
            raise InputError(
                f"{anti}: {len(lines[1])} lines for the {len(lines[0])} of {pro.name}; the two belong to different "
                "versions, get both again"
            )
        for i, (more, less) in enumerate(zip(*lines, strict=True), 1):
            row = ("gender_and_sex", split, f"{split} {i}", more, less, "")
            _check(anti, f"row {i}", row)
            if len(more.split()) != len(less.split()):
                raise InputError(
                    f"{anti}, row {i}: not the sentence of row {i} of {pro.name} with another pronoun; get both again"
                )
            yield row


def _plain(line: str) -> str:
    """A line of WinoBias without its number and brackets: `1 [The cook] saw that [she]` -> `The cook saw that she`."""
    return re.sub(r"^\d+\s+", "", line.strip()).replace("[", "").replace("]", "")


def _stereoset(path: Path) -> Iterator[Row]:
    """One row for every context of the intrasentence part."""
    data = read_json_object(path, "StereoSet's 'data'").get("data")
    entries = data.get("intrasentence") if isinstance(data, dict) else None
    if not isinstance(entries, list) or not entries:
        raise InputError(f"{path}: no list data.intrasentence with something in it; give StereoSet's dev.json")
    for number, entry in enumerate(entries, 1):
        place = f"intrasentence entry {number}"
        target, bias_type = (_text(path, place, entry, key) for key in ("target", "bias_type"))
        said = _sentences(path, place, entry)
        more, less, unrelated = (said[label] for label in LABELS)
        row = (axis_name(bias_type), "", target, more, less, unrelated)
        _check(path, place, row)
        yield row


def _sentences(path: Path, place: str, entry: dict[str, Any]) -> dict[str, str]:
    """The sentence of each label; there must be one of each."""
    given = entry.get("sentences")
    if not isinstance(given, list):
        raise bad(path, f"{place}, 'sentences'", given, "a list of three sentences")
    said = {_text(path, place, one, "gold_label"): _text(path, place, one, "sentence") for one in given}
    if len(given) != len(LABELS) or said.keys() != set(LABELS):
        raise bad(path, f"{place}, 'gold_label'", sorted(said), f"{', '.join(LABELS)}, each once")
    return said


def _text(path: Path, place: str, entry: Any, key: str) -> str:
    value = entry.get(key) if isinstance(entry, dict) else None
    if not isinstance(value, str) or not value.strip():
        raise bad(path, f"{place}, '{key}'", value, "text that is not blank")
    return value.strip()
