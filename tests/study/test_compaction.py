"""A compacted study: the same scores from sums, scoring that goes on, and no harm from a kill at any moment."""

from __future__ import annotations

import json
from shutil import copytree

import numpy as np
import pandas as pd
import pytest
from helpers.killed_run import AXIS, BUDGET, SETTINGS
from typer.testing import CliRunner

from fasp_core.cli.app import app
from fasp_core.errors import InputError
from fasp_core.scoring.refine import Budget
from fasp_core.scoring.score_heads import score_heads
from fasp_core.study import compaction
from fasp_core.study.compaction import compact
from fasp_core.study.folder import StudyFolder
from fasp_core.study.shard_names import ADVANTAGE, SAMPLES, SUMS, TOXICITY
from fasp_core.study.shard_tables import table_contributions
from fasp_core.study.study import open_study

MORE = Budget(samples=60, windows=12, knockout_windows=4, knockout_samples=12)
SCORER = "embedded"


@pytest.fixture(scope="module")
def root(tiny_llama, tmp_path_factory):
    """The study `s`, 36 texts of an axis, and `more`, which went on to 60."""
    root = tmp_path_factory.mktemp("compaction")
    for name, budget in (("s", BUDGET), ("more", BUDGET), ("more", MORE)):
        score_heads(tiny_llama, axes=[AXIS], budget=budget, settings=SETTINGS, name=name, root=root)
    return root


@pytest.fixture
def study(root, tmp_path):
    copytree(root / "s", tmp_path / "s")
    return open_study("s", tmp_path)


def same_scores(one, other):
    """The scores, their errors and what is said of the bias are the same, to rounding."""
    one, other = one.scores(), other.scores()
    pd.testing.assert_frame_equal(one.frame, other.frame, rtol=1e-6, atol=1e-9)
    mine, theirs = (made.intact[AXIS] for made in (one, other))
    assert (mine.bias.value, mine.n_samples, mine.discount) == (
        pytest.approx(theirs.bias.value),
        theirs.n_samples,
        theirs.discount,
    )
    assert (mine.verdict.state, mine.verdict.p_value) == (theirs.verdict.state, pytest.approx(theirs.verdict.p_value))
    assert mine.reliability == pytest.approx(theirs.reliability, abs=1e-6)
    return True


def test_the_scores_stay_and_the_study_gets_smaller(study, root):
    folded = [study.read_shard(name) for name in study.shard_names(ADVANTAGE, AXIS, scorer=SCORER)]
    by_hand = sum(table_contributions(table)[1].sum(0, dtype=float) for table in folded)
    texts = study.samples(AXIS)
    done = compact(study)
    assert (done.texts, len(folded)) == (36, 6)
    assert done.after < done.before
    there = open_study("s", study.folder.parent)
    assert not there.shard_names(ADVANTAGE, AXIS, scorer=SCORER)
    assert not list(there.folder.glob("advantage.*"))
    (name,) = there.shard_names(SUMS, AXIS, scorer=SCORER)
    sums = there.read_shard(name).to_pandas()
    np.testing.assert_allclose(np.stack(sums["discounted"]).sum(0), by_hand, rtol=1e-12)
    assert sums["n"].sum() == 36
    assert sums["f2"].sum() == pytest.approx((texts["toxicity"] ** 2).sum())
    assert same_scores(there, open_study("s", root))
    pd.testing.assert_frame_equal(there.samples(AXIS), texts)
    assert compact(there).texts == 0


def test_scoring_goes_on_after_the_last_folded_shard(study, root, tiny_llama):
    compact(study)
    more = score_heads(tiny_llama, axes=[AXIS], budget=MORE, settings=SETTINGS, name="s", root=study.folder.parent)
    assert [name[-13:-8] for name in more.shard_names(ADVANTAGE, AXIS, scorer=SCORER)] == [
        f"{number:05d}" for number in range(6, 10)
    ]
    assert same_scores(more, open_study("more", root))
    assert compact(more).texts == 24
    assert len(more.shard_names(SUMS, AXIS, scorer=SCORER)) == 1
    assert same_scores(open_study("s", study.folder.parent), open_study("more", root))


def test_nothing_of_the_folded_texts_is_read_for_the_scores(study, monkeypatch):
    compact(study)
    read, there = [], open_study("s", study.folder.parent)
    real = StudyFolder.read_shard
    monkeypatch.setattr(StudyFolder, "read_shard", lambda self, name: read.append(name) or real(self, name))
    for name in there.shard_names("gradient", AXIS):  # the few texts with log-ratios are read besides
        there.manifest.shards.pop(name)
    there.scores()
    assert not [name for name in read if name.startswith((f"{SAMPLES}.", f"{TOXICITY}."))]


@pytest.mark.parametrize("step", ["write_shard", "drop_shards"])
def test_stopped_at_any_moment_the_scores_are_the_same(study, root, monkeypatch, step):
    def stopped(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(StudyFolder, step, stopped)
        with pytest.raises(KeyboardInterrupt):
            compact(study)
    there = open_study("s", study.folder.parent)
    assert same_scores(there, open_study("s", root))
    compact(there)
    assert not there.shard_names(ADVANTAGE, AXIS, scorer=SCORER)
    assert same_scores(open_study("s", study.folder.parent), open_study("s", root))


def test_files_that_a_kill_left_are_neither_counted_twice_nor_kept(study, root):
    kept = {path.name: path.read_bytes() for path in study.folder.glob("advantage.*")}
    compact(study)
    for name, data in kept.items():
        (study.folder / name).write_bytes(data)
    with study.writing():
        assert study.shard_names(ADVANTAGE, AXIS, scorer=SCORER)
    assert same_scores(study, open_study("s", root))
    assert compact(study).texts == 0
    assert not list(study.folder.glob("advantage.*"))


def test_lost_sums_are_measured_anew(study, root, tiny_llama):
    compact(study)
    for path in study.folder.glob("sums.*"):
        path.unlink()
    again = score_heads(tiny_llama, axes=[AXIS], budget=BUDGET, settings=SETTINGS, name="s", root=study.folder.parent)
    assert same_scores(again, open_study("s", root))


def test_the_command(study, monkeypatch):
    monkeypatch.setenv("FASP_CACHE", str(study.folder.parent))
    done = json.loads(CliRunner().invoke(app, ["studies", "compact", "s", "--json"]).stdout)
    assert (done["texts"], done["after"] < done["before"]) == (36, True)
    assert "nothing to fold" in CliRunner().invoke(app, ["studies", "compact", "s"]).stdout
    assert CliRunner().invoke(app, ["studies", "compact", "t"]).exit_code == 2


def test_imported_scores_have_nothing_to_fold(root, monkeypatch):
    study = open_study("s", root)
    study.manifest.kind = "imported"
    with pytest.raises(InputError, match="imported scores only"):
        compaction.compact(study)
