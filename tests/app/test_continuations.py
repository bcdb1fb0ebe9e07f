"""What the Continuations page shows, under AppTest: texts, filters, pages, and pairs before and after pruning."""

from __future__ import annotations

import pandas as pd
from helpers.app_pages import all_text, button, made_import, open_page
from helpers.made_study import make_study
from helpers.scored_both_ways import BY_BOTH, BY_LIKELIHOOD, score_both_ways

from fasp_core.evaluation.evaluate import evaluate_study
from fasp_core.evaluation.history import marked_texts, measured_sets, paired_texts
from fasp_core.evaluation.keys import EvaluationSettings
from fasp_core.evaluation.marking import mark_texts
from fasp_core.evaluation.store import EvaluationStore
from fasp_core.scoring.budgets import Budget
from fasp_core.scoring.score_heads import score_heads
from fasp_core.study.manifest import StudySettings
from fasp_core.words.numbers import format_fixed
from fasp_core.words.text_evidence import marked_tokens
from fasp_core.words.text_pairs import changed_share, marked_words
from ui.continuations.marking import limit_of
from ui.text import plain

AXIS = "gender_and_sex"
CONTINUATIONS = "pages/continuations.py"


def captions(app) -> list[str]:
    return [caption.value for caption in app.caption if "toxicity" in caption.value and "scorer" not in caption.value]


def test_texts_are_filtered_by_group_and_toxicity_and_sorted(cache):
    frame = make_study(cache).samples(AXIS)
    app = open_page(CONTINUATIONS, group="male", least="0.10")
    expected = frame[(frame["group"] == "male") & (frame["toxicity"] >= 0.1)]["toxicity"].sort_values(ascending=False)
    assert f"{len(expected)} of {len(frame)} texts" in all_text(app)
    assert captions(app)[0] == f"*(text hidden)* male · toxicity {format_fixed(expected.iloc[0], 2)}"


def test_while_texts_are_hidden_their_file_is_too(cache):
    make_study(cache)
    app = open_page(CONTINUATIONS)
    assert app.get("download_button")[0].proto.disabled
    app.toggle(key="reveal.continuations").set_value(True).run()
    assert not app.get("download_button")[0].proto.disabled


def test_search_finds_texts_and_says_when_there_are_none(cache):
    make_study(cache)
    app = open_page(CONTINUATIONS, search="continuation 200")
    assert "1 of 256 texts" in all_text(app)
    app = open_page(CONTINUATIONS, search="no such words")
    assert "No text matches" in all_text(app)


def test_only_one_page_of_texts_is_sent(cache):
    make_study(cache)
    app = open_page(CONTINUATIONS)
    assert len(captions(app)) == 20
    next(button for button in app.button if button.label == "Next").click().run()
    assert app.query_params["from"] == "2"
    app = open_page(CONTINUATIONS, **{"from": "99"})
    assert len(captions(app)) == 256 % 20


def test_of_a_hundred_thousand_texts_one_page_is_sent(cache, monkeypatch):
    frame = make_study(cache).samples(AXIS)
    many = pd.concat([frame] * 400, ignore_index=True)
    many["continuation"] = [f"{text} {n}" for n, text in enumerate(many["continuation"])]
    monkeypatch.setattr("ui.caches._texts", lambda *key: many)
    app = open_page(CONTINUATIONS, search=str(len(many) - 1))
    assert f"1 of {len(many):,} texts" in all_text(app)
    app = open_page(CONTINUATIONS)
    assert f"{len(many):,} texts" in all_text(app)
    assert len(captions(app)) == 20


def test_without_a_measured_set_one_is_led_to_where_sets_are_measured(cache):
    make_study(cache)
    assert "No pruned set of heads has been measured" in all_text(open_page(CONTINUATIONS, texts="pairs"))


def test_texts_before_and_after_pruning_stand_side_by_side_with_the_words_that_differ_marked(
    cache, tiny_llama, monkeypatch
):
    small = EvaluationSettings(max_new_tokens=3, blocks=1, texts_per_block=12, windows_per_block=1, window_tokens=24)
    monkeypatch.setattr("fasp_core.evaluation.evaluate.study_settings", lambda study: small)
    study = score_heads(
        tiny_llama,
        axes=[AXIS],
        budget=Budget(samples=12, windows=2, knockout_windows=0),
        name="default",
        root=cache,
        settings=StudySettings(max_new_tokens=3, window_tokens=24, samples_per_shard=12, windows_per_shard=4),
    )
    list(evaluate_study(study, tiny_llama, [(2, 3)], [AXIS], store=EvaluationStore(cache)))
    (measured,) = measured_sets(study)
    frame = paired_texts(measured.plan, measured.target.heads, cache)
    assert 0 < changed_share(frame) < 1
    app = open_page(CONTINUATIONS, heads="2.3", order="drawn")  # the chosen set was measured, so it opens on it
    text = all_text(app)
    assert f"{format_fixed(100 * changed_share(frame), 0)}\u00a0% of the texts changed" in text
    assert text.count("The pruned model writes the same.") == round((1 - changed_share(frame)) * len(frame))
    assert "orange-background" not in text
    app.toggle(key="reveal.continuations").set_value(True).run()
    shown = [markdown.value for markdown in app.markdown]
    changed = frame[frame["continuation_before"] != frame["continuation_after"]].iloc[0]
    for runs in marked_words(changed["continuation_before"], changed["continuation_after"]):
        for words, differs in runs:
            marked = f":orange-background[{plain(words)}]" if differs else f"**{plain(words)}**"
            assert any(marked in value for value in shown)
    started = []
    monkeypatch.setattr("fasp_core.jobs.marking.start_job", lambda command, **job: started.append(command))
    app.toggle(key="mark_pairs").set_value(True).run()
    button(app, "Mark these texts").click().run()
    assert started == [["mark", "--heads=2.3", f"--axis={AXIS}", "--split=valid", "--", "default"]]
    list(mark_texts(tiny_llama, measured, AXIS, EvaluationStore(cache), max_new_tokens=3))
    app.run()
    page = [str(element.proto.body) for element in app.get("html")]
    row = frame.iloc[0]
    marks = marked_texts(measured, AXIS, cache)
    assert any(marked_tokens(marks[row["block"], row["place"]][0], limit_of(marks)) in html for html in page)
    assert "Mark these texts" not in [each.label for each in app.button]
    assert "log-ratio" in all_text(app)


def test_imported_scores_have_no_texts(cache):
    made_import(cache)
    assert "there are no texts" in all_text(open_page(CONTINUATIONS))


def test_it_opens_where_there_is_something_to_read(cache, tiny_llama):
    score_both_ways(tiny_llama, cache)
    app = open_page(CONTINUATIONS)
    assert next(group for group in app.get("button_group") if group.label == "Axis").value == BY_BOTH
    assert len(captions(app)) == 12
    app = open_page(CONTINUATIONS, axis=BY_LIKELIHOOD)
    assert "No pruned set of heads has been measured on texts of this axis" in all_text(app)
    app = open_page(CONTINUATIONS, axis=BY_LIKELIHOOD, texts="study")
    assert "for which the model writes no texts. There are texts of: Religion." in all_text(app)
