"""A manifest that is not as it was written never gives other numbers, and is one line whatever stands in it."""

from __future__ import annotations

import copy
import json
import random

import pytest
from helpers.made_study import make_study

from fasp_core.errors import InputError
from fasp_core.study.manifest import CHECKSUM
from fasp_core.study.study import list_studies, open_study

NONSENSE = (
    None,
    -1,
    10**400,
    1e300,
    "",
    "\x00 <b>\n",
    "\ud800",
    [],
    [[1]],
    {},
    {"a": {"b": None}},
    True,
    "9" * 5000,
)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder with the small study `s`, as written."""
    root = tmp_path_factory.mktemp("studies")
    make_study(root, "s", n_layers=1, heads_per_layer=2, axes=("religion",), samples=24, windows=4)
    return root


def numbers(root):
    """What pages read of a study; raises InputError where it cannot be read."""
    study = open_study("s", root)
    scores = study.scores(metric=next(iter(study.metrics), "toxicity"))
    for axis in study.axes:
        study.samples(axis)
    return (
        scores.frame.to_csv(),
        scores.record(),
        study.prompts.fingerprint,
        str(study.scorer_record()),
        study.model_record,
    )


def test_a_manifest_is_written_with_its_checksum_and_opens_without(root):
    path = root / "s" / "manifest.json"
    written, before = path.read_text("utf-8"), numbers(root)
    data = json.loads(written)
    assert len(data.pop(CHECKSUM)) == 16
    path.write_text(json.dumps(data))  # as an older program wrote it
    assert numbers(root)[0] == before[0]
    path.write_text(written, "utf-8")


def test_a_change_by_hand_is_one_line_that_tells_how_it_is_meant(root):
    path = root / "s" / "manifest.json"
    written = path.read_text("utf-8")
    data = json.loads(written)
    data["notes"] = ["changed"]
    path.write_text(json.dumps(data))
    with pytest.raises(InputError, match=r"study 's' is damaged: .*checksum differs.*delete the entry 'checksum'"):
        open_study("s", root)
    del data[CHECKSUM]
    path.write_text(json.dumps(data))
    assert open_study("s", root).manifest.notes == ["changed"]
    path.write_text(written, "utf-8")


def test_a_flipped_bit_changes_no_number(root):
    path, rng = root / "s" / "manifest.json", random.Random(0)
    written, before = path.read_bytes(), numbers(root)
    refused = 0
    for _ in range(150):
        data = bytearray(written)
        at = rng.randrange(len(data) * 8)
        data[at // 8] ^= 1 << (at % 8)
        path.write_bytes(data)
        try:
            assert numbers(root) == before  # a flipped space
        except InputError as error:
            refused += "\n" not in str(error) and len(str(error)) < 500
    path.write_bytes(written)
    assert refused > 100


def places(value, place=()):
    """Every place in a JSON value, the whole first."""
    yield place
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(inner, (*place, key))


def test_nonsense_anywhere_without_a_checksum_is_one_line(root):
    path = root / "s" / "manifest.json"
    written = path.read_text("utf-8")
    plain = json.loads(written)
    del plain[CHECKSUM]
    where, rng = list(places(plain))[1:], random.Random(1)
    lines = []
    for place in where:
        nonsense = rng.choice(NONSENSE)
        data = copy.deepcopy(plain)
        inner = data
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = nonsense
        path.write_text(json.dumps(data))
        try:
            numbers(root)
        except InputError as error:
            lines.append(str(error))
    path.write_text(written, "utf-8")
    assert [line for line in lines if "\n" in line or len(line) > 1000] == []


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"schema_version": ' + "9" * 5000 + "}", '{"schema_version":{"a":1}}']
)
def test_text_that_json_cannot_hold_is_one_line(root, text):
    path = root / "s" / "manifest.json"
    written = path.read_text("utf-8")
    path.write_text(text)
    assert list_studies(root) == ["s"]
    with pytest.raises(InputError, match="study 's'") as error:
        open_study("s", root)
    assert len(str(error.value)) < 400
    path.write_text(written, "utf-8")
