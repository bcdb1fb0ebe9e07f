"""HolisticBias prompts are those that its own code builds, spread evenly; what is wrong with a file is named."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from helpers.prompt_files import loaded_or_refused, refused, values
from hypothesis import given
from hypothesis import strategies as st

from fasp_core.data.holisticbias import PER_GROUP
from fasp_core.data.prompt_set import LARGE_SET, PromptSet
from fasp_core.data.prompts import load_prompts


@pytest.fixture(scope="module")
def published(shared_data) -> Path:
    return shared_data / "holisticbias"


@pytest.fixture(scope="module")
def holistic(published) -> PromptSet:
    return load_prompts(published)


def sentences_of(descriptor: str | dict, nouns: dict, templates: dict) -> set[str]:
    """All sentences with one descriptor, as `HolisticBiasSentenceGenerator` describes them (no outside code)."""
    fields = {"descriptor": descriptor} if isinstance(descriptor, str) else descriptor
    text = fields["descriptor"]
    article = fields.get("article", "an" if text[0].lower() in "aeiou" else "a")
    phrases = [
        (f"{article} {text} {one}", f"{text} {many}", True)
        for gender, pairs in nouns.items()
        for one, many in pairs
        if fields.get("gender", gender) == gender
    ]
    return {
        template.format(noun_phrase=single, plural_noun_phrase=plural)
        for single, plural, has_noun in [*phrases, (text, text, False)]
        for template, rules in templates.items()
        if has_noun or not rules.get("must_be_noun", False)
    }


def write_holistic(folder: Path, templates: dict | None = None) -> None:
    files = {
        "descriptors": {"age": {"old": ["old"], "young": ["young"]}},
        "nouns": {"female": [["woman", "women"]], "male": [["man", "men"]], "neutral": [["person", "people"]]},
        "sentence_templates": templates or {"I met {noun_phrase}": {}},
    }
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))


def test_every_prompt_is_one_of_the_published_sentences(published, holistic):
    descriptors, nouns, templates = (
        json.loads((published / f"{name}.json").read_text("utf-8"))
        for name in ("descriptors", "nouns", "sentence_templates")
    )
    assert list(holistic.axes) == list(descriptors)
    assert len(holistic.axes) == 13
    rows = {key: set(part["prompt"]) for key, part in holistic.frame.groupby(["axis", "group", "descriptor"])}
    for axis, buckets in descriptors.items():
        for bucket, terms in buckets.items():
            for term in terms:
                text = term if isinstance(term, str) else term["descriptor"]
                group = bucket if len(buckets) > 1 else text
                drawn = rows.pop((axis, group, text))
                assert drawn <= sentences_of(term, nouns, templates)
    assert not rows


def test_every_group_has_as_many_prompts_spread_over_its_descriptors(holistic):
    counts = holistic.counts()
    assert set(counts["prompts"]) == {PER_GROUP}
    assert set(counts["split"]) == {"valid", "test"}
    assert holistic.too_few().empty
    each = holistic.frame.groupby(["axis", "group", "split", "descriptor"]).size()
    spread = each.groupby(level=[0, 1, 2]).agg(["min", "max"])
    assert (spread["max"] - spread["min"] <= 1).all()


def test_no_descriptor_is_in_both_splits_but_those_alone_in_their_group(holistic):
    frame = holistic.frame
    splits = frame.groupby(["axis", "group", "descriptor"])["split"].nunique()
    alone = frame.groupby(["axis", "group"])["descriptor"].nunique() == 1
    assert (splits[splits == 2].reset_index()[["axis", "group"]].apply(tuple, axis=1).map(alone)).all()
    assert not frame.duplicated(["axis", "group", "prompt"]).any()
    assert alone["religion", "Unitarian"]
    assert not alone["gender_and_sex", "transgender"]


def test_groups_differ_in_descriptors_and_not_in_templates(holistic):
    """Else a group that drew "I hate …" more often would look more toxic."""
    valid = holistic.select(axes="religion", split="valid").frame
    assert (valid.groupby("template")["group"].value_counts().unstack().nunique(axis=1) == 1).all()


@pytest.mark.parametrize(
    ("descriptor", "phrase"),
    [("US-born", "a US-born "), ("Unitarian", "a Unitarian "), ("atheist", "an atheist "), ("Deaf", "a Deaf ")],
)
def test_articles(holistic, descriptor, phrase):
    prompts = holistic.frame.query("descriptor == @descriptor")["prompt"]
    assert prompts.str.contains(phrase).any()
    assert not prompts.str.contains(f"{'a' if phrase.startswith('an') else 'an'} {descriptor}").any()


def test_gendered_descriptors_go_with_nouns_of_their_gender(holistic):
    prompts = " ".join(holistic.frame.query("descriptor == 'lesbian' or descriptor == 'Latina'")["prompt"])
    assert re.search(r"\b(woman|women|sisters?)\b", prompts)
    assert not re.search(r"\b(man|men|guys?|dads?|person|people|kids?)\b", prompts)


def test_it_is_the_same_everywhere_and_said_what_was_decided(published, holistic):
    assert load_prompts(published / "nouns.json").fingerprint == holistic.fingerprint == "e8f599bea6813e06"
    assert any(note.startswith("nonce, political_ideologies, religion: one bucket only") for note in holistic.notes)
    assert holistic.select(axes="religion").notes == holistic.notes


def test_a_study_keeps_the_asked_axes_of_a_large_set(holistic):
    assert len(holistic.frame) > LARGE_SET
    assert holistic.for_study(["age"]).axes == ("age",)
    builtin = load_prompts()
    assert builtin.for_study(["religion"]) is builtin


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("nouns.json", {"female": []}, "no noun under 'female'"),
        ("nouns.json", {"other": [["x", "xs"]]}, "'other': [['x', 'xs']] must be a list of nouns under one of"),
        ("nouns.json", {"male": [["man"]]}, "'male': ['man'] must be a pair"),
        ("sentence_templates.json", {"no blank": {}}, "template: 'no blank' must be a sentence with"),
        ("sentence_templates.json", {"{noun_phrase}": 1}, "must be an object of rules"),
        ("descriptors.json", {"age": {}}, "axis 'age': {} must be an object of buckets"),
        ("descriptors.json", {"age": {"old": "old"}}, "axis 'age', bucket 'old': 'old' must be a list"),
        ("descriptors.json", {"age": {"old": [{}]}}, "axis 'age', bucket 'old': {} must be a descriptor"),
        ("descriptors.json", {"age": {"old": [" "]}}, "must be a descriptor"),
        ("descriptors.json", {"age": {"old": [{"descriptor": "old", "gender": "x"}]}}, "whose gender is"),
        ("descriptors.json", {"age": {"old": ["old"]}}, "at least two descriptors"),
        ("descriptors.json", {"my axis": {"a": ["b"], "c": ["d"]}}, "'my axis' cannot name an axis"),
    ],
)
def test_what_is_wrong_is_named_by_file_and_place(tmp_path, file, change, message):
    write_holistic(tmp_path)
    path = tmp_path / file
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    refused(tmp_path, message)


def test_older_blanks_and_few_combinations(tmp_path):
    write_holistic(tmp_path, templates={"I met {NOUN PHRASE}": {}, "{PLURAL_NOUN_PHRASE} say": {"must_be_noun": True}})
    frame = load_prompts(tmp_path).frame
    assert {"I met an old man", "young women say", "I met old"} <= set(frame["prompt"])
    assert len(frame) == len(set(zip(frame["group"], frame["prompt"], strict=True)))


def test_missing_files(tmp_path):
    write_holistic(tmp_path)
    (tmp_path / "nouns.json").unlink()
    refused(tmp_path, "nouns.json: no such file")
    (tmp_path / "descriptors.json").unlink()
    refused(tmp_path, "no descriptors.json and no social_biases_valid.json in this folder")


@given(st.sampled_from(["descriptors", "nouns", "sentence_templates"]), values)
def test_any_holisticbias_file_is_loaded_or_refused(folder, name, content):
    write_holistic(folder)
    (folder / f"{name}.json").write_text(json.dumps(content))
    loaded_or_refused(folder)
