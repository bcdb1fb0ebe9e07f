"""Files of sentence pairs in every format: read whole, or refused in one line with file, row and mend."""

from __future__ import annotations

import json
import re

import pytest
from helpers.prompt_files import values, word
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fasp_core.data.pair_files import load_sentence_pairs
from fasp_core.errors import InputError
from fasp_core.limits import MAX_SENTENCE

CROWS = """,sent_more,sent_less,stereo_antistereo,bias_type,annotations
0,Poor people steal.,Rich people steal.,stereo,socioeconomic,[]
1,"The wife, she cooks.","The husband, he cooks.",antistereo,gender,[]
2,Black men run.,White men run.,stereo,race-color,[]
"""
PLAIN = "sentence_more,sentence_less,axis,split\nShe cooks.,He cooks.,jobs,valid\nHe drives.,She drives.,jobs,test\n"


def stereoset(*entries):
    """A file in StereoSet's format; an entry is (target, bias_type, stereotype, anti-stereotype, unrelated)."""
    made = []
    for i, (target, kind, *sentences) in enumerate(entries):
        labels = ("stereotype", "anti-stereotype", "unrelated")
        said = [
            {"id": f"{i}{j}", "sentence": s, "gold_label": g}
            for j, (s, g) in enumerate(zip(sentences, labels, strict=True))
        ]
        made.append({"id": str(i), "target": target, "bias_type": kind, "context": "BLANK", "sentences": said[::-1]})
    return {"version": "1.1", "data": {"intrasentence": made, "intersentence": []}}


NURSES = stereoset(
    ("nurse", "profession", "The nurse is kind.", "The nurse is rude.", "The nurse is lamp."),
    ("nurse", "profession", "My nurse is kind.", "My nurse is rude.", "My nurse is lamp."),
    ("Iraq", "race", "Iraq is poor.", "Iraq is rich.", "Iraq is lamp."),
)
PRO = "1 [The cook] asked the guard because [he] was tired.\n2 The guard liked [the cook] and [her] food.\n"
ANTI = "1 [The cook] asked the guard because [she] was tired.\n2 The guard liked [the cook] and [his] food.\n"


def rows(path):
    return load_sentence_pairs(path).frame.drop(columns=["unit"]).to_numpy().tolist()


def test_crows_pairs(tmp_path):
    path = tmp_path / "crows_pairs_anonymized.csv"
    path.write_text(CROWS)
    pairs = load_sentence_pairs(path)
    assert (pairs.name, pairs.scored) == ("crows_pairs_anonymized", "shared")
    assert pairs.axes == ["socioeconomic_class", "gender_and_sex", "race_ethnicity"]
    assert pairs.frame["more"].tolist() == ["Poor people steal.", "The wife, she cooks.", "Black men run."]
    assert pairs.frame["less"].iloc[1] == "The husband, he cooks."  # also where the direction is antistereo
    assert "no split" in pairs.notes[0]


