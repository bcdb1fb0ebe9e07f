"""The environment of tests/fresh_machine.py, which itself is run by .ci/run, and its words on how long a step took."""

from __future__ import annotations

from fresh_machine import empty_home, say


def test_an_empty_home_keeps_programs_proxies_and_the_configuration_of_pip(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    (old / ".config" / "pip").mkdir(parents=True)
    own = old / ".config" / "pip" / "pip.conf"
    own.touch()
    kept = {"PATH": "/bin", "PIP_INDEX_URL": "https://pypi.org/simple", "HTTPS_PROXY": "http://proxy:3128"}
    env = empty_home({**kept, "HOME": str(old), "PYTHONPATH": ".", "FASP_CACHE": "cache", "CI": "true"}, new)
    assert env == {**kept, "HOME": str(new), "PIP_CONFIG_FILE": str(own)}
    assert empty_home({"PIP_CONFIG_FILE": "mine", "HOME": str(old)}, new)["PIP_CONFIG_FILE"] == "mine"


def test_a_start_that_takes_too_long_is_told_and_no_other_step(capsys):
    say("second start", 4.94, 5)
    say("second start", 7.5, 5)
    say("make setup", 90.0)
    told = "second start: 4.9 s\nsecond start: 7.5 s, and should take less than 5 s\nmake setup: 90.0 s\n"
    assert capsys.readouterr().out == told
