"""How far a run is, and whether to stop it."""

from __future__ import annotations

import pytest

from fasp_core.errors import Cancelled
from fasp_core.progress import StageClock, check_stop


def test_a_run_goes_on_until_it_is_told_to_stop():
    check_stop(None, "scoring")
    check_stop(lambda: False, "scoring")
    with pytest.raises(Cancelled, match=r"^scoring was stopped$"):
        check_stop(lambda: True, "scoring")
    with pytest.raises(Cancelled, match=r"^scoring was stopped; run it again to go on where it ended$"):
        check_stop(lambda: True, "scoring", resumes=True)


def test_what_was_on_disk_counts_as_done_and_not_towards_the_speed():
    seen = []
    clock = StageClock("gradient", 10, "texts", seen.append, already=6)
    clock.step(2, "half of the rest")
    assert [(p.done, p.total) for p in seen] == [(6, 10), (8, 10)]
    assert seen[0].eta_s is None
    assert seen[1].eta_s == pytest.approx(seen[1].elapsed_s)  # two units took as long as the other two will
    assert seen[1].message == "half of the rest"


def test_a_stage_without_a_callback_only_counts():
    clock = StageClock("gradient", 3, "texts", None)
    clock.step()
    clock.step(2)
    assert clock.done == 3
