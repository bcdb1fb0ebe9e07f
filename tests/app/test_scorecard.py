"""The scorecard on Prune and Export: shown on request, measured by a job (`scorecards`), never started by visitors."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.app_pages import all_text, button, keep, open_page
from helpers.left_job import leave_job
from helpers.made_study import make_study

from fasp_core.access import VIEWER
from fasp_core.evaluation.keys import Target
from fasp_core.evaluation.reading_tasks import reading_tasks
from fasp_core.evaluation.store import EvaluationStore
from fasp_core.export.pruning_config import PruningConfig
from fasp_core.export.scorecard_rows import EXPLORATORY
from fasp_core.head import heads_text
from fasp_core.jobs import exports, scorecards
from fasp_core.selection.select_heads import select_heads
from ui.prune import scorecard as scorecard_panel

AXIS = "gender_and_sex"
EXPORT = "pages/export.py"


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


def leave_blocks(study, pruned, split, most=1.0):
    """What a job leaves in the store: numbers for the items of every task, of a share of its blocks."""
    rng, store, model = np.random.default_rng(0), EvaluationStore(study.folder.parent), study.manifest.model
    for task in reading_tasks(model["fingerprint"], model.get("dtype") or "float32", split):
        for block in range(max(1, round(most * task.blocks))):
            width = 4 if task.scored is None else 2
            for name in ("", heads_text(pruned)):
                store.put(task.key, name, block, rng.uniform(1, 2, (len(task.block(block)), width)).tolist())


def test_it_is_shown_on_request_and_measured_by_a_job(study, pruned, started):
    app = open_page(EXPORT)
    assert not [each for each in app.button if each.label == "Measure the scorecard"]
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


@pytest.mark.parametrize("page", [EXPORT, "pages/prune.py"])
def test_what_is_kept_is_shown_with_its_words(study, pruned, started, page):
    leave_blocks(study, pruned, "valid")
    keep(study, pruned)
    app = open_page(page)
    app.toggle(key="show_scorecard").set_value(True).run()
    assert not app.exception
    rows = next(each.value for each in app.dataframe if "verdict" in each.value)
    assert set(rows["verdict"]) <= {"better", "worse", "no clear change"}
    assert {"bias", "perplexity", "right word preferred", "last word named"} <= set(rows["measure"])
    assert EXPLORATORY in all_text(app)
    assert "Measure the scorecard" not in [each.label for each in app.button]


def test_a_part_is_shown_and_only_what_is_complete_is_exported(study, pruned, started, monkeypatch):
    exported = []
    monkeypatch.setattr(exports, "start_job", lambda command, *, key, title: exported.append(command[-1]))
    leave_blocks(study, pruned, "valid", most=0.5)
    leave_blocks(study, pruned, "test")
    app = open_page(EXPORT)
    app.toggle(key="show_scorecard").set_value(True).run()
    assert any("verdict" in each.value for each in app.dataframe)
    assert button(app, "Measure the scorecard")
    button(app, "Make the checkpoint").click().run()
    assert list(PruningConfig.load(exported[0]).scorecard) == ["test"]


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
    app.toggle(key="show_scorecard").set_value(True).run()
    assert "was not measured" in all_text(app)
    assert "Measure the scorecard" not in [each.label for each in app.button]
