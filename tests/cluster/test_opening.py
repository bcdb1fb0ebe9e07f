"""How a cluster is named: by one line where that is wrong, or Ray is not there. Covers `cluster`."""

from __future__ import annotations

import sys

import pytest
from helpers.command_line import refused
from helpers.made_study import make_study
from typer.testing import CliRunner

from fasp_core.cli.app import app
from fasp_core.cluster import opening
from fasp_core.cluster.cluster import ClusterChoice
from fasp_core.cluster.opening import CLUSTER, offered_cluster, open_cluster
from fasp_core.errors import InputError


def never(**_):
    raise AssertionError("no model is opened")


@pytest.mark.parametrize("address", ["", "remote", "ray://", "ray://host", "ray://a b:1", "http://host:10001"])
def test_an_address_that_is_none(address):
    with pytest.raises(InputError, match=r"names no cluster; give local, auto or ray://HOST:PORT"):
        open_cluster(ClusterChoice(address), never, "cpu").__enter__()


def test_without_ray_one_line_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "fasp_core.cluster.ray_workers", raising=False)
    with pytest.raises(InputError, match=r"pip install -r requirements-cluster.txt$"):
        open_cluster(ClusterChoice("local"), never, "cpu").__enter__()


@pytest.mark.parametrize(
    ("configured", "ray", "offered"),
    [("auto", True, "auto"), ("ray://h:10001", True, "ray://h:10001"), ("auto", False, None), ("", True, None)],
)
def test_what_a_page_offers(monkeypatch, configured, ray, offered):
    monkeypatch.setenv(CLUSTER, configured)
    monkeypatch.setattr(opening, "find_spec", lambda name: object() if ray else None)
    assert offered_cluster() == offered


@pytest.mark.parametrize("command", [["score", "default"], ["evaluate", "s", "--heads", "0.1"], ["compare", "s"]])
def test_a_command_says_it_in_one_line(command, tmp_path, monkeypatch):
    monkeypatch.setenv("FASP_CACHE", str(tmp_path))
    make_study(tmp_path, "s", axes=("religion",))
    axis = "--axes" if command[0] == "score" else "--axis"
    refused(CliRunner().invoke(app, [*command, axis, "religion", "--cluster", "nowhere"]), "names no cluster")
