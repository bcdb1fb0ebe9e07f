"""The scorecard on Prune and Export: shown on request, measured by a job (`scorecards`), never started by visitors."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from helpers.app_pages import all_text, button, keep, open_page
from helpers.left_job import leave_job
from helpers.made_study import make_study

from fasp_core.access import VIEWER
from fasp_core.evaluation.keys import Target
from fasp_core.evaluation.reading_tasks import reading_tasks, size_key
from fasp_core.evaluation.store import EvaluationStore
from fasp_core.export.pruning_config import PruningConfig
from fasp_core.export.scorecard_rows import EXPLORATORY
from fasp_core.head import heads_text
from fasp_core.jobs import exports, scorecards
from fasp_core.selection.select_heads import select_heads
from ui.prune import scorecard as scorecard_panel

AXIS = "gender_and_sex"
EXPORT, PRUNE = "pages/export.py", "pages/prune.py"


@pytest.fixture
def study(cache):
    return make_study(cache)


@pytest.fixture
def pruned(study):
    return select_heads(study.scores(), axis=AXIS).pruned


@pytest.fixture
def started(monkeypatch):
    """The commands of the jobs that would have been started."""
    commands = []
    monkeypatch.setattr(scorecards, "start_job", lambda command, *, key, title: commands.append((command, key)))
    return commands


def leave_blocks(study, pruned, split, most=1.0, seed=0):
    """What a job leaves in the store: numbers for the items of every task, of a share of its blocks."""
    rng, store, model = np.random.default_rng(seed), EvaluationStore(study.folder.parent), study.manifest.model
    made = model["fingerprint"], model.get("dtype") or "float32"
    for task in reading_tasks(*made, split):
        for block in range(max(1, round(most * task.blocks))):
            width = 4 if task.scored is None else 2
            for name in ("", heads_text(pruned)):
                store.put(task.key, name, block, rng.uniform(1, 2, (len(task.block(block)), width)).tolist())
    if most == 1:
        store.put(size_key(*made), heads_text(pruned), 0, [[1000, 4000], [900, 3600]])


def shown(app):
    """The rows of the panel, None where there are none."""
    return next((each.value for each in app.dataframe if "verdict" in each.value), None)


def labels(app):
    return [each.label for each in app.button]


def test_on_prune_it_is_shown_on_request_and_measured_by_a_job(study, pruned, started):
    app = open_page(PRUNE)
    assert "Measure the scorecard" not in labels(app)
    app.toggle(key="show_scorecard").set_value(True).run()
    button(app, "Measure the scorecard").click().run()
    ((command, key),) = started
    assert command == [
        "evaluate",
        f"--heads={','.join(f'{layer}.{head}' for layer, head in pruned)}",
        f"--axes={','.join((AXIS, *(axis for axis in study.axes if axis != AXIS)))}",
        "--metric=toxicity",
        "--split=valid",
        "--scorecard",
        "--",
        "default",
    ]
    assert key == scorecards.scorecard_key(Target("default", pruned, (AXIS,), "valid"))


def test_what_is_kept_is_shown_with_its_words(study, pruned, started):
    leave_blocks(study, pruned, "valid")
    keep(study, pruned)
    app = open_page(PRUNE)
    app.toggle(key="show_scorecard").set_value(True).run()
    assert not app.exception
    rows = shown(app)
    assert set(rows["verdict"]) <= {"better", "worse", "no clear change"}
    assert rows.set_index("measure").loc["size on disk, bytes", "before"] == "4,000"
    assert {"bias", "perplexity", "right word preferred", "last word named"} <= set(rows["measure"])
    assert EXPLORATORY in all_text(app)
    assert "Measure the scorecard" not in labels(app)


def test_on_export_it_stands_open_on_test_before_any_download(study, pruned, started):
    leave_blocks(study, pruned, "test")
    app = open_page(EXPORT)
    order = [element.type for element in app.main if element.type in ("dataframe", "download_button")]
    assert shown(app) is not None
    assert EXPLORATORY not in all_text(app)
    assert not [box for box in app.warning if "exploratory" in box.value]
    assert order == ["dataframe", "download_button", "download_button"]


def test_valid_and_test_are_never_shown_together_and_without_test_all_is_exploratory(study, pruned, started):
    leave_blocks(study, pruned, "valid")
    app = open_page(EXPORT)
    assert shown(app) is None  # nothing was measured on test, with which the page begins
    assert any("Nothing of this set was measured on test" in box.value for box in app.warning)
    split = next(group for group in app.get("button_group") if group.label == "Split")
    split.set_value("valid").run()
    on_valid = shown(app)
    assert EXPLORATORY in all_text(app)
    leave_blocks(study, pruned, "test", seed=1)
    app = open_page(EXPORT)
    assert EXPLORATORY not in all_text(app)
    assert set(shown(app)["before"]) != set(on_valid["before"])


def test_a_part_is_shown_with_intervals_and_only_what_is_complete_is_exported(study, pruned, started, monkeypatch):
    exported = []
    monkeypatch.setattr(exports, "start_job", lambda command, *, key, title: exported.append(command[-1]))
    leave_blocks(study, pruned, "valid")
    leave_blocks(study, pruned, "test", most=0.0)  # the first block of every task
    app = open_page(EXPORT)
    assert all(" to " in change or "exact" in change for change in shown(app)["change (95 % interval)"])
    assert button(app, "Measure the scorecard")
    button(app, "Make the checkpoint").click().run()
    assert list(PruningConfig.load(exported[0]).scorecard) == ["valid"]


def test_it_is_kept_by_set(study, pruned, started):
    leave_blocks(study, pruned, "test")
    assert shown(open_page(EXPORT, heads="0.0")) is None
    assert shown(open_page(EXPORT, heads=heads_text(pruned))) is not None


def test_a_running_job_can_be_stopped(study, pruned, started, monkeypatch):
    leave_blocks(study, pruned, "test", most=0.0)
    running = SimpleNamespace(id="the-job", live=True, state="running", message="")
    stopped = []
    monkeypatch.setattr("ui.prune.scorecard.scorecard_job", lambda target: None if stopped else running)
    monkeypatch.setattr("ui.prune.scorecard.cancel_job", stopped.append)
    app = open_page(EXPORT)
    assert "Measure the scorecard" not in labels(app)
    app.button(key="stop_scorecard").click().run()
    assert stopped == ["the-job"]
    assert "Measure the scorecard" in labels(app)
    assert shown(app) is not None  # what was read is kept


def test_once_its_job_begins_or_ends_the_whole_page_is_drawn_again_and_follows_it(study, pruned, monkeypatch):
    target, again = Target("default", pruned, (AXIS,), "valid"), []
    monkeypatch.setattr(scorecard_panel.st, "rerun", lambda: again.append(True))
    scorecard_panel._card(study, target, False)
    assert again == []
    folder = leave_job(study.folder.parent, key=scorecards.scorecard_key(target), alive=True)
    scorecard_panel._card(study, target, False)  # by its own button, which draws this part of the page alone
    assert again == [True]
    scorecard_panel._card(study, target, True)
    assert again == [True]
    (folder / "end.json").write_text('{"status": 0}')
    scorecard_panel._card(study, target, True)
    assert again == [True, True]


def test_visitors_see_it_and_start_nothing(study, pruned, started, monkeypatch):
    monkeypatch.setenv(VIEWER, "1")
    app = open_page(EXPORT)
    assert "was not measured" in all_text(app)
    assert "Measure the scorecard" not in labels(app)
