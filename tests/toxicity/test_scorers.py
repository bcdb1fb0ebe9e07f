"""Scorers: those that come with the program, a user's own, and which one a study is rated with."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_study import make_study

from fasp_core.errors import Cancelled, InputError
from fasp_core.refine import Budget
from fasp_core.rescoring import rescore_study
from fasp_core.scoring import score_heads
from fasp_core.shards import StudySettings
from fasp_core.study import SHARD_PATTERN, open_study
from fasp_core.toxicity import list_scorers, open_scorer, open_study_scorer, score_texts

AXIS = "gender_and_sex"
SMALL = Budget(samples=12, windows=4, knockout_windows=0, regenerate_samples=12, regenerate_all=True)


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Write a file of the working directory and give the reference of a function in it."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def write(source: str, function: str = "rate", module: str = "mine") -> str:
        (folder / f"{module}.py").write_text(source, "utf-8")
        return f"{module}:{function}"

    return write


def test_embedded_and_vader_order_texts_as_people_do():
    for ref in ("embedded", "vader"):
        scorer = open_scorer(ref)
        scores = score_texts(scorer, ["You are a stupid idiot, I hate you", "The table is made of wood", ""])
        assert scores[0] > 0.5 > scores[1]
        assert scorer.name == scorer.ref == ref
    assert (
        open_scorer("vader").score(["I hate you, terrible idiot"])[0] == 0.835
    )  # its `neg`, worked by hand with VADER
    assert open_scorer("vader").score([]).shape == (0,)


@given(st.lists(st.text(max_size=40), max_size=8))
def test_any_text_gets_a_number(texts):
    for ref in ("embedded", "vader"):
        assert score_texts(open_scorer(ref), texts).shape == (len(texts),)


def test_a_function_of_the_working_directory(own):
    ref = own("import helper\n\ndef rate(texts):\n    return [helper.share(text) for text in texts]\n")
    own("def share(text):\n    return text.count('a') / max(1, len(text))\n", module="helper")
    scorer = open_scorer(ref)
    assert score_texts(scorer, ["aab", "b"]).tolist() == [2 / 3, 0.0]
    assert SHARD_PATTERN.fullmatch(f"toxicity.{scorer.name}.{AXIS}.00000.parquet")
    first = scorer.fingerprint
    own("def rate(texts):\n    return [0.5 for text in texts]\n")
    assert open_scorer(ref).fingerprint != first


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def rates(texts): return []", "'rate' is not in it; did you mean 'rates'"),
        ("rate = 3", "'rate' is no function"),
        ("import nowhere_to_be_found", "mine.py cannot be imported (ModuleNotFoundError"),
        ("def rate(texts:", "mine.py cannot be imported (SyntaxError"),
        ("raise SystemExit(3)", "mine.py cannot be imported (SystemExit"),
        ("def rate(): return 1", "failed: TypeError"),
        ("def rate(texts): raise ValueError('first\\nsecond')", "failed: ValueError: first second"),
        ("def rate(texts): return None", "gave () scores for 2 texts"),
        ("def rate(texts): return ['high', 'low']", "gave no list of numbers but list"),
        ("def rate(texts): return [0.5]", "gave (1,) scores for 2 texts"),
        ("def rate(texts): return [0.5, 1.5]", "gave 1.5 for text 1"),
        ("def rate(texts): return [0.5, float('nan')]", "gave nan for text 1"),
        ("def rate(texts): return [[0.5], [0.5, 1]]", "gave no list of numbers but list"),
    ],
)
def test_a_wrong_function_is_told_in_one_line(own, source, message):
    ref = own(source)
    with pytest.raises(InputError) as caught:
        score_texts(open_scorer(ref), ["a", "b"])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "ref", ["os:system", "mine:rate:more", "../mine:rate", "mine:__import__('os')", ":", "a:", ":b"]
)
def test_only_files_of_the_working_directory_are_imported(own, ref):
    with pytest.raises(InputError):
        open_scorer(ref)


def test_unknown_names_get_the_nearest():
    with pytest.raises(InputError, match="did you mean 'vader'"):
        open_scorer("vadr")
    assert next(s.ref for s in list_scorers()) == "embedded"


class TestStudies:
    @pytest.fixture
    def study(self, tmp_path):
        return make_study(tmp_path, "made")

    def test_another_scorer_rates_the_stored_texts_and_the_first_stays_the_default(self, study, own):
        before = dict(study.manifest.shards)
        scorer = open_scorer(own("def rate(texts):\n    return [len(t) / 1000 for t in texts]\n"))
        events = []
        rescore_study(study, scorer, progress=events.append)
        new = set(study.manifest.shards) - set(before)
        assert new == {f"toxicity.mine-rate.{axis}.00000.parquet" for axis in study.axes}
        samples = study.samples(AXIS, scorer="mine-rate")
        assert (samples["toxicity"] == (samples["prompt"] + samples["continuation"]).str.len() / 1000).all()
        assert study.scores().meta["scorer"] == "embedded"
        assert study.scores("mine-rate").meta["scorer"] == "mine-rate"
        assert {e.stage for e in events} == {f"toxicity {axis}" for axis in study.axes}
        assert all(e.done == 256 for e in events[-1:])
        rescore_study(study, scorer)  # nothing is left to do
        assert set(study.manifest.shards) == set(before) | new

    def test_stopped_it_goes_on(self, study, own):
        scorer = open_scorer(own("def rate(texts): return [0.5] * len(texts)"))
        checks = iter([False, True])
        with pytest.raises(Cancelled):
            rescore_study(study, scorer, stop=lambda: next(checks))
        assert (
            sum(
                name.startswith("toxicity.mine-rate.")
                for name in open_study("made", study.folder.parent).manifest.shards
            )
            == 1
        )
        rescore_study(study, scorer)
        assert study.scores("mine-rate").axes == study.axes

    def test_it_reopens_the_scorer_it_was_scored_with(self, study, own):
        ref = own("def rate(texts): return [0.5] * len(texts)")
        rescore_study(study, open_scorer(ref))
        study = open_study("made", study.folder.parent)
        assert open_study_scorer(study).name == "embedded"
        again = open_study_scorer(study, "mine-rate")
        assert (again.ref, again.score(["a"])) == (ref, [0.5])
        with pytest.raises(InputError, match="no scores of 'vader'; known: embedded, mine-rate"):
            open_study_scorer(study, "vader")

    def test_a_changed_scorer_is_refused_before_it_runs(self, study, own, tmp_path):
        ref = own("def rate(texts): return [0.5] * len(texts)")
        rescore_study(study, open_scorer(ref))
        own(f"import os\nos.mkdir({str(tmp_path / 'was-run')!r})\ndef rate(texts): return [0.6] * len(texts)")
        with pytest.raises(InputError, match=r"mine\.py has changed"):
            open_study_scorer(study, "mine-rate")
        assert not (tmp_path / "was-run").exists()
        with pytest.raises(InputError, match="was scored with another 'mine-rate'"):
            rescore_study(study, open_scorer(ref))

    def test_a_scorer_that_failed_can_be_mended(self, study, own):
        ref = own("def rate(texts): return [2.0] * len(texts)")
        with pytest.raises(InputError, match=r"gave 2\.0"):
            rescore_study(study, open_scorer(ref))
        own("def rate(texts): return [0.2] * len(texts)")
        rescore_study(study, open_scorer(ref))
        assert (study.samples(AXIS, scorer="mine-rate")["toxicity"] == 0.2).all()

    def test_a_study_cannot_name_code_to_run(self, study, own):
        study.update(scorers={"evil": "0" * 16}, scorer_refs={"evil": "os:system"})
        with pytest.raises(InputError, match=r"no os\.py in the working directory"):
            open_study_scorer(study)


def test_rescoring_gives_what_scoring_with_both_gives(tiny_llama, tmp_path, own):
    """Also for texts of knocked-out heads, and without the model."""
    settings = StudySettings(max_new_tokens=5, window_tokens=32, samples_per_shard=8, windows_per_shard=2)

    def arguments(name):
        return {"axes": [AXIS], "budget": SMALL, "name": name, "root": tmp_path, "settings": settings}

    scorer = open_scorer(own("def rate(texts):\n    return [(sum(map(ord, t)) % 97) / 97 for t in texts]\n"))
    direct = score_heads(tiny_llama, **arguments("direct"), scorer=scorer)
    later = score_heads(tiny_llama, **arguments("later"), scorer=open_scorer("embedded"))
    rescore_study(later, scorer)
    rated = {name: record.sha256 for name, record in direct.manifest.shards.items() if "mine-rate" in name}
    assert any(name.startswith("retoxicity.") for name in rated)
    assert rated.items() <= {name: record.sha256 for name, record in later.manifest.shards.items()}.items()
    a, b = direct.scores("mine-rate").frame, later.scores("mine-rate").frame
    assert np.array_equal(a[f"z_bias.{AXIS}"], b[f"z_bias.{AXIS}"])
