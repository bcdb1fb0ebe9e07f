"""The Export page under AppTest: small files at once, checkpoints as jobs, verified before they are downloaded."""

from __future__ import annotations

import io
import json
import zipfile

import pytest
from helpers.app_pages import all_text, button, keep, open_page
from helpers.left_job import leave_job as leave_live_job
from helpers.made_study import make_study

from fasp_core.export.pruning_config import PruningConfig
from fasp_core.jobs import exports as exporting
from fasp_core.selection.select_heads import select_heads
from fasp_core.study.importing import import_scores

EXPORT = "pages/export.py"


@pytest.fixture
def started(monkeypatch):
    """The commands of the jobs that would have been started."""
    commands = []
    monkeypatch.setattr(exporting, "start_job", lambda command, *, key, title: commands.append((command, key)))
    return commands


def leave_job(cache, key, status, log=""):
    folder = cache / ".jobs" / f"20260101-000000-{abs(hash(key)) % 16**8:08x}"
    folder.mkdir(parents=True)
    (folder / "job.json").write_text(json.dumps({"key": key, "title": key, "command": [], "created": 9e9}))
    (folder / "log.txt").write_text(log)
    (folder / "end.json").write_text(json.dumps({"status": status}))


def test_files_are_there_at_once_and_a_checkpoint_is_a_job(cache, started):
    study = make_study(cache)
    app = open_page(EXPORT, alpha="0.10", compensate="mean")
    assert "Method: Published FASP (fasp), γ = 0.3, α = 0.1. What takes the place of the pruned heads: their mean" in (
        all_text(app)
    )
    assert [element.label for element in app.get("download_button")] == ["Download configuration", "Download report"]
    assert "AutoModelForCausalLM" in app.code[0].value
    button(app, "Make the checkpoint").click().run()
    ((command, key),) = started
    source = command[-1]
    assert PruningConfig.load(source).pruned == select_heads(study.scores(), axis="gender_and_sex").pruned
    assert command[:2] == ["export", "--format=masked"]
    assert command[2].startswith(f"--to={cache / 'exports' / 'default.'}")
    assert key.startswith("export default.")


def test_a_measurement_cut_short_never_leaves_as_a_result(cache, started):
    study = make_study(cache)
    keep(study, select_heads(study.scores(), axis="gender_and_sex").pruned, fraction=0.08)
    app = open_page(EXPORT)
    assert "Measurement 8\u00a0% complete (validation prompts)" in app.warning[0].value
    button(app, "Make the checkpoint").click().run()
    assert PruningConfig.load(started[0][0][-1]).metrics == {}


def test_a_checkpoint_that_is_being_written_can_be_cancelled(cache, started, monkeypatch):
    cancelled = []
    monkeypatch.setattr("fasp_core.jobs.jobs.cancel_job", cancelled.append)  # the job is this very process
    make_study(cache)
    app = open_page(EXPORT)
    button(app, "Make the checkpoint").click().run()
    folder = leave_live_job(cache, key=started[0][1], alive=True)
    app.run()
    assert "The checkpoint is being written" in app.info[0].value
    button(app, "Stop").click().run()
    assert cancelled == [folder.name]


def test_a_checkpoint_is_verified_and_then_offered(cache, started):
    study = make_study(cache)
    config = PruningConfig.from_selection(select_heads(study.scores(), axis="gender_and_sex"), study)
    folder = exporting.export_folder("default", config, "masked")
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    leave_job(cache, exporting.verify_key(folder), 0, "the masked checkpoint equals the model with 2 heads gated")
    app = open_page(EXPORT)
    assert "Verified" in app.success[0].value
    assert "equals the model" in "".join(code.value for code in app.code)
    assert len(app.get("download_button")) == 3
    with zipfile.ZipFile(io.BytesIO(exporting.zipped(folder)())) as archive:
        assert archive.namelist() == [f"{folder.name}/config.json"]


def test_one_that_differs_is_never_called_verified(cache, started):
    study = make_study(cache)
    config = PruningConfig.from_selection(select_heads(study.scores(), axis="gender_and_sex"), study)
    folder = exporting.export_folder("default", config, "masked")
    folder.mkdir(parents=True)
    leave_job(cache, exporting.verify_key(folder), 1, "error: it is not the gated model")
    app = open_page(EXPORT)
    assert "Not verified: it is not the gated model" in app.error[0].value
    assert not app.success


def test_imported_scores_give_configuration_and_report_only(cache, tmp_path, started):
    make_study(cache / "elsewhere").scores().to_csv(tmp_path / "mine.csv")
    import_scores(tmp_path / "mine.csv", name="imported", root=cache)
    app = open_page(EXPORT, study="imported")
    assert not app.error
    assert "no checkpoint can be made" in app.info[0].value
    assert len(app.get("download_button")) == 2
    assert "Not measured" not in all_text(app)
