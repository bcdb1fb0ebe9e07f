"""The Studies page under AppTest: what it starts, shows, imports and deletes. Jobs are noted, not run."""

from __future__ import annotations

import json
import time

import pytest
from made_study import make_study
from test_app import AXIS, all_text, cache, open_page  # noqa: F401 - cache is a fixture

from fasp_core import background
from fasp_core.errors import InputError
from fasp_core.progress import Progress
from fasp_core.study import delete_study, list_studies
from ui import jobs_panel, new_study
from ui.new_study import score_command

STUDIES = "pages/studies.py"


@pytest.fixture
def started(monkeypatch):
    """The jobs that the page would have started: (command, key)."""
    jobs = []
    for module in (new_study, jobs_panel):
        monkeypatch.setattr(module, "start_job", lambda command, *, key, title: jobs.append((list(command), key)))
    return jobs


def leave_job(cache, state, *, key="score s", stages=()):  # noqa: F811
    """A job's folder as a run leaves it."""
    folder = cache / ".jobs" / f"20260101-000000-{abs(hash(key)) % 16**8:08x}"
    folder.mkdir(parents=True)
    command = ["score", "--axes=religion", "--name=s", "--budget=quick", "--", "default"]
    record = {"key": key, "title": f"Score {key}", "command": command, "created": time.time() - 9999}
    (folder / "job.json").write_text(json.dumps(record))
    (folder / "log.txt").write_text("error: the model is *gone*\n")
    (folder / "progress.json").write_text(json.dumps([vars(stage) for stage in stages]))
    if state != "lost":
        (folder / "end.json").write_text(json.dumps({"status": {"done": 0, "failed": 1, "cancelled": 130}[state]}))
    return folder


def button(app, label):
    return next(button for button in app.button if button.label == label)


def test_without_a_study_one_is_started_with_an_estimate(cache, started):  # noqa: F811
    app = open_page(STUDIES)
    assert "There is no study yet" in app.info[0].value
    button(app, "Start").click().run()
    assert started == [
        (["score", f"--axes={AXIS}", "--name=default", "--budget=quick", "--", "default"], "score default")
    ]


def test_the_estimate_needs_the_models_files(cache, started):  # noqa: F811
    folder = cache / "models" / "smollm2-135m-instruct"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"num_hidden_layers": 30, "num_attention_heads": 9}))
    (folder / "model.safetensors").write_bytes(b"0" * 4000)
    text = all_text(open_page(STUDIES))
    assert "Time about" in text
    assert "Memory 2." in text
    assert "within a factor of 2" in text


def test_a_name_that_is_taken_is_refused_and_an_existing_study_extended(cache, started):  # noqa: F811
    make_study(cache, "mine")
    app = open_page(STUDIES)
    app.text_input(key="name_of_default").set_value("mine").run()
    button(app, "Start").click().run()
    assert started == []
    assert "there is a study 'mine' already" in app.error[0].value.replace("\\", "")
    next(box for box in app.main.selectbox if box.label == "Study").select("mine").run()
    button(app, "Extend").click().run()
    assert started == [(["score", f"--axes={AXIS}", "--name=mine", "--budget=quick", "--", "made-model"], "score mine")]


def test_what_is_typed_is_never_an_option():
    command = score_command("--help", "n", ["a", "b"], minutes=30, prompts="--x")
    assert command == ["score", "--axes=a,b", "--name=n", "--minutes=30", "--prompts=--x", "--", "--help"]


def test_jobs_show_their_stages_and_are_resumed_and_removed(cache, started):  # noqa: F811
    stage = Progress("samples religion", 256, 1536, "texts", 60.0, 300.0)
    folder = leave_job(cache, "cancelled", stages=[stage])
    app = open_page(STUDIES)
    assert "Paused" in all_text(app)
    button(app, "Resume").click().run()
    assert started[0][1] == "score s"
    assert not folder.exists()
    leave_job(cache, "lost")
    app.run()
    assert "Lost" in all_text(app)
    assert "killed, or the machine was restarted" in all_text(app)
    button(app, "Remove").click().run()
    assert background.list_jobs(cache) == []
    leave_job(cache, "failed", key="markup")
    app.run()
    assert "the model is \\*gone\\*" in all_text(app)


def test_published_scores_are_imported(cache, tmp_path):  # noqa: F811
    scores = make_study(cache / "elsewhere").scores()
    scores.to_csv(tmp_path / "mine.csv")
    app = open_page(STUDIES)
    app.get("file_uploader")[0].upload("mine.csv", (tmp_path / "mine.csv").read_bytes(), "text/csv").run()
    button(app, "Import").click().run()
    assert not app.exception
    assert list_studies(cache) == ["mine"]


def test_deleting_is_asked_twice(cache):  # noqa: F811
    study = make_study(cache, "mine")
    app = open_page(STUDIES)
    app.selectbox(key="to_delete").select("mine").run()
    assert button(app, "Delete").disabled
    app.checkbox(key="sure_mine").check().run()
    assert button(app, "Delete").disabled
    app.text_input(key="again_mine").set_value("mine").run()
    button(app, "Delete").click().run()
    assert not study.folder.exists()
    assert list_studies(cache) == []


def test_only_whole_studies_that_nobody_writes_are_deleted(tmp_path):
    study = make_study(tmp_path / "root", "mine")
    outside = make_study(tmp_path / "outside", "other")
    (tmp_path / "root" / "link").symlink_to(outside.folder)
    for name, words in (("link", "no study 'link' to delete"), ("gone", "no study"), ("..", "cannot name a study")):
        with pytest.raises(InputError, match=words):
            delete_study(name, tmp_path / "root")
    assert outside.folder.exists()
    with study.writing(), pytest.raises(InputError, match="being measured"):
        delete_study("mine", tmp_path / "root")
    delete_study("mine", tmp_path / "root")
    assert [p.name for p in (tmp_path / "root").iterdir()] == ["link"]
