"""Filling a study: only what is missing, handed on in memory, and the same wherever a shard is measured.

Covers `measure`.
"""

from __future__ import annotations

import math
import pickle

import pytest
from helpers.fake_cluster import FakeCluster
from helpers.small_run import score_small

from fasp_core.errors import Cancelled, InputError
from fasp_core.scoring.activation import PAIRS_AT_ONCE, prompt_pairs
from fasp_core.scoring.advantages import Advantage, FittedCritic, Prefixes
from fasp_core.scoring.budgets import Budget
from fasp_core.scoring.context import RunContext
from fasp_core.scoring.log_ratios import Gradient, Knockout
from fasp_core.scoring.odds import Odds
from fasp_core.scoring.run import Run
from fasp_core.scoring.stage import shards_of
from fasp_core.scoring.texts import Echo, Rating, Regenerating, Sampling
from fasp_core.study.study import Study, open_study
from fasp_core.toxicity.scorers import open_scorer

AXIS = "gender_and_sex"
MEASURED_AT_ONCE = {"pairs.parquet", "magnitude.00000.parquet", f"activation.{AXIS}.00000.parquet"}
BUDGET = Budget(16, 4, 1, knockout_samples=6, regenerate_samples=4, regenerate_all=True, likelihood_reads=10)


def score(lm, root, **more):
    return score_small(lm, root, AXIS, BUDGET, **more)


@pytest.fixture(scope="module")
def study(tiny_llama, tmp_path_factory):
    return score(tiny_llama, tmp_path_factory.mktemp("run"))


def stages(lm, context):
    """One of every kind, as the study has them."""
    samples, size = shards_of(16, 8), context.settings.odds_per_shard
    sampling, texts = Sampling(AXIS, samples), Regenerating.of(AXIS, 4, 8, range(12), lm.layout.heads_per_layer)
    once = len(context.axis(AXIS).frame)
    return [
        Gradient("text", shards_of(4, 4, end=len(context.windows))),
        Knockout("text", shards_of(1, 1, heads=range(12))),
        sampling,
        Rating.of(sampling, "embedded"),
        Echo.of(AXIS, once, "embedded"),
        Gradient(AXIS, samples),
        Prefixes(AXIS, samples, "embedded"),
        FittedCritic.of_first(AXIS, samples, "embedded"),
        Advantage(AXIS, samples, "embedded"),
        Knockout(AXIS, shards_of(6, 6, heads=range(12))),
        texts,
        Rating.of(texts, "embedded"),
        Odds(AXIS, shards_of(10, size, end=once)),
    ]


def test_every_shard_can_be_measured_elsewhere_from_plain_data(study, tiny_llama):
    """Stage, shard and tables cross a process boundary as a pickle; the other side has a context of its own."""
    here = RunContext.of(study, tiny_llama, open_scorer("embedded"))
    there = RunContext(
        tiny_llama,
        open_scorer("embedded"),
        *pickle.loads(pickle.dumps((here.settings, here.prompts, here.windows, here.pairs))),
    )
    seen = set()
    for stage in stages(tiny_llama, here):
        for shard in stage.shards:
            needed = {name: study.read_shard(name) for name in stage.needs(shard, here.settings)}
            sent, of, tables = pickle.loads(pickle.dumps((stage, shard, needed)))
            assert sent.table(of, there, tables).equals(study.read_shard(stage.name(shard)))
            seen.add(stage.name(shard))
    # The study holds nothing else but what is not measured in shards.
    assert seen == set(study.manifest.shards) - {"prompts.parquet", "windows.parquet", *MEASURED_AT_ONCE}


def test_a_run_reads_back_nothing_it_has_written_and_tokenises_a_prompt_once(tiny_llama, tmp_path, monkeypatch):
    from fasp_core.scoring import context

    read, encoded = [], []
    encode, read_file = context.encode_prompts, Study._read_file
    monkeypatch.setattr(context, "encode_prompts", lambda lm, texts, n: encoded.extend(texts) or encode(lm, texts, n))
    monkeypatch.setattr(Study, "_read_file", lambda self, name: read.append(name) or read_file(self, name))
    study = score(tiny_llama, tmp_path)
    assert set(read) <= {"prompts.parquet", "windows.parquet"}  # founded before the run began
    assert len(read) == len(set(read))
    assert len(encoded) == len(set(encoded))
    used = {
        row["prompt_id"] for name in study.shard_names("samples", AXIS) for row in study.read_shard(name).to_pylist()
    }
    assert len(encoded) == len(used)


