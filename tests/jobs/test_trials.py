"""Results of prompts of one's own: one file each, old ones go, damaged ones count as none."""

from __future__ import annotations

import json
import os

from fasp_core.jobs import result_files, trials
from fasp_core.words.text_pairs import RatedPair

HEADS = ((0, 1), (2, 3))


def test_a_trial_is_a_job_whose_result_is_found_by_what_was_asked(tmp_path, monkeypatch):
    monkeypatch.setenv("FASP_CACHE", str(tmp_path))
    started = []
    monkeypatch.setattr(trials, "start_job", lambda command, *, key, title: started.append((command, key)))
    path = trials.trial_file("s", "model", HEADS, "--x")
    assert path != trials.trial_file("s", "model", HEADS[:1], "--x")
    assert path != trials.trial_file("s", "model", HEADS, "--x", "mean")
    assert trials.read_trials(path) is None
    trials.start_trial(path, "s", HEADS, "--x", "mean")
    assert started.pop()[0][-3:] == ["--compensate=mean", "--", "s"]
    trials.start_trial(path, "s", HEADS, "--x")
    ((command, key),) = started
    assert command == ["try", "--heads=0.1,2.3", "--prompt=--x", f"--to={path}", "--", "s"]
    assert key == f"try {path.stem}"
    pair = {"before": "a", "after": "b", "toxicity_before": 0.1, "toxicity_after": 0.2}
    path.write_text(json.dumps({"trials": [pair]}))
    assert trials.read_trials(path) == [RatedPair(**pair)]
    path.write_text('{"trials": [{"x": 1}]}')
    assert trials.read_trials(path) is None


def test_old_results_go(tmp_path, monkeypatch):
    monkeypatch.setenv("FASP_CACHE", str(tmp_path))
    monkeypatch.setattr(trials, "start_job", lambda *_, **__: None)
    monkeypatch.setattr(result_files, "MOST_KEPT", 2)
    folder = tmp_path / trials.FOLDER
    folder.mkdir()
    for age in range(3):
        (folder / f"{age}.json").write_text("{}")
        os.utime(folder / f"{age}.json", (1000 - age, 1000 - age))
    trials.start_trial(folder / "new.json", "s", HEADS, "x")
    assert [path.name for path in folder.iterdir()] == ["0.json"]
