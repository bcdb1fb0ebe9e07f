"""Rating the texts of a study with another scorer: only files are added, and none is rated twice."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.made_study import make_study

from fasp_core.errors import Cancelled, InputError
from fasp_core.scoring.refine import Budget
from fasp_core.scoring.rescoring import rescore_study
from fasp_core.scoring.score_heads import score_heads
from fasp_core.stats.axis_sums import AxisSums
from fasp_core.stats.bias import head_effects
from fasp_core.study.manifest import StudySettings
from fasp_core.study.study import open_study
from fasp_core.study.views import axis_samples
from fasp_core.toxicity.scorers import open_scorer, reopen_scorer

AXIS = "gender_and_sex"
SMALL = Budget(samples=12, windows=4, knockout_windows=0, regenerate_samples=12, regenerate_all=True)


@pytest.fixture
def study(tmp_path):
    return make_study(tmp_path, "made")


def test_another_scorer_rates_the_stored_texts_and_the_first_stays_the_default(study, own_scorer):
    before = dict(study.manifest.shards)
    scorer = open_scorer(own_scorer("def rate(texts):\n    return [len(t) / 1000 for t in texts]\n"))
    events = []
    rescore_study(study, scorer, progress=events.append)
    new = set(study.manifest.shards) - set(before)
    assert new == {f"{kind}.mine-rate.{axis}.00000.parquet" for kind in ("toxicity", "echo") for axis in study.axes}
    samples = study.samples(AXIS, scorer="mine-rate")
    assert (samples["toxicity"] == samples["continuation"].str.len() / 1000).all()  # what the model wrote, alone
    assert study.scores().meta.scorer == "embedded"
    assert study.scores("mine-rate").meta.scorer == "mine-rate"
    assert {e.stage for e in events} == {f"{kind} {a}" for kind in ("toxicity", "prompts alone") for a in study.axes}
    assert all(e.done == 256 for e in events[-1:])
    rescore_study(study, scorer)  # nothing is left to do
    assert set(study.manifest.shards) == set(before) | new


def test_stopped_it_goes_on(study, own_scorer):
    scorer = open_scorer(own_scorer("def rate(texts): return [0.5] * len(texts)"))
    checks = iter([False, False, False, True])
    with pytest.raises(Cancelled):
        rescore_study(study, scorer, stop=lambda: next(checks))
    assert (
        sum(name.startswith("toxicity.mine-rate.") for name in open_study("made", study.folder.parent).manifest.shards)
        == 1
    )
    rescore_study(study, scorer)
    assert study.scores("mine-rate").axes == study.axes


def test_a_changed_scorer_is_refused_before_it_runs(study, own_scorer, tmp_path):
    ref = own_scorer("def rate(texts): return [0.5] * len(texts)")
    rescore_study(study, open_scorer(ref))
    own_scorer(f"import os\nos.mkdir({str(tmp_path / 'was-run')!r})\ndef rate(texts): return [0.6] * len(texts)")
    with pytest.raises(InputError, match=r"mine\.py has changed"):
        reopen_scorer(*study.scorer_record("mine-rate"), study=study.name)
    assert not (tmp_path / "was-run").exists()
    with pytest.raises(InputError, match="was scored with another 'mine-rate'"):
        rescore_study(study, open_scorer(ref))


def test_a_scorer_that_failed_can_be_mended(study, own_scorer):
    ref = own_scorer("def rate(texts): return [2.0] * len(texts)")
    with pytest.raises(InputError, match=r"gave 2\.0"):
        rescore_study(study, open_scorer(ref))
    own_scorer("def rate(texts): return [0.2] * len(texts)")
    rescore_study(study, open_scorer(ref))
    assert (study.samples(AXIS, scorer="mine-rate")["toxicity"] == 0.2).all()


def test_rescoring_gives_what_scoring_with_both_gives(tiny_llama, tmp_path, own_scorer):
    """Also for texts of knocked-out heads, and without the model."""
    settings = StudySettings(max_new_tokens=5, window_tokens=32, samples_per_shard=8, windows_per_shard=2)

    def arguments(name):
        return {"axes": [AXIS], "budget": SMALL, "name": name, "root": tmp_path, "settings": settings}

    scorer = open_scorer(own_scorer("def rate(texts):\n    return [(sum(map(ord, t)) % 97) / 97 for t in texts]\n"))
    direct = score_heads(tiny_llama, **arguments("direct"), scorer=scorer)
    later = score_heads(tiny_llama, **arguments("later"), scorer=open_scorer("embedded"))
    rescore_study(later, scorer)
    # Advantages are measured with the model; rescoring has the ratings only, and scores by log-ratios.
    by_model = ("advantage.", "prefixes.", "critic.")
    rated = {
        name: record.sha256
        for name, record in direct.manifest.shards.items()
        if "mine-rate" in name and not name.startswith(by_model)
    }
    assert any(name.startswith("retoxicity.") for name in rated)
    assert rated.items() <= {name: record.sha256 for name, record in later.manifest.shards.items()}.items()
    by_log_ratios = head_effects(AxisSums.of(axis_samples(direct, AXIS, scorer="mine-rate")))
    assert np.array_equal(by_log_ratios.z, later.scores("mine-rate").z_bias(AXIS))
