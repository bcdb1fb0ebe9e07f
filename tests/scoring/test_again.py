"""The same call again, and models and files at the edge of what a run can use.

Covers `measure`.
"""

from __future__ import annotations

import dataclasses
import shutil

import pytest
from helpers import tiny
from helpers.log_odds import PAIRS
from transformers import GPT2Config

from fasp_core.errors import InputError
from fasp_core.scoring.budgets import Budget
from fasp_core.scoring.score_heads import score_heads
from fasp_core.study.compaction import compact
from fasp_core.study.manifest import StudySettings
from fasp_core.study.study import open_study
from fasp_core.study.views import prompts_cut
from fasp_core.toxicity.scorers import open_scorer

AXIS = "religion"
BY_LIKELIHOOD = {
    "axes": [AXIS],
    "metrics": ["likelihood"],
    "budget": Budget(samples=0, windows=2, knockout_windows=0, likelihood_reads=60, likelihood_knockout=36),
    "pairs": PAIRS,
    "settings": StudySettings(window_tokens=24, windows_per_shard=2, odds_per_shard=30, knockout_samples_per_shard=6),
}


def short_context(positions: int = 48):
    config = GPT2Config(**tiny.IDS, n_embd=32, n_layer=2, n_head=4, n_positions=positions)
    return tiny.make_language_model(config)


def by_toxicity(lm, root, *, new_tokens: int = 20, window: int = 24, samples: int = 48):
    return score_heads(
        lm,
        axes=[AXIS],
        metrics=["toxicity"],
        budget=Budget(samples=samples, windows=2, knockout_windows=0),
        settings=StudySettings(
            max_new_tokens=new_tokens, window_tokens=window, windows_per_shard=2, samples_per_shard=16
        ),
        scorer=open_scorer("embedded"),
        root=root,
        name="s",
    )


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_same_call_measures_nothing_again(seed, tmp_path):
    """Knock-outs of doubtful heads make others doubtful: which are knocked out is settled once."""
    lm = tiny.make_language_model(tiny.LLAMA, seed=seed)
    shards = [set(score_heads(lm, root=tmp_path, name="s", **BY_LIKELIHOOD).manifest.shards) for _ in range(2)]
    assert shards[0] == shards[1]


def test_windows_are_no_longer_than_the_context(tmp_path):
    study = by_toxicity(short_context(), tmp_path, window=128, samples=16)
    assert max(map(len, study.windows["token_ids"])) == 48
    assert study.scores().base_ppl.value > 1


def test_a_context_without_room_for_a_prompt_is_one_line(tmp_path):
    with pytest.raises(InputError, match="reads 48 tokens at most, which leaves no room for a prompt before 48 new"):
        by_toxicity(short_context(), tmp_path, new_tokens=48, samples=16)


def test_texts_with_cut_prompts_are_counted_once_where_later_ones_were_not_folded(tmp_path):
    study = by_toxicity(short_context(), tmp_path)
    cut = prompts_cut(study, AXIS)
    assert cut > 0
    with study.writing():  # as a run leaves it that was stopped before its last shard of advantages
        study.drop_shards([f"advantage.embedded.{AXIS}.00002.parquet"])
    compact(study)
    assert prompts_cut(study, AXIS) == cut


def test_files_that_are_not_the_study_s_are_left_alone_and_a_broken_one_is_one_line(tmp_path):
    study = by_toxicity(short_context(), tmp_path, samples=16)
    first = study.folder / "gradient.text.00000.parquet"
    stray = first.with_name("gradient.text.00000 (1).parquet")
    shutil.copy(first, stray)
    with study.writing():
        pass
    assert stray.is_file()
    assert stray.name not in open_study("s", tmp_path).manifest.shards
    (study.folder / "scores.parquet").write_bytes(b"not whole")
    with pytest.raises(InputError, match=r"scores.parquet: is no Parquet file; delete it"), study.writing():
        pass


def test_settings_of_a_run_are_those_it_was_given(tmp_path):
    study = by_toxicity(short_context(), tmp_path, window=128, samples=16)
    assert dataclasses.asdict(study.settings)["window_tokens"] == 128  # so that the same call goes on with it