def test_a_plain_csv_and_its_splits(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text(PLAIN)
    assert load_sentence_pairs(path).scored == "whole"
    assert rows(path) == [
        ["jobs", "valid", "She cooks.", "He cooks.", ""],
        ["jobs", "test", "He drives.", "She drives.", ""],
    ]
    path.write_text("sentence_more,sentence_less,axis\n" + "".join(f"a{i},b{i},jobs\n" for i in range(9)))
    first = load_sentence_pairs(path).frame
    assert first["split"].value_counts().to_dict() == {"valid": 5, "test": 4}
    assert load_sentence_pairs(path).frame.equals(first)
    path.write_text(PLAIN + "She cooks.,He cooks.,jobs,test\n")
    assert load_sentence_pairs(path).notes == ("left out because they repeat another pair of their axis: 1",)


def test_stereoset(tmp_path):
    path = tmp_path / "dev.json"
    path.write_text(json.dumps(NURSES))
    pairs = load_sentence_pairs(path)
    assert (pairs.name, pairs.scored, pairs.axes) == ("dev", "mean", ["profession", "race_ethnicity"])
    assert pairs.frame.iloc[0][["unit", "more", "less", "unrelated"]].tolist() == [
        "nurse",
        "The nurse is kind.",
        "The nurse is rude.",
        "The nurse is lamp.",
    ]
    assert pairs.frame.groupby("unit")["split"].nunique().eq(1).all()  # all of a target word in one split


def test_winobias(tmp_path):
    for side, text in (("pro", PRO), ("anti", ANTI)):
        for ending in ("dev", "test"):
            (tmp_path / f"{side}_stereotyped_type1.txt.{ending}").write_text(text)
    for path in tmp_path.iterdir():
        pairs = load_sentence_pairs(path)
        assert (pairs.scored, pairs.axes) == ("whole", ["gender_and_sex"])
    # a sentence of both splits counts in the first
    assert rows(tmp_path / "pro_stereotyped_type1.txt.test")[0] == [
        "gender_and_sex",
        "valid",
        "The cook asked the guard because he was tired.",
        "The cook asked the guard because she was tired.",
        "",
    ]


def changed(**entry):
    made = json.loads(json.dumps(NURSES))
    made["data"]["intrasentence"][1] |= entry
    return json.dumps(made)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.csv", "sent_more,sent_less\na,b", "row 1: no column 'bias_type'"),
        ("x.csv", "a,b\n1,2", "row 1: no column 'sentence_more'"),
        ("x.csv", CROWS + "3,same,same,stereo,age,[]\n", "row 5: both sentences are the same; change one"),
        ("x.csv", CROWS + "3, ,b,stereo,age,[]\n", "row 5: a sentence is blank; fill it in"),
        ("x.csv", CROWS + "3,a,b,stereo,so so,[]\n", "row 5: 'so so' cannot name an axis; use up to 60"),
        ("x.csv", CROWS + "3,a,b\n", "row 5: 3 cells, but the header has 6"),
        ("x.csv", PLAIN + "a,b,jobs,train\n", "row 4: unknown split 'train'; known: test, valid"),
        ("x.csv", PLAIN + f"a,{'b' * (MAX_SENTENCE + 1)},jobs,test\n", "row 4: a sentence has 2,001 characters"),
        ("x.csv", PLAIN + "a,b\0,jobs,test\n", "row 4: a sentence holds a null character"),
        ("x.csv", "", "the file is empty"),
        ("x.json", "{", "row 1: not JSON"),
        ("x.json", "[1]", "must hold StereoSet's 'data', as a JSON object"),
        ("x.json", '{"data": {"intersentence": []}}', "no list data.intrasentence with something in it"),
        ("x.json", changed(target=" "), "intrasentence entry 2, 'target': ' ' must be text that is not blank"),
        ("x.json", changed(sentences=3), "intrasentence entry 2, 'sentences': 3 must be a list of three sentences"),
        ("x.json", changed(sentences=[{"sentence": "a", "gold_label": "stereotype"}]), "each once; fix it"),
        ("x.json", changed(bias_type="a b"), "intrasentence entry 2: 'a b' cannot name an axis"),
        ("pro_stereotyped_type1.txt.dev", PRO, "anti_stereotyped_type1.txt.dev: no such file"),
    ],
)
def test_what_is_wrong_is_named_by_file_and_row(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        load_sentence_pairs(path)
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize(
    ("anti", "message"),
    [
        (ANTI + "3 One more.\n", "3 lines for the 2 of pro_"),
        (ANTI.replace("and [his]", "and"), "row 2: not the sentence"),
    ],
)
def test_files_of_winobias_that_do_not_belong_together(tmp_path, anti, message):
    (tmp_path / "pro_stereotyped_type2.txt.test").write_text(PRO)
    path = tmp_path / "anti_stereotyped_type2.txt.test"
    path.write_text(anti)
    with pytest.raises(InputError, match=re.escape(message)):
        load_sentence_pairs(path)


def loaded_or_refused(path):
    try:
        refusal, pairs = None, load_sentence_pairs(path)
    except InputError as error:
        refusal = str(error)
    if refusal is None:
        assert len(pairs.frame)
    else:
        assert "\n" not in refusal
        assert path.name in refusal or "_stereotyped_" in refusal


names = st.sampled_from(["sent_more", "sent_less", "bias_type", "sentence_more", "sentence_less", "axis", "split"])
FUZZ = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(st.lists(st.lists(names | word | st.text(max_size=8), min_size=1, max_size=5), max_size=5))
@FUZZ
def test_any_csv_is_loaded_or_refused(tmp_path, table):
    path = tmp_path / "x.csv"
    path.write_bytes("\n".join(",".join(cells) for cells in table).encode("utf-8", "replace"))
    loaded_or_refused(path)


@given(st.fixed_dictionaries({"data": st.fixed_dictionaries({"intrasentence": st.lists(values, max_size=3)})}) | values)
@FUZZ
def test_any_json_is_loaded_or_refused(tmp_path, made):
    path = tmp_path / "x.json"
    path.write_text(json.dumps(made))
    loaded_or_refused(path)


@given(st.sampled_from(["target", "bias_type", "sentences"]), values)
@FUZZ
def test_any_entry_of_stereoset_is_loaded_or_refused(tmp_path, key, value):
    path = tmp_path / "x.json"
    path.write_text(changed(**{key: value}))
    loaded_or_refused(path)


@given(st.binary(max_size=60), st.binary(max_size=60))
@FUZZ
def test_any_lines_are_loaded_or_refused(tmp_path, pro, anti):
    for side, data in (("pro", pro), ("anti", anti)):
        (tmp_path / f"{side}_stereotyped_type1.txt.dev").write_bytes(data)
    loaded_or_refused(tmp_path / "pro_stereotyped_type1.txt.dev")
