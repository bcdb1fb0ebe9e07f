"""The command `app`: what it hands to streamlit, and what it refuses."""

from __future__ import annotations

import os
import sys

import pytest

from fasp_core.access import SCORERS, VIEWER
from fasp_core.cli import run_app
from fasp_core.cli.app import app
from fasp_core.files.paths import PROJECT


@pytest.fixture
def started(monkeypatch, tmp_path):
    """The command lines that streamlit would have been given; home and working directory have no secrets."""
    lines = []
    monkeypatch.setattr(sys, "argv", ["fasp"])
    monkeypatch.setattr(run_app.runpy, "run_module", lambda *_, **__: lines.append(sys.argv))
    monkeypatch.setattr(run_app.socket, "gethostname", lambda: "lab")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(SCORERS, "")
    monkeypatch.setenv(VIEWER, "0")
    monkeypatch.chdir(tmp_path)
    return lines


def run(*options):
    return app(["app", *options], standalone_mode=False)


def test_it_serves_this_machine_alone(started):
    assert run("--port", "8600") == 0
    assert started == [
        [
            "streamlit",
            "run",
            str(PROJECT / "serve.py"),
            "--server.address=127.0.0.1",
            "--server.port=8600",
            "--server.allowedHosts=localhost",
            "--server.allowedHosts=127.0.0.1",
        ]
    ]
    assert (os.environ[SCORERS], os.environ[VIEWER]) == ("", "0")


@pytest.mark.parametrize("address", ["0.0.0.0", "192.168.1.5", "::", "example.org"])
def test_another_address_is_refused_with_the_switch_to_set(started, address, capsys):
    assert run("--address", address) == 2
    assert started == []
    assert "start it with --viewer, or configure a login" in capsys.readouterr().err


def test_viewer_mode_opens_it_under_its_names(started):
    assert run("--address", "0.0.0.0", "--host", "fasp.example.org", "--viewer") == 0
    hosts = [option.partition("=")[2] for option in started[0] if option.startswith("--server.allowedHosts")]
    assert hosts == ["localhost", "127.0.0.1", "lab", "fasp.example.org"]
    assert os.environ[VIEWER] == "1"


@pytest.mark.parametrize(("content", "status"), [("[auth]\nclient_id = 'x'\n", 0), ("[other]\n", 2), ("[auth", 2)])
def test_a_login_opens_it_too(started, tmp_path, content, status):
    (tmp_path / ".streamlit").mkdir()
    (tmp_path / ".streamlit" / "secrets.toml").write_text(content)
    assert run("--address", "192.168.1.5") == status
    assert bool(started) is (status == 0)
    assert status or "--server.allowedHosts=192.168.1.5" in started[0]


def test_scorers_are_the_operators(started, monkeypatch):
    monkeypatch.setenv(SCORERS, "a:b")
    assert run("--scorer", "my:score", "--scorer", "my:other") == 0
    assert os.environ[SCORERS] == "a:b,my:score,my:other"
