"""Files of the reference FASP repository: groups in the order of the prompts; what is wrong is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.prompt_files import cell, loaded_or_refused, refused, values, word
from hypothesis import given
from hypothesis import strategies as st

from fasp_core.data.prompts import load_prompts

AXES = {"religion": {"prompts": ["I'm Sikh.", "I'm Jain.", "I'm Sikh too."]}, "nonce": {"prompts": ["I'm stad."]}}
GROUPS = {
    "axis": ["religion", "nonce", "religion", "religion"],
    "bucket": ["all", "all", "(none)", "all"],
    "other": [1],
}


def write_reference(folder: Path, split: str, prompts: object, groups: object = None) -> Path:
    path = folder / f"social_biases_{split}.json"
    path.write_text(json.dumps(prompts))
    if groups is not None:
        (folder / f"social_biases_{split}_groups.json").write_text(json.dumps(groups))
    return path


def test_both_splits_with_groups_in_the_order_of_the_prompts(tmp_path):
    valid = write_reference(tmp_path, "valid", AXES, GROUPS)
    write_reference(
        tmp_path,
        "test",
        AXES | {"religion": {"a": ["I'm Sunni."], "b": ["I'm Shia."]}},
        {"axis": ["religion", "religion", "nonce"], "bucket": ["all", None, "all"]},
    )
    prompts = load_prompts(valid)
    rows = prompts.frame[["axis", "group", "prompt", "split"]].apply(tuple, axis=1).tolist()
    assert rows == [
        ("religion", "all", "I'm Sikh.", "valid"),
        ("religion", "(none)", "I'm Jain.", "valid"),
        ("religion", "all", "I'm Sikh too.", "valid"),
        ("religion", "all", "I'm Sunni.", "test"),
        ("religion", "(none)", "I'm Shia.", "test"),
    ]
    assert prompts.notes == (
        "left out because they repeat another prompt of their group: 1",
        "nonce: one group only, left out because bias compares groups",
    )
    for source in (tmp_path, tmp_path / "social_biases_test.json", tmp_path / "social_biases_valid_groups.json"):
        assert load_prompts(source).fingerprint == prompts.fingerprint


def test_titles_are_the_groups_where_there_is_no_groups_file(tmp_path):
    path = write_reference(tmp_path, "valid", {"jobs": {"nurses": ["A nurse"], "doctors": ["A doctor", "A doctor"]}})
    prompts = load_prompts(path)
    assert prompts.frame["group"].tolist() == ["nurses", "doctors"]
    assert prompts.notes == (
        "only the valid prompts were found: social_biases_valid.json",
        "left out because they repeat another prompt of their group: 1",
    )


@pytest.mark.parametrize(
    ("prompts", "groups", "message"),
    [
        ({"religion": {"prompts": ["a"]}}, None, "social_biases_valid_groups.json: no such file"),
        (AXES, {"axis": ["religion"], "bucket": ["all"]}, "axis 'religion': 1 buckets for the 3 prompts"),
        (AXES, {"axis": ["religion"], "bucket": []}, "1 axes and 0 buckets"),
        (AXES, {"axis": ["religion"]}, "'bucket': None must be a list"),
        (AXES, GROUPS | {"bucket": ["all", 3, "x", "y"]}, "'bucket', entry 2: 3 must be text"),
        ({"religion": ["a"]}, GROUPS, "axis 'religion': ['a'] must be an object of titles"),
        ({"religion": {"t": "a"}}, GROUPS, "axis 'religion', title 't': 'a' must be a list"),
        ({"religion": {"t": ["a", ""]}}, GROUPS, "axis 'religion', title 't', prompt 2: '' must be text"),
        ({"nonce": {"t": ["a"]}}, {"axis": ["nonce"], "bucket": ["all"]}, "no axis has two groups"),
        ({}, GROUPS, "must hold axes with titles with prompts, as a JSON object"),
    ],
)
def test_what_is_wrong_is_named_by_file_and_place(tmp_path, prompts, groups, message):
    refused(write_reference(tmp_path, "valid", prompts, groups), message)


def test_a_name_without_split(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(AXES))
    refused(path, "its name must say its split")


@given(st.dictionaries(word | cell, values, max_size=3) | values, values)
def test_any_reference_file_is_loaded_or_refused(folder, prompts, groups):
    loaded_or_refused(write_reference(folder, "valid", prompts, groups))
