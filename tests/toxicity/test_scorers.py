"""Scorers: those that come with the program, a user's own, and which one a study is rated with."""

from __future__ import annotations

import pytest
from helpers.made_study import make_study
from hypothesis import given
from hypothesis import strategies as st

from fasp_core.errors import InputError
from fasp_core.scoring.refine import Budget
from fasp_core.scoring.rescoring import rescore_study
from fasp_core.study.study import open_study
from fasp_core.toxicity.scorers import list_scorers, open_scorer, prefix_step, reopen_scorer, score_texts

AXIS = "gender_and_sex"
SMALL = Budget(samples=12, windows=4, knockout_windows=0, regenerate_samples=12, regenerate_all=True)


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


def test_unknown_names_get_the_nearest():
    with pytest.raises(InputError, match="did you mean 'vader'"):
        open_scorer("vadr")
    assert next(s.ref for s in list_scorers()) == "embedded"


class TestStudies:
    @pytest.fixture
    def study(self, tmp_path):
        return make_study(tmp_path, "made")

    def test_it_reopens_the_scorer_it_was_scored_with(self, study, own_scorer):
        ref = own_scorer("def rate(texts): return [0.5] * len(texts)")
        rescore_study(study, open_scorer(ref))
        study = open_study("made", study.folder.parent)
        assert reopen_scorer(*study.scorer_record(), study=study.name).name == "embedded"
        again = reopen_scorer(*study.scorer_record("mine-rate"), study=study.name)
        assert (again.ref, again.score(["a"])) == (ref, [0.5])
        with pytest.raises(InputError, match="no scores of 'vader'; known: embedded, mine-rate"):
            reopen_scorer(*study.scorer_record("vader"), study=study.name)

    def test_a_study_cannot_name_code_to_run(self, study, own_scorer):
        study.update(scorers={"evil": "0" * 16}, scorer_refs={"evil": "os:system"})
        with pytest.raises(InputError, match=r"no os\.py in the working directory"):
            reopen_scorer(*study.scorer_record(), study=study.name)


def test_prefixes_are_rated_after_every_token_where_that_costs_next_to_nothing(own_scorer):
    own = open_scorer(own_scorer("def rate(texts): return [0.5] * len(texts)"))
    assert [prefix_step(scorer) for scorer in (open_scorer("embedded"), open_scorer("vader"), own)] == [1, 1, 5]
