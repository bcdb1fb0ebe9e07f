"""`pip install .` into a fresh environment: the package, the command and the app work in a folder elsewhere.

The fresh environment borrows the libraries of this one, so nothing is downloaded.

Covers `run_app`.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import tomllib
import urllib.error
import urllib.request
from importlib.metadata import Distribution
from pathlib import Path

import pytest

from fasp_core.files.paths import PROJECT

PATIENCE_S = 120
WINDOWS = os.name == "nt"
# A checkout on the path would be found instead of what was installed.
SURROUNDINGS = {name: value for name, value in os.environ.items() if name not in ("FASP_CACHE", "PYTHONPATH")}


class Installed:
    """An environment with the package in it; commands run in an empty folder, for a user with an empty home."""

    def __init__(self, folder: Path) -> None:
        self.home, self.work = folder / "home", folder / "elsewhere"
        self.home.mkdir()
        self.work.mkdir()
        venv = folder / "venv"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
        self.bin = venv / ("Scripts" if WINDOWS else "bin")
        self.packages = Path(sysconfig.get_path("purelib", vars={"base": str(venv), "platbase": str(venv)}))
        (self.packages / "borrowed.pth").write_text(f"{sysconfig.get_path('purelib')}\n", "utf-8")
        offline = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--disable-pip-version-check"]
        subprocess.run([self.bin / "python", "-m", "pip", "install", *offline, PROJECT], check=True, env=SURROUNDINGS)
        self.env = {**SURROUNDINGS, "HOME": str(self.home), "LOCALAPPDATA": str(self.home), "XDG_DATA_HOME": ""}

    def run(self, *command: object) -> str:
        """What a command of the environment prints; it must succeed."""
        done = subprocess.run(
            [self.bin / command[0], *map(str, command[1:])],
            cwd=self.work,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    return Installed(tmp_path_factory.mktemp("installed"))


LOOK_AROUND = f"""
import json
import fasp_core as f
from fasp_core.export.report import html_report
from fasp_core.files.paths import app_script
from streamlit.testing.v1 import AppTest

study = f.open_study("default")
scores = study.scores()
chosen = f.select_heads(scores, axis=scores.axes[0])
app, titles = AppTest.from_file(str(app_script()), default_timeout={PATIENCE_S}).run(), {{}}
for page in sorted((app_script().parent / "pages").glob("*.py")):
    app.switch_page(f"pages/{{page.name}}").run()
    assert not app.exception, (page, app.exception)
    titles[page.stem] = app.title[0].value
found = {{
    "file": f.__file__,
    "axis": f.load_prompts().axes[0],
    "report": html_report(f.PruningConfig.from_selection(chosen, study), chosen, [], scores)[:15],
    "titles": titles,
}}
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def found(installed):
    """What one process finds in it."""
    return json.loads(installed.run("python", "-c", LOOK_AROUND))


def test_what_is_imported_is_what_was_installed(installed, found):
    assert Path(found["file"]).is_relative_to(installed.packages)
    assert found["axis"]  # the built-in prompts came along


def test_the_command_finds_the_shipped_study_and_keeps_studies_with_the_user(installed):
    listed = json.loads(installed.run("fasp", "studies", "--json"))
    assert [row["name"] for row in listed] == ["default"]
    assert [path.parents[1].name for path in installed.home.rglob("default/manifest.json")] == ["fasp"]
    command = ("select", "default", "--axis", "gender_and_sex", "--json")
    assert installed.run("fasp", *command) == installed.run("python", "-m", "fasp_core", *command)
    assert list(installed.work.iterdir()) == []


def test_a_report_needs_its_template(found):
    """Templates are data files too: a configuration is exported and its report made of them."""
    assert found["report"].strip().lower() == "<!doctype html>"


def test_every_page_of_the_app_opens(found):
    assert list(found["titles"]) == sorted(path.stem for path in (PROJECT / "pages").glob("*.py"))
    assert all(found["titles"].values())


@pytest.mark.skipif(WINDOWS, reason="a console's Ctrl-C cannot be sent to one process")
def test_fasp_app_answers_with_the_app_s_own_options_until_it_is_stopped(installed):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    command = [installed.bin / "fasp", "app", "--port", str(port)]
    env = {**installed.env, "STREAMLIT_SERVER_HEADLESS": "true"}
    with subprocess.Popen(
        command, cwd=installed.work, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as app:
        try:
            page = until_answered(f"http://127.0.0.1:{port}/", app)
            options = json.loads(until_answered(f"http://127.0.0.1:{port}/_stcore/host-config", app))
        finally:
            app.send_signal(signal.SIGINT)
            printed = app.communicate(timeout=PATIENCE_S)[0].decode()
    assert "<title>" in page
    assert options
    assert f"http://127.0.0.1:{port}" in printed
    assert "Network URL" not in printed  # for this machine only, as .streamlit/config.toml says
    assert "Traceback" not in printed


def until_answered(address: str, app: subprocess.Popen) -> str:
    """What an address answers, once it does."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and app.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=10) as answer:
                return answer.read().decode()
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
    pytest.fail(f"{address} does not answer")


def test_the_package_asks_for_what_is_pinned(installed):
    def names(lines):
        return sorted(
            line.split(";")[0].split("#")[0].strip().lower().replace("_", "-") for line in lines if line[:1].isalnum()
        )

    (found,) = [made for made in Distribution.discover(name="fasp", path=[str(installed.packages)])]
    asked = [line for line in found.requires if "extra ==" not in line]
    assert names(asked) == names((PROJECT / "requirements.txt").read_text("utf-8").splitlines())
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["project"]
    assert found.version == project["version"]
