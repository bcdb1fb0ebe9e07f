"""Nothing but a sound prompt set gets through (`prompt_set`, `frames`); shares and fingerprints by hand."""

from __future__ import annotations

import re

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fasp_core.data.prompt_set import COLUMNS, PromptSet
from fasp_core.data.prompts import load_prompts
from fasp_core.errors import InputError


def small_frame(**changes: list) -> pd.DataFrame:
    """Two groups with two prompts each; whole columns can be replaced."""
    columns = {
        "prompt_id": [0, 1, 2, 3],
        "axis": ["pets"] * 4,
        "group": ["cats", "cats", "cats", "dogs"],
        "descriptor": ["tabby", "tabby", "manx", "poodle"],
        "template": ["{singular} ran", "see {singular}", "{singular} ran", "{singular} ran"],
        "prompt": ["a tabby ran", "see a tabby", "a manx ran", "a poodle ran"],
        "split": ["valid", "valid", "test", "valid"],
    }
    return pd.DataFrame(columns | changes)


def test_select_refuses_a_split_that_leaves_one_group():
    with pytest.raises(InputError, match="the one group 'cats'"):
        PromptSet("pets", small_frame()).select(split="test")


def test_a_part_is_what_its_rows_alone_would_make():
    whole = load_prompts()
    whole.fingerprint  # noqa: B018 - which the part must not take over
    part, frame = whole.select(axes=["religion"], split="test"), whole.frame
    alone = PromptSet(whole.name, frame[(frame["axis"] == "religion") & (frame["split"] == "test")], whole.notes)
    pd.testing.assert_frame_equal(part.frame, alone.frame)
    assert (part.name, part.notes, part.axes) == (alone.name, alone.notes, ("religion",))
    assert part.fingerprint == alone.fingerprint != whole.fingerprint
    assert len(whole.frame) == len(frame) > len(part.frame)


def test_shares_by_hand():
    shares = PromptSet("pets", small_frame()).group_shares("pets")
    assert shares.to_dict() == {"cats": 0.75, "dogs": 0.25}


def test_fingerprint_depends_on_content_alone():
    whole = PromptSet("a", small_frame())
    shuffled_columns = small_frame()[list(reversed(COLUMNS))].set_index(pd.Index([9, 8, 7, 6])).astype(object)
    assert re.fullmatch(r"[0-9a-f]{16}", whole.fingerprint)
    assert PromptSet("b", shuffled_columns).fingerprint == whole.fingerprint
    assert PromptSet("a", small_frame().iloc[::-1]).fingerprint != whole.fingerprint


@given(st.sampled_from(list(COLUMNS)), st.integers(0, 3))
def test_fingerprint_changes_with_any_cell(column, row):
    other = {"prompt_id": 77, "split": "test"}.get(column, "another")
    frame = small_frame()
    if column == "axis":  # a lone axis would have one group
        frame["axis"] = "another"
    elif column == "split":
        frame.loc[row, column] = "test" if frame.loc[row, column] == "valid" else "valid"
    else:
        frame.loc[row, column] = other
    assert PromptSet("a", frame).fingerprint != PromptSet("a", small_frame()).fingerprint


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompt_id": [0, 1, 1, 3]}, "row 2: the prompt_id '1' repeats"),
        ({"prompt_id": [0, 1, 2.5, 3]}, "row 0: 'prompt_id' is 0.0, not a whole number"),
        ({"prompt_id": [True, False, True, False]}, "not a whole number"),
        ({"prompt": ["a tabby ran", "a tabby ran", "x", "y"]}, "row 1: the prompt 'a tabby ran' repeats"),
        ({"prompt": ["a", "b", " \n", "d"]}, "row 2: 'prompt' is blank"),
        ({"group": ["cats", "cats", float("nan"), "dogs"]}, "row 2: 'group' is nan, not text"),
        ({"descriptor": ["tabby", None, "manx", "poodle"]}, "row 1: 'descriptor' is"),
        ({"axis": ["pets", "pets", "pets", 5]}, "row 3: 'axis' is 5, not text"),
        ({"group": ["cats"] * 4}, "row 0: axis 'pets' has the one group 'cats'"),
        ({"split": ["valid", "tets", "test", "valid"]}, "row 1: unknown split 'tets'; did you mean 'test'"),
        ({"toxicity": [0, 0, 0, 0]}, "unknown column 'toxicity'"),
    ],
)
def test_unsound_frames_are_refused_in_one_line(changes, message):
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        PromptSet("pets", small_frame(**changes))
    assert "\n" not in str(caught.value)


def test_missing_column_and_empty_frame_are_refused():
    with pytest.raises(InputError, match="lacks the column 'group'"):
        PromptSet("pets", small_frame().drop(columns="group"))
    with pytest.raises(InputError, match="'pets' is empty"):
        PromptSet("pets", small_frame().iloc[:0])


def test_the_given_frame_is_copied():
    given_frame = small_frame()
    prompts = PromptSet("pets", given_frame)
    given_frame.loc[0, "prompt"] = "changed afterwards"
    assert prompts.frame.loc[0, "prompt"] == "a tabby ran"


def test_a_known_axis_is_given_back_and_an_unknown_one_refused_with_the_nearest():
    prompts = PromptSet("pets", small_frame())
    assert prompts.known_axis("pets") == "pets"
    with pytest.raises(InputError, match="unknown axis 'pest'; did you mean 'pets'"):
        prompts.known_axis("pest")
    with pytest.raises(InputError, match=r"known: pets in this study$"):
        prompts.known_axis("gender", hint=" in this study")


def test_counts_and_the_groups_with_too_few_prompts():
    prompts = PromptSet("pets", small_frame())
    assert prompts.counts().to_numpy().tolist() == [
        ["pets", "cats", "valid", 2, 1],
        ["pets", "cats", "test", 1, 1],
        ["pets", "dogs", "valid", 1, 1],
    ]
    few = prompts.too_few()  # fewer than 10 prompts: all of them, and dogs have none in test
    assert few[few["prompts"] == 0][["group", "split"]].to_numpy().tolist() == [["dogs", "test"]]
    assert len(few) == 4