def test_only_what_is_missing_is_measured_and_counted(study, tiny_llama):
    events = []
    run = Run(study, RunContext.of(study, tiny_llama, open_scorer("embedded")), events.append)
    stage = Sampling(AXIS, shards_of(24, 8))
    with study.writing():
        run.fill(stage)
        run.fill(Sampling(AXIS, []))
    assert [(e.stage, e.done, e.total, e.unit) for e in events] == [
        (f"sampling {AXIS}", 16, 24, "texts"),
        (f"sampling {AXIS}", 24, 24, "texts"),
    ]
    assert run.units == {f"sampling {AXIS}": 8}
    assert run.cost(f"sampling {AXIS}") == run.seconds[f"sampling {AXIS}"] / 8
    assert run.cost(f"sampling {AXIS}", "gradient text") is None
    with study.writing():
        (study.folder / stage.name(stage.shards[2])).unlink()  # as the module's other tests found it
    with study.writing():
        pass


class CountedNames(dict):
    """A manifest's shards, which count how often all their names were gone through."""

    times = 0

    def __iter__(self):
        self.times += 1
        return super().__iter__()


@pytest.mark.parametrize("n", [12, 3000])
@pytest.mark.parametrize("folded", [0, 0.5, 1])
def test_resuming_goes_through_the_names_once_however_many_shards(study, n, folded, monkeypatch):
    """Of n shards of advantages a share was folded into sums, which was a look at all names for each of them."""
    stage = Advantage(AXIS, shards_of(8 * n, 8), "embedded")
    run = Run(study, RunContext(None, open_scorer("embedded"), study.settings, study.prompts, []))
    record, last = next(iter(study.manifest.shards.values())), int(folded * n)
    names = [stage.name(shard) for shard in stage.shards[last:]] + [f"samples.{AXIS}.{i:05d}.parquet" for i in range(n)]
    names += [f"sums.embedded.{AXIS}.{last - 1:05d}.parquet"] if folded else []
    names.remove(f"samples.{AXIS}.{n - 1:05d}.parquet")
    counted = CountedNames(dict.fromkeys(names, record))
    monkeypatch.setattr(study.manifest, "shards", counted)
    run.fill(stage)
    assert (run.units, counted.times) == ({}, int(folded > 0))
    sampling = Sampling(AXIS, stage.shards)
    assert study.unmeasured(map(sampling.name, sampling.shards)) == {sampling.name(sampling.shards[-1])}
    if folded == 1:  # what the sums hold is there, what comes after them is not
        later = Advantage(AXIS, shards_of(8 * n + 8, 8), "embedded")
        assert study.unmeasured(map(later.name, later.shards)) == {later.name(later.shards[-1])}


def test_workers_make_the_same_study(study, tiny_llama, tmp_path, monkeypatch):
    """Every file the same bytes, listed in the same order, whichever worker is faster."""
    written, write = [], Study.write_shard
    monkeypatch.setattr(
        Study, "write_shard", lambda self, name, table: written.append(name) or write(self, name, table)
    )
    cluster = FakeCluster(tiny_llama)
    spread = score(tiny_llama, tmp_path, cluster=cluster)
    n_pairs = len(prompt_pairs(study.prompts.select(axes=[AXIS], split="valid").frame, AXIS, study.settings.seed))
    shards = [name for name in written if name not in MEASURED_AT_ONCE]
    assert cluster.tasks == len(shards) + math.ceil(n_pairs / PAIRS_AT_ONCE)
    assert spread.manifest.shards == study.manifest.shards
    assert list(spread.manifest.shards) == list(study.manifest.shards)
    assert spread.manifest.model["device"] == "cpu"


def test_a_failing_shard_is_the_same_error_as_without_workers(tiny_llama, tmp_path, monkeypatch):
    """The shards before it are kept, and none after it is written."""
    table = Sampling.table

    def failing(self, shard, context, needed):
        if shard.number == 1:
            raise InputError("shard 1 cannot be measured")
        return table(self, shard, context, needed)

    monkeypatch.setattr(Sampling, "table", failing)
    for root, cluster in ((tmp_path / "here", None), (tmp_path / "there", FakeCluster(tiny_llama))):
        with pytest.raises(InputError, match=r"^shard 1 cannot be measured$"):
            score(tiny_llama, root, cluster=cluster)
        assert open_study("s", root).shard_names("samples", AXIS) == [f"samples.{AXIS}.00000.parquet"]


def test_a_stop_ends_it_between_shards_and_keeps_the_rest(tiny_llama, tmp_path):
    score(tiny_llama, tmp_path)
    study, asked = open_study("s", tmp_path), []
    run = Run(study, RunContext.of(study, tiny_llama, open_scorer("vader"), lambda: len(asked) > 0), what="rating")
    stage = Rating.of(Sampling(AXIS, shards_of(16, 8)), "vader")
    write = study.write_shard
    study.write_shard = lambda name, table: write(name, table) or asked.append(name)
    with study.writing(), pytest.raises(Cancelled, match=r"^rating was stopped; run it again"):
        run.fill(stage)
    assert asked == [stage.name(stage.shards[0])]
    assert study.has_shard(asked[0])
