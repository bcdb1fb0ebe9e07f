"""The fault loop, some of each kind on a small study; kills are tested in tests/jobs and tests/study."""

from __future__ import annotations

import random

from helpers.made_study import make_study

from benchmarks.faults.files import flip_bits, prepare, truncate, vanish
from benchmarks.faults.machine import fill_disk, make_read_only, set_clock
from benchmarks.faults.tally import Tally


def test_faults_are_one_line_and_change_no_number(tmp_path):
    study = make_study(tmp_path, "s", n_layers=2, heads_per_layer=2, axes=("religion",), samples=24, windows=4)
    tally = Tally()
    prepare(tmp_path, study)
    flip_bits(tmp_path, "s", 20, random.Random(0), tally)
    truncate(tmp_path, "s", 3, random.Random(0), tally)
    fill_disk(tmp_path, "s", tally)
    make_read_only(tmp_path, "s", tally)
    set_clock(tmp_path, "s", tally)
    vanish(tmp_path, "s", tally)
    assert tally.problems == []
    assert sum(tally.tried.values()) > 100
