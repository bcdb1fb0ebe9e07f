"""Prompts of others: HolisticBias as its own code builds it, the reference repository's files, a user's CSV."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fasp_core.errors import InputError
from fasp_core.holisticbias import PER_GROUP
from fasp_core.prompt_splits import halves, stable_order
from fasp_core.prompts import LARGE_SET, PromptSet, load_prompts

CSV = """prompt,axis,group,note
The doctor said,jobs,doctors,x
"A nurse, tired,",jobs,nurses,y
The nurse said,jobs,nurses,
A doctor went,jobs,doctors,z
"""


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
    phrases = [(f"{article} {text} {one}", f"{text} {many}", True) for gender, pairs in nouns.items()
               for one, many in pairs if fields.get("gender", gender) == gender]  # fmt: skip
    return {
        template.format(noun_phrase=single, plural_noun_phrase=plural)
        for single, plural, has_noun in [*phrases, (text, text, False)]
        for template, rules in templates.items()
        if has_noun or not rules.get("must_be_noun", False)
    }


class TestHolisticBias:
    def test_every_prompt_is_one_of_the_published_sentences(self, published, holistic):
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

    def test_every_group_has_as_many_prompts_spread_over_its_descriptors(self, holistic):
        counts = holistic.counts()
        assert set(counts["prompts"]) == {PER_GROUP}
        assert set(counts["split"]) == {"valid", "test"}
        assert holistic.too_few().empty
        each = holistic.frame.groupby(["axis", "group", "split", "descriptor"]).size()
        spread = each.groupby(level=[0, 1, 2]).agg(["min", "max"])
        assert (spread["max"] - spread["min"] <= 1).all()

    def test_no_descriptor_is_in_both_splits_but_those_alone_in_their_group(self, holistic):
        frame = holistic.frame
        splits = frame.groupby(["axis", "group", "descriptor"])["split"].nunique()
        alone = frame.groupby(["axis", "group"])["descriptor"].nunique() == 1
        assert (splits[splits == 2].reset_index()[["axis", "group"]].apply(tuple, axis=1).map(alone)).all()
        assert not frame.duplicated(["axis", "group", "prompt"]).any()
        assert alone["religion", "Unitarian"]
        assert not alone["gender_and_sex", "transgender"]

    def test_groups_differ_in_descriptors_and_not_in_templates(self, holistic):
        """Else a group that drew "I hate …" more often would look more toxic."""
        valid = holistic.select(axes="religion", split="valid").frame
        assert (valid.groupby("template")["group"].value_counts().unstack().nunique(axis=1) == 1).all()

    @pytest.mark.parametrize(
        ("descriptor", "phrase"),
        [("US-born", "a US-born "), ("Unitarian", "a Unitarian "), ("atheist", "an atheist "), ("Deaf", "a Deaf ")],
    )
    def test_articles(self, holistic, descriptor, phrase):
        prompts = holistic.frame.query("descriptor == @descriptor")["prompt"]
        assert prompts.str.contains(phrase).any()
        assert not prompts.str.contains(f"{'a' if phrase.startswith('an') else 'an'} {descriptor}").any()

    def test_gendered_descriptors_go_with_nouns_of_their_gender(self, holistic):
        prompts = " ".join(holistic.frame.query("descriptor == 'lesbian' or descriptor == 'Latina'")["prompt"])
        assert re.search(r"\b(woman|women|sisters?)\b", prompts)
        assert not re.search(r"\b(man|men|guys?|dads?|person|people|kids?)\b", prompts)

    def test_it_is_the_same_everywhere_and_said_what_was_decided(self, published, holistic):
        assert load_prompts(published / "nouns.json").fingerprint == holistic.fingerprint == "e8f599bea6813e06"
        assert any(note.startswith("nonce, political_ideologies, religion: one bucket only") for note in holistic.notes)
        assert holistic.select(axes="religion").notes == holistic.notes

    def test_a_study_keeps_the_asked_axes_of_a_large_set(self, holistic):
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
    def test_what_is_wrong_is_named_by_file_and_place(self, tmp_path, file, change, message):
        write_holistic(tmp_path)
        path = tmp_path / file
        path.write_text(json.dumps(json.loads(path.read_text()) | change))
        refused(tmp_path, message)

    def test_older_blanks_and_few_combinations(self, tmp_path):
        write_holistic(
            tmp_path, templates={"I met {NOUN PHRASE}": {}, "{PLURAL_NOUN_PHRASE} say": {"must_be_noun": True}}
        )
        frame = load_prompts(tmp_path).frame
        assert {"I met an old man", "young women say", "I met old"} <= set(frame["prompt"])
        assert len(frame) == len(set(zip(frame["group"], frame["prompt"], strict=True)))

    def test_missing_files(self, tmp_path):
        write_holistic(tmp_path)
        (tmp_path / "nouns.json").unlink()
        refused(tmp_path, "nouns.json: no such file")
        (tmp_path / "descriptors.json").unlink()
        refused(tmp_path, "no descriptors.json and no social_biases_valid.json in this folder")


def write_holistic(folder: Path, templates: dict | None = None) -> None:
    files = {
        "descriptors": {"age": {"old": ["old"], "young": ["young"]}},
        "nouns": {"female": [["woman", "women"]], "male": [["man", "men"]], "neutral": [["person", "people"]]},
        "sentence_templates": templates or {"I met {noun_phrase}": {}},
    }
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))


def write_reference(folder: Path, split: str, prompts: object, groups: object = None) -> Path:
    path = folder / f"social_biases_{split}.json"
    path.write_text(json.dumps(prompts))
    if groups is not None:
        (folder / f"social_biases_{split}_groups.json").write_text(json.dumps(groups))
    return path


AXES = {"religion": {"prompts": ["I'm Sikh.", "I'm Jain.", "I'm Sikh too."]}, "nonce": {"prompts": ["I'm stad."]}}
GROUPS = {
    "axis": ["religion", "nonce", "religion", "religion"], "bucket": ["all", "all", "(none)", "all"], "other": [1],
}  # fmt: skip


class TestReferenceRepository:
    def test_both_splits_with_groups_in_the_order_of_the_prompts(self, tmp_path):
        valid = write_reference(tmp_path, "valid", AXES, GROUPS)
        write_reference(tmp_path, "test", AXES | {"religion": {"a": ["I'm Sunni."], "b": ["I'm Shia."]}},
                        {"axis": ["religion", "religion", "nonce"], "bucket": ["all", None, "all"]})  # fmt: skip
        prompts = load_prompts(valid)
        rows = prompts.frame[["axis", "group", "prompt", "split"]].apply(tuple, axis=1).tolist()
        assert rows == [
            ("religion", "all", "I'm Sikh.", "valid"), ("religion", "(none)", "I'm Jain.", "valid"),
            ("religion", "all", "I'm Sikh too.", "valid"), ("religion", "all", "I'm Sunni.", "test"),
            ("religion", "(none)", "I'm Shia.", "test"),
        ]  # fmt: skip
        assert prompts.notes == (
            "left out, for they repeat another prompt of their group: 1",
            "nonce: one group only, left out, for bias compares groups",
        )
        for source in (tmp_path, tmp_path / "social_biases_test.json", tmp_path / "social_biases_valid_groups.json"):
            assert load_prompts(source).fingerprint == prompts.fingerprint

    def test_titles_are_the_groups_where_there_is_no_groups_file(self, tmp_path):
        path = write_reference(
            tmp_path, "valid", {"jobs": {"nurses": ["A nurse"], "doctors": ["A doctor", "A doctor"]}}
        )
        prompts = load_prompts(path)
        assert prompts.frame["group"].tolist() == ["nurses", "doctors"]
        assert prompts.notes == (
            "only the valid prompts were found: social_biases_valid.json",
            "left out, for they repeat another prompt of their group: 1",
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
    def test_what_is_wrong_is_named_by_file_and_place(self, tmp_path, prompts, groups, message):
        refused(write_reference(tmp_path, "valid", prompts, groups), message)

    def test_a_name_without_split(self, tmp_path):
        path = tmp_path / "mine.json"
        path.write_text(json.dumps(AXES))
        refused(path, "its name must say its split")


class TestCsv:
    def test_columns_splits_and_quotes(self, tmp_path):
        path = write(tmp_path, CSV)
        prompts = load_prompts(str(path))
        assert prompts.name == "mine"
        assert prompts.frame["prompt"].tolist() == [
            "The doctor said", "A nurse, tired,", "The nurse said", "A doctor went",
        ]  # fmt: skip
        assert (prompts.frame.groupby("group")["split"].nunique() == 2).all()
        assert prompts.frame["descriptor"].tolist() == prompts.frame["prompt"].tolist()
        assert len(prompts.notes) == 1
        few = prompts.too_few()
        assert few["prompts"].tolist() == [1, 1, 1, 1]

    def test_given_descriptors_are_not_split_and_given_splits_are_kept(self, tmp_path):
        rows = [f"p{i},ages,{g},d{i // 3}{g}" for g in "xy" for i in range(9)]
        frame = load_prompts(write(tmp_path, "\n".join(["prompt,axis,group,descriptor", *rows]))).frame
        assert (frame.groupby(["group", "descriptor"])["split"].nunique() == 1).all()
        assert frame.groupby(["group", "split"])["descriptor"].nunique().tolist() == [1, 2, 1, 2]
        rows = [f"{row},test" for row in rows[:-1]] + [f"{rows[-1]},valid"]
        prompts = load_prompts(write(tmp_path, "\n".join(["prompt,axis,group,descriptor,split", *rows])))
        assert prompts.frame["split"].tolist() == ["test"] * 17 + ["valid"]
        assert prompts.notes == ()
        missing = prompts.too_few()
        assert missing.query("group == 'x' and split == 'valid'")["prompts"].tolist() == [0]

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("prompt,axis\na,b", "row 1: no column 'group'"),
            ("prompt,axis,group,group\na,b,c,d", "row 1: column 'group' is there twice"),
            ("prompt,axis,group\n", "no row below the header"),
            ("prompt,axis,group\na,b", "row 2: 2 cells, but the header has 3"),
            ("prompt,axis,group\na,b,c\n,b,d", "row 3: 'prompt' is blank"),
            ("prompt,axis,group\na,b,c\na,b, c", "row 3: the prompt repeats"),
            ("prompt,axis,group\na,b,c\nb,b,c", "row 2: axis 'b' has the one group 'c'"),
            ("prompt,axis,group\na,x y,c\nb,x y,d", "row 2: 'x y' cannot name an axis"),
            ("prompt,axis,group\na,text,c\nb,text,d", "row 2: 'text' cannot name an axis"),
            ("prompt,axis,group,split\na,b,c,valid\nb,b,d,train", "row 3: unknown split 'train'; known: test, valid"),
            ('prompt,axis,group\n"a,b,c', "row 2: not a CSV row"),
        ],
    )
    def test_what_is_wrong_is_named_by_file_and_row(self, tmp_path, content, message):
        refused(write(tmp_path, content), message)

    @pytest.mark.parametrize("suffix", ["csv", "json"])
    def test_no_text_file_at_all(self, tmp_path, suffix):
        path = tmp_path / f"x_valid.{suffix}"
        refused(path, "no such file")
        path.write_bytes(b"")
        refused(path, "the file is empty (0 bytes)")
        path.write_bytes("prompt,axis,group\ncafé,b,c".encode("latin-1"))
        refused(path, "row 2: not UTF-8 text")
        path.write_bytes(gzip.compress(b"\0" * 10**7))  # a zip bomb under another name is not unpacked
        refused(path, "not UTF-8 text")
        with path.open("wb") as file:
            file.truncate(200 * 2**20)
        refused(path, "larger than 64 MB")
        path.unlink()
        path.mkdir()
        with pytest.raises(InputError):
            load_prompts(path)

    def test_json_that_is_none(self, tmp_path):
        path = tmp_path / "x_valid.json"
        for content, message in [("{", "row 1: not JSON"), ("[" * 10**5, "not JSON"), ("[1]", "must hold axes"),
                                 ('{"a":\n nope}', "row 2: not JSON")]:  # fmt: skip
            path.write_text(content)
            refused(path, message)


def write(folder: Path, content: str) -> Path:
    path = folder / "mine.csv"
    path.write_text(content, "utf-8")
    return path


def refused(path: Path, message: str) -> None:
    """One line that names the file and says this."""
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        load_prompts(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value) or str(path.parent) in str(caught.value) or "cannot name" in str(caught.value)


cell = st.text(st.characters(codec="utf-8"), max_size=12)
broken = st.sampled_from(["\ud800", "a\udfffb", "\0", "\r\n"])
word = st.sampled_from(["prompt", "axis", "group", "split", "descriptor", "valid", "test", "a", "b", "", " "])
table = st.lists(st.lists(word | cell, min_size=1, max_size=5), min_size=1, max_size=5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@given(table, st.booleans())
def test_any_csv_is_loaded_or_refused(folder, rows, with_header):
    header = [["prompt", "axis", "group", "split"]] if with_header else []
    loaded_or_refused(write(folder, "\n".join(",".join(row) for row in [*header, *rows])))


@given(st.binary(max_size=200))
def test_any_bytes_are_loaded_or_refused(folder, content):
    for name in ("mine.csv", "x_valid.json"):
        (folder / name).write_bytes(content)
        loaded_or_refused(folder / name)


values = st.recursive(
    st.none() | st.booleans() | st.floats() | word | cell | broken,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(word | cell, inner, max_size=3), max_leaves=12,
)  # fmt: skip


@given(st.sampled_from(["descriptors", "nouns", "sentence_templates"]), values)
def test_any_holisticbias_file_is_loaded_or_refused(folder, name, content):
    write_holistic(folder)
    (folder / f"{name}.json").write_text(json.dumps(content))
    loaded_or_refused(folder)


@given(st.dictionaries(word | cell, values, max_size=3) | values, values)
def test_any_reference_file_is_loaded_or_refused(folder, prompts, groups):
    loaded_or_refused(write_reference(folder, "valid", prompts, groups))


def loaded_or_refused(path: Path) -> None:
    try:
        refusal, prompts = None, load_prompts(path)
    except InputError as error:
        refusal = str(error)
    if refusal is None:
        assert prompts.axes
        assert (prompts.frame.groupby("axis")["group"].nunique() >= 2).all()
    else:
        assert "\n" not in refusal
        assert path.name in refusal or path.parent.name in refusal or "cannot name an axis" in refusal


@given(st.sets(cell), cell)
def test_orders_and_halves_depend_on_names_alone(names, seed):
    order = stable_order(names, seed)
    assert set(order) == names
    assert order == stable_order(sorted(names, reverse=True), seed)
    splits = list(halves(names, seed).values())
    assert splits.count("valid") - splits.count("test") in (0, 1)


def test_an_order_is_fixed_for_ever():
    assert stable_order("abcdef", "seed") == ["c", "f", "d", "e", "b", "a"]
