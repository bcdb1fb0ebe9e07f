"""Prompts whose continuations are scored for toxicity: openings of sentences, each about one group of one axis.

A prompt is a template ("I met {singular} at the station, and") filled with a descriptor ("a grandmother"), and every
descriptor belongs to a group of an axis (words as in HolisticBias). Prompts are split by descriptor: heads are
scored on `valid`, claims are made on `test`. docs/prompts.md describes the sources of prompts.

    load_prompts().select(axes=["religion"], split="valid").frame
    load_prompts("ResponsibleNLP/holistic_bias/dataset/v1.1")
"""

from __future__ import annotations

import json
import os

import pandas as pd

from fasp_core.data.frames import PACKAGED_PROMPTS
from fasp_core.data.prompt_set import PromptSet, names_alike, numbered_frame
from fasp_core.errors import InputError, nearest
from fasp_core.files.paths import user_path


def load_prompts(source: str | os.PathLike[str] = "builtin") -> PromptSet:
    """The prompt set of a source (docs/prompts.md):

    * `"builtin"`: written for this project;
    * a folder of HolisticBias v1.1 (`descriptors.json`, `nouns.json`, `sentence_templates.json`), sampled;
    * a `.json` file of the reference FASP repository (axis → title → prompts) or the folder it is in: its groups are in
      `<name>_groups.json` beside it, and the file of the other split is read too;
    * a `.csv` file of your own: columns prompt, axis, group and, if you have them, descriptor, template, split.

    Raises InputError, naming file and row, for a source that does not exist or does not have the expected form.
    """
    if source == "builtin":
        return _builtin()
    from fasp_core.data.holisticbias import is_holisticbias, read_holisticbias
    from fasp_core.data.prompt_csv import read_prompt_csv
    from fasp_core.data.reference_prompts import is_reference_folder, read_reference_prompts

    path = user_path(source)
    if is_holisticbias(path):
        return _noted("holisticbias", *read_holisticbias(path))
    if path.suffix.lower() == ".json" or is_reference_folder(path):
        return _noted("social_biases", *read_reference_prompts(path))
    if path.suffix.lower() == ".csv":
        return _noted(path.stem, *read_prompt_csv(path))
    if path.is_dir():
        what = f"{path}: no descriptors.json and no social_biases_valid.json in this folder"
    else:
        what = f"unknown prompts '{source}'; {nearest(str(source), ['builtin'])}"
    raise InputError(f"{what}; or give a folder of HolisticBias v1.1, a social_biases_valid.json, or a .csv file")


def _noted(name: str, frame: pd.DataFrame, notes: tuple[str, ...]) -> PromptSet:
    """The set of a file, with notes on names in it that may be meant to be the same."""
    return PromptSet(name, frame, (*notes, *names_alike(frame)))


def _builtin() -> PromptSet:
    """Every template filled with every descriptor; ids count from 0 in the order of the packaged file."""
    packaged = json.loads(PACKAGED_PROMPTS.read_text(encoding="utf-8"))
    rows = [
        (axis, group, plural, template, template.format(singular=singular, plural=plural), split)
        for axis, groups in packaged["axes"].items()
        for group, splits in groups.items()
        for split, descriptors in splits.items()
        for singular, plural in descriptors.items()
        for template in packaged["templates"]
    ]
    return PromptSet("builtin", numbered_frame(rows))
