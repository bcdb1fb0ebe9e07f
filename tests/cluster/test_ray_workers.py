"""Two workers of Ray on this machine, which are skipped where Ray is not installed (requirements-cluster.txt).

What a run makes of workers is tested without Ray in tests/scoring/test_run.py; here, that Ray's are such workers, and
that one that is lost is replaced.
"""

from __future__ import annotations

import os
from functools import partial

import pytest
from helpers import tiny
from helpers.planted_units import DeadlyUnit, FailingUnit, planted
from helpers.small_run import score_small

from fasp_core.cluster.cluster import ClusterChoice
from fasp_core.cluster.opening import open_cluster
from fasp_core.errors import Cancelled, InputError
from fasp_core.files.paths import PROJECT
from fasp_core.models.open_model import open_model
from fasp_core.scoring.budgets import Budget
from fasp_core.scoring.run import Run
from fasp_core.study.study import open_study

pytest.importorskip("ray", reason="Ray is not installed (requirements-cluster.txt)")
# Ray leaves sockets and processes to its own shutdown, and files of its logs open.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore:.*ray.*", "ignore::FutureWarning")

AXIS = "religion"
BUDGET = Budget(24, 8, 2, knockout_samples=6, likelihood_reads=60)
PLANTED = f"samples.{AXIS}.00001.parquet"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    lm, folder = tiny.make_language_model(tiny.LLAMA), tmp_path_factory.mktemp("model")
    lm.model.save_pretrained(folder)
    lm.tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def cluster(folder):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(PROJECT / "tests"))  # the workers know the planted units
        with open_cluster(ClusterChoice("local"), partial(open_model, str(folder)), "cpu") as opened:
            yield opened


@pytest.fixture(scope="module")
def score(folder):
    lm = open_model(str(folder))

    def run(root, **more):
        return score_small(lm, root, AXIS, BUDGET, **more)

    return run


@pytest.fixture(scope="module")
def here(score, tmp_path_factory):
    """The study that this process makes alone."""
    return score(tmp_path_factory.mktemp("here"))


def test_a_worker_that_is_killed_three_times_changes_nothing(score, here, cluster, tmp_path, monkeypatch, capfd):
    log = tmp_path / "killed"
    monkeypatch.setattr(Run, "_units", planted(PLANTED, DeadlyUnit, log, 3))
    study = score(tmp_path, cluster=cluster)
    assert log.read_text() == "xxx"
    assert study.manifest.shards == here.manifest.shards
    assert list(study.manifest.shards) == list(here.manifest.shards)
    assert cluster.n_workers == os.cpu_count()
    assert capfd.readouterr().out == ""  # where the results of a command stand


def test_a_failing_shard_is_one_line_and_the_run_goes_on_later(score, here, cluster, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Run, "_units", planted(PLANTED, FailingUnit))
        with pytest.raises(InputError, match=r"^this shard cannot be measured$"):
            score(tmp_path, cluster=cluster)
    assert open_study("s", tmp_path).shard_names("samples", AXIS) == [f"samples.{AXIS}.00000.parquet"]
    assert score(tmp_path, cluster=cluster).manifest.shards == here.manifest.shards


def test_a_stop_keeps_what_was_measured(score, cluster, tmp_path):
    done = []
    with pytest.raises(Cancelled, match="was stopped"):
        score(tmp_path, cluster=cluster, progress=done.append, stop=lambda: len(done) > 4)
    assert open_study("s", tmp_path).shard_names("gradient", "text")


def test_a_model_that_cannot_be_opened_is_the_line_of_its_worker(cluster, tmp_path):
    import ray

    from fasp_core.cluster.ray_workers import Holder, result_of

    lost = ray.remote(Holder).options(num_cpus=0).remote(partial(open_model, str(tmp_path)), "cpu", 1)
    with pytest.raises(InputError, match="holds no model"):
        result_of(lost.open.remote())
