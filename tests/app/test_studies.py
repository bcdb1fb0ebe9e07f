"""The Studies page under AppTest: what it starts, shows, imports and deletes. Jobs are noted, not run.

Covers `import_form`, `job_notice`, `managing` and `uploads`.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from helpers.app_pages import AXIS, all_text, button, open_page
from helpers.left_job import leave_job as leave_live_job
from helpers.made_study import make_study

from fasp_core.cluster import opening
from fasp_core.cluster.opening import CLUSTER
from fasp_core.data.prompts import load_prompts
from fasp_core.errors import InputError
from fasp_core.evaluation.set_names import name_set, read_notes
from fasp_core.jobs import jobs as background
from fasp_core.jobs.processes import boot
from fasp_core.limits import MAX_BYTES
from fasp_core.progress import Progress
from fasp_core.study.study import delete_study, list_studies, open_study, rename_study
from ui import caches
from ui.studies import import_form, jobs_panel, new_study, scorer_download
from ui.studies.new_study import score_command
from ui.words import ON_CLUSTER

STUDIES = "pages/studies.py"


@pytest.fixture
def started(monkeypatch):
    """The jobs that the page would have started: (command, key)."""
    jobs = []
    for module in (new_study, jobs_panel, scorer_download, import_form):
        monkeypatch.setattr(module, "start_job", lambda command, *, key, title: jobs.append((list(command), key)))
    return jobs


def uploader(app, label):
    return next(element for element in app.get("file_uploader") if element.label == label)


def leave_job(cache, state, *, key="score s", stages=()):
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


def test_without_a_study_one_is_started_with_an_estimate(cache, started):
    app = open_page(STUDIES)
    assert "There is no study yet" in app.info[0].value
    assert "Rename or delete" not in all_text(app)
    button(app, "Start").click().run()
    assert started == [
        (["score", f"--axes={AXIS}", "--name=default", "--budget=quick", "--", "default"], "score default")
    ]


def test_the_smallest_bias_that_a_budget_could_tell_is_said(cache, started):
    make_study(cache)
    app = open_page(STUDIES)
    assert "by toxicity (384 texts)" in all_text(app).replace("\\", "")
    assert "noise as in the study default" in all_text(app)
    next(box for box in app.selectbox if box.label == "Study").select("default").run()
    assert "noise as measured so far" in all_text(app)
    next(box for box in app.selectbox if box.label == "Budget").select("minutes").run()
    assert "could be told from none" not in all_text(app)


def test_a_cluster_is_a_choice_where_one_is_configured(cache, started, monkeypatch):
    offered = [box.label for box in open_page(STUDIES).checkbox]
    monkeypatch.setenv(CLUSTER, "ray://host:10001")
    monkeypatch.setattr(opening, "find_spec", lambda name: object())  # as where Ray is installed
    app = open_page(STUDIES)
    assert [box.label for box in app.checkbox if box.label not in offered] == [ON_CLUSTER]
    assert ON_CLUSTER not in offered
    next(box for box in app.checkbox if box.label == ON_CLUSTER).check().run()
    button(app, "Start").click().run()
    (((*_, cluster, dashes, ref), _),) = started
    assert (cluster, dashes, ref) == ("--cluster=ray://host:10001", "--", "default")


def test_the_estimate_needs_the_models_files(cache, started):
    folder = cache / "models" / "smollm2-135m-instruct"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"num_hidden_layers": 30, "num_attention_heads": 9}))
    (folder / "model.safetensors").write_bytes(b"0" * 4000)
    text = all_text(open_page(STUDIES))
    assert "Time about" in text
    assert "Memory 2." in text
    assert "within a factor of 2" in text


def test_a_name_that_is_taken_is_refused_and_an_existing_study_extended(cache, started):
    make_study(cache, "mine")
    app = open_page(STUDIES)
    app.text_input(key="name_of_default").set_value("mine").run()
    button(app, "Start").click().run()
    assert started == []
    assert "there is a study 'mine' already" in app.error[0].value.replace("\\", "")
    next(box for box in app.main.selectbox if box.label == "Study").select("mine").run()
    button(app, "Extend").click().run()
    assert started == [(["score", f"--axes={AXIS}", "--name=mine", "--budget=quick", "--", "made-model"], "score mine")]


@pytest.mark.parametrize(("made", "words"), [(False, "no file or folder"), (True, "holds no config.json")])
def test_a_wrong_folder_starts_no_job(cache, tmp_path, started, made, words):
    folder = tmp_path / "nowhere"
    if made:
        folder.mkdir()
    app = open_page(STUDIES)
    next(group for group in app.button_group if group.label == "Model").set_value("folder").run()
    next(box for box in app.text_input if box.label == "Folder").set_value(str(folder)).run()
    button(app, "Start").click().run()
    assert started == []
    assert words in app.error[0].value.replace("\\", "")


def test_extending_estimates_only_what_is_not_measured(cache, started):
    make_study(cache, "mine", samples=2000)
    app = open_page(STUDIES)
    next(box for box in app.main.selectbox if box.label == "Study").select("mine").run()
    assert "All of this is measured already." in all_text(app)
    next(box for box in app.multiselect if box.label == "Axes").set_value([AXIS, "nationality"]).run()
    assert "All of this is measured already." not in all_text(app)


def test_the_best_speed_seen_counts_and_a_busy_machine_is_said(cache, started, monkeypatch):
    speeds = iter([4e9, 1e9])
    monkeypatch.setattr(caches, "_speed_now", lambda: next(speeds))
    caches._best_speed.clear()
    assert caches.machine_speed() == (4e9, False)
    assert caches.machine_speed() == (4e9, True)


def test_what_is_typed_is_never_an_option():
    command = score_command("--help", "n", ["a", "b"], minutes=30, prompts="--x")
    assert command == ["score", "--axes=a,b", "--name=n", "--minutes=30", "--prompts=--x", "--", "--help"]
    assert score_command("m", "n", ["a"], compensated=True)[-3:] == ["--compensated", "--", "m"]


def test_jobs_show_their_stages_and_are_resumed_and_removed(cache, started):
    stage = Progress("samples religion", 256, 1536, "texts", 60.0, 300.0)
    folder = leave_job(cache, "cancelled", stages=[stage])
    app = open_page(STUDIES)
    assert "Stopped" in all_text(app)
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


def test_published_scores_are_imported(cache, tmp_path):
    scores = make_study(cache / "elsewhere").scores()
    scores.to_csv(tmp_path / "mine.csv")
    app = open_page(STUDIES)
    assert uploader(app, "File of head scores").proto.max_upload_size_mb * 2**20 == MAX_BYTES
    uploader(app, "File of head scores").upload("mine.csv", (tmp_path / "mine.csv").read_bytes(), "text/csv").run()
    button(app, "Import").click().run()
    assert not app.exception
    assert list_studies(cache) == ["mine"]
    button(app, "Import").click().run()
    assert "--" not in app.error[0].value.replace("\\", "")
    assert "type this one to replace it" in app.error[0].value
    next(box for box in app.text_input if box.label == "Name" and "import" in box.key).set_value("mine").run()
    next(box for box in app.checkbox if box.label.startswith("Replace")).check().run()
    button(app, "Import").click().run()
    assert not app.error


def test_a_large_file_of_scores_is_read_by_a_job(cache, tmp_path, started, monkeypatch):
    make_study(cache / "elsewhere").scores().to_csv(tmp_path / "-mine.csv")
    data = (tmp_path / "-mine.csv").read_bytes()
    monkeypatch.setattr(import_form, "MAX_READ_ON_PAGE", len(data) - 1)
    app = open_page(STUDIES)
    uploader(app, "File of head scores").upload("-mine.csv", data, "text/csv").run()
    next(box for box in app.text_input if box.label == "Name" and "import" in box.key).set_value("other").run()
    button(app, "Import").click().run()
    assert not app.exception
    assert "a job reads it" in all_text(app)
    (((command, name, dashes, path), key),) = started
    assert (command, name, dashes, key) == ("import", "--name=other", "--", f"import {path}")
    assert Path(path).read_bytes() == data
    assert list_studies(cache) == []


def test_deleting_is_asked_twice(cache):
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


def test_the_study_that_is_shown_stays_when_another_is_deleted(cache):
    make_study(cache, "mine")
    make_study(cache, "other")
    app = open_page(STUDIES, study="other")
    app.selectbox(key="to_delete").select("mine").run()
    app.checkbox(key="sure_mine").check().run()
    app.text_input(key="again_mine").set_value("mine").run()
    button(app, "Delete").click().run()
    assert list_studies(cache) == ["other"]
    assert app.query_params["study"] == "other"


def test_a_study_that_is_compared_is_neither_renamed_nor_deleted(cache):
    make_study(cache, "mine")
    folder = leave_job(cache, "lost", key="compare mine")
    record = json.loads((folder / "job.json").read_text())
    record |= {"command": ["compare", "--axis=religion", "--", "mine"], "created": time.time(), "boot": boot()}
    (folder / "job.json").write_text(json.dumps({**record, "begun": time.monotonic()}))
    app = open_page(STUDIES)
    for key in ("to_rename", "to_delete"):
        app.selectbox(key=key).select("mine").run()
    assert sum("A job is working on this study" in info.value for info in app.info) == 2


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


def test_a_study_is_renamed_and_what_points_to_it_follows(cache, started):
    study = make_study(cache, "mine")
    scores = study.scores()
    name_set(study, ((0, 0),), "kept")
    app = open_page(STUDIES, study="mine")
    app.selectbox(key="to_rename").select("mine").run()
    app.text_input(key="new_name_mine").set_value("better").run()
    button(app, "Rename").click().run()
    assert not app.error
    assert list_studies(cache) == ["better"]
    assert app.query_params["study"] == "better"
    assert open_study("better", cache).scores().frame.equals(scores.frame)
    assert read_notes(cache, "better") == {"0.0": {"name": "kept"}}
    assert read_notes(cache, "mine") == {}


def test_a_name_that_is_taken_or_leads_elsewhere_renames_nothing(cache):
    make_study(cache, "mine")
    study = make_study(cache, "other")
    for new, words in (("other", "is taken"), ("../x", "cannot name a study"), ("", "cannot name a study")):
        with pytest.raises(InputError, match=words):
            rename_study("mine", new, cache)
    with pytest.raises(InputError, match="no study 'gone' to rename"):
        rename_study("gone", "new", cache)
    with study.writing(), pytest.raises(InputError, match="being measured"):
        rename_study("other", "new", cache)
    assert list_studies(cache) == ["mine", "other"]


def test_weights_of_a_scorer_are_downloaded_only_when_asked_for(cache, started, monkeypatch):
    monkeypatch.setattr(scorer_download, "scorer_hint", lambda ref, stamp: "put its weights here")
    app = open_page(STUDIES)
    assert not any(element.label.startswith("Download") for element in app.button)
    scorer = next(box for box in app.main.selectbox if box.label == "Toxicity scorer")
    scorer.select("detoxify:unbiased").run()
    assert "not on this machine: put its weights here" in app.warning[0].value
    assert started == []
    button(app, "Download detoxify:unbiased").click().run()
    assert started == [(["scorers", "get", "detoxify:unbiased"], "scorers get detoxify:unbiased")]


def test_a_scorer_that_is_there_needs_no_download(cache, started, monkeypatch):
    monkeypatch.setattr(scorer_download, "scorer_hint", lambda ref, stamp: "")
    app = open_page(STUDIES)
    next(box for box in app.main.selectbox if box.label == "Toxicity scorer").select("detoxify:unbiased").run()
    assert not app.warning
    assert not any(element.label.startswith("Download") for element in app.button)


def test_uploaded_prompts_are_kept_for_the_job(cache, started):
    rows = [f"{group.title()} number {i} said,mood,{group}" for group in ("happy", "sad") for i in range(8)]
    data = "\n".join(["prompt,axis,group", *rows]).encode()
    app = open_page(STUDIES)
    uploader(app, "Or upload prompts").upload("../my prompts.csv", data, "text/csv").run()
    assert next(box for box in app.multiselect if box.label == "Axes").value == ["mood"]
    button(app, "Start").click().run()
    ((command, _),) = started
    path = Path(next(part for part in command if part.startswith("--prompts=")).removeprefix("--prompts="))
    assert path.parent.parent == cache / ".uploads"
    assert path.read_bytes() == data
    assert load_prompts(path).axes == ("mood",)


def test_uploaded_prompts_that_cannot_be_read_are_one_line_that_names_the_file(cache, started):
    app = open_page(STUDIES)
    uploader(app, "Or upload prompts").upload("mine.csv", b"prompt,axis\na,b\n", "text/csv").run()
    (error,) = app.error
    assert error.value.replace("\\", "").startswith("mine.csv")
    assert not any(element.label == "Start" for element in app.button)


@pytest.mark.parametrize("page", [STUDIES, "pages/heads.py", "pages/prune.py"])
def test_an_axis_whose_scoring_was_stopped_at_once_is_named_nowhere_as_scored(page, cache, started):
    study = make_study(cache, "default")
    study.add_prompts(load_prompts().for_study(["nationality"]))
    study.update(axes=[*study.manifest.axes, "nationality"])
    app = open_page(page)
    if page == STUDIES:
        assert app.dataframe[0].value["axes"][0] == "Gender and sex, Religion"
        next(box for box in app.main.selectbox if box.label == "Study").select("default").run()
        assert "scored so far: Gender and sex, Religion." in all_text(app).replace("\\", "")
    else:
        (axes,) = [group for group in app.button_group if group.label == "Axis"]
        assert axes.options == ["Gender and sex", "Religion", "Mean toxicity"]


def test_a_job_that_ends_is_said_on_whatever_page_is_open(cache, started):
    make_study(cache, "s")
    leave_job(cache, "lost")
    app = open_page("pages/heads.py")
    assert not app.toast  # it had ended before
    app.session_state["job_states"] = dict.fromkeys(app.session_state["job_states"], True)
    app.run()
    assert "Score score s** was lost" in app.toast[0].value
    assert "Open the study" not in [each.label for each in app.sidebar.button]


def test_the_notice_that_a_study_is_done_leads_to_it_and_goes_with_the_page(cache, started):
    make_study(cache, "default")
    make_study(cache, "s")
    leave_job(cache, "done")
    app = open_page("pages/heads.py")
    app.session_state["job_states"] = dict.fromkeys(app.session_state["job_states"], True)
    app.run()
    app.run()
    assert len(app.toast) == 0  # said once
    assert "Score score s** is done" in [each.value for each in app.sidebar.markdown][-1]
    app.switch_page("pages/prune.py").run()
    assert "Open the study" not in [each.label for each in app.sidebar.button]
    app.session_state["job_states"] = dict.fromkeys(app.session_state["job_states"], True)
    app.run()
    next(each for each in app.sidebar.button if each.label == "Open the study").click().run()
    assert app.query_params["study"] == "s"
    assert app.title[0].value == "Heads"


def test_while_jobs_are_at_work_every_page_says_so_until_the_last_has_ended(cache, started):
    make_study(cache, "s")
    stages = [Progress("samples religion", 256, 1536, "texts", 60.0, 300.0)]
    folder = leave_live_job(cache, alive=True)
    (folder / "progress.json").write_text(json.dumps([vars(stage) for stage in stages]))
    (leave_live_job(cache, 1, key="score t", alive=True) / "waiting").touch()
    app = open_page("pages/heads.py")
    said = [each.value for each in app.sidebar.caption]
    assert "1 job at work, 1 waiting · at least 5 min 0 s left" in said
    for each in folder.parent.iterdir():
        (each / "end.json").write_text(json.dumps({"status": 0}))
    app.run()
    assert len(app.toast) == 2
    assert not any("at work" in each.value for each in app.sidebar.caption)


def test_an_ended_job_is_drawn_as_it_is_now_before_the_page_is_drawn_again(cache, started, monkeypatch):
    drawn = []
    monkeypatch.setattr(jobs_panel, "_card", lambda job, place=0: drawn.append(job.state))
    monkeypatch.setattr(jobs_panel.st, "rerun", lambda: drawn.append("again"))
    folder = leave_job(cache, "done")
    jobs_panel._follow([folder.name])
    assert drawn == ["done", "again"]


def test_a_finished_job_leads_to_its_study(cache, started):
    make_study(cache, "s")
    leave_job(cache, "done")
    app = open_page(STUDIES)
    button(app, "Open the study").click().run()
    assert app.query_params["study"] == "s"
    assert app.title[0].value == "Heads"
