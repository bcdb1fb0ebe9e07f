"""Pages beside damaged files of jobs and of names: each says so in one line, and works."""

from __future__ import annotations

import pytest
from helpers.app_pages import AXIS, all_text, button, keep, open_page
from helpers.left_job import leave_job
from helpers.made_study import make_study

from fasp_core.jobs.jobs import list_jobs
from fasp_core.limits import MAX_JOBS_SHOWN
from ui.studies import jobs_panel

DAMAGES = ["job.json", "process.json", "end.json", "progress.json"]


@pytest.mark.parametrize("page", ["studies", "compare", "export", "prune"])
def test_a_page_opens_beside_damaged_jobs(page, cache):
    study = make_study(cache)
    keep(study, ((0, 0),))
    (cache / ".sets").mkdir()
    (cache / ".sets" / "default.json").write_text('{"0.0": [1]}')
    for number, name in enumerate(DAMAGES):
        (leave_job(cache, number, key="compare default x") / name).write_text("[1]")
    app = open_page(f"pages/{page}.py")
    assert not app.exception
    if page == "studies":
        assert all_text(app).count("Damaged") == 3


def test_a_damaged_job_is_removed_and_not_resumed(cache):
    (leave_job(cache) / "job.json").write_text("{")
    app = open_page("pages/studies.py")
    assert "its files are damaged" in all_text(app).replace("\\", "")
    assert [found.label for found in app.button if found.label == "Resume"] == []
    button(app, "Remove").click().run()
    assert list_jobs(cache) == []


def test_resuming_a_job_that_is_gone_is_one_line(cache):
    folder = leave_job(cache, status=1)
    app = open_page("pages/studies.py")
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    button(app, "Resume").click().run()
    assert not app.exception
    assert "removed meanwhile" in all_text(app)


def test_of_many_jobs_the_newest_are_drawn_and_every_second_only_those_at_work(cache):
    """A page that drew 500 jobs each second would send a megabyte each second."""
    for number in range(MAX_JOBS_SHOWN + 7):
        leave_job(cache, number, key=f"score {number}", status=1)
    leave_job(cache, 9999, key="score now", alive=True)
    app = open_page("pages/studies.py")
    assert len([found for found in app.button if found.label == "Remove"]) == MAX_JOBS_SHOWN
    assert "7 older" in all_text(app)
    drawn = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs_panel, "_card", lambda job, place=0: drawn.append(job.key))
        jobs_panel._follow([job.id for job in list_jobs(cache) if job.live])
    assert drawn == ["score now"]


def test_a_waiting_job_shows_its_place(cache):
    for number in (1, 2):
        (leave_job(cache, number, alive=True, key=f"score {number}") / "waiting").touch()
    text = all_text(open_page("pages/studies.py"))
    assert "Place 1 in the queue" in text
    assert "Place 2 in the queue" in text


def test_a_job_that_gets_its_turn_has_not_ended(cache):
    """The notice, `job_notice`, is of jobs that have ended, not of those that stop waiting."""
    folder = leave_job(cache, alive=True)
    (folder / "waiting").touch()
    make_study(cache)
    app = open_page("pages/heads.py")
    (folder / "waiting").unlink()
    assert not app.run().toast
    (folder / "end.json").write_text('{"status": 0}')
    assert "done" in app.run().toast[0].value


def test_the_sets_say_that_their_names_are_damaged(cache):
    keep(make_study(cache), ((0, 0),))
    (cache / ".sets").mkdir()
    (cache / ".sets" / "default.json").write_text("{")
    app = open_page("pages/prune.py", axis=AXIS)
    assert "default.json is damaged" in all_text(app).replace("\\", "")


def test_a_name_that_cannot_be_stored_is_one_line(cache, monkeypatch):
    study = make_study(cache)
    keep(study, ((0, 0),))

    def refuse(*_):
        raise OSError(28, "No space left on device")

    app = open_page("pages/prune.py", axis=AXIS, heads="0.0")
    monkeypatch.setattr("fasp_core.files.writing.os.replace", refuse)
    next(box for box in app.text_input if box.label == "Name of this set").set_value("mine").run()
    assert not app.exception
    assert "the disk is full" in all_text(app)
