"""Who may reach the app, and what the operator allows."""

from __future__ import annotations

import pytest

from fasp_core import access
from fasp_core.access import Quota, check_address, check_scorer_listed, is_loopback, is_viewer, listed_scorers
from fasp_core.errors import InputError
from fasp_core.files.paths import child_environment
from fasp_core.jobs.jobs import start_job
from fasp_core.toxicity.user_scorer import UserScorer


@pytest.mark.parametrize(
    ("address", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("localhost", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.5", False),
        ("example.org", False),
        ("", False),
        (None, False),
    ],
)
def test_an_address_that_others_reach_needs_a_login_or_viewer_mode(address, loopback, monkeypatch):
    assert is_loopback(address) is loopback
    check_address(address, login=True)
    if loopback:
        check_address(address, login=False)
    else:
        with pytest.raises(InputError, match="start it with --viewer, or configure a login"):
            check_address(address, login=False)
    monkeypatch.setenv(access.VIEWER, "1")
    check_address(address, login=False)


@pytest.mark.parametrize(("value", "viewer"), [("1", True), ("yes", True), ("0", False), ("", False)])
def test_viewer_mode_is_a_variable(value, viewer, monkeypatch, tmp_path):
    monkeypatch.setenv(access.VIEWER, value)
    assert is_viewer() is viewer
    if viewer:
        with pytest.raises(InputError, match="this app is for looking: starting a job is not possible"):
            start_job(["score"], key="k", title="t", root=tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == [".log"]  # where it says that it refused


def test_a_scorer_that_was_not_listed_is_not_imported(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    code = "import pathlib\npathlib.Path('ran').touch()\ndef rate(texts): return [0.5 for text in texts]\n"
    (tmp_path / "mine.py").write_text(code)
    monkeypatch.setenv(access.SCORERS, "other:rate, mine:rates")
    with pytest.raises(InputError, match="start it again with fasp app --scorer mine:rate"):
        UserScorer("mine:rate")
    assert not (tmp_path / "ran").exists()
    monkeypatch.setenv(access.SCORERS, "other:rate, mine:rate")
    assert listed_scorers() == ("other:rate", "mine:rate")
    assert UserScorer("mine:rate").score(["a"]) == [0.5]


def test_the_command_line_uses_any_scorer_and_what_the_app_starts_none(monkeypatch):
    monkeypatch.delenv(access.SCORERS, raising=False)
    check_scorer_listed("any:thing")
    monkeypatch.setenv(access.SCORERS, child_environment()[access.SCORERS])
    with pytest.raises(InputError, match="no scorer of your own"):
        check_scorer_listed("any:thing")
    monkeypatch.setenv(access.SCORERS, "my:own")
    assert child_environment()[access.SCORERS] == "my:own"


def test_a_quota_counts_an_hour_for_each_and_for_all():
    quota = Quota(each=2, together=3)
    quota.take("a", now=0.0)
    quota.take("a", now=600.0)
    with pytest.raises(InputError, match=r"at most 2 sets an hour for a visitor; the next one in 40 min"):
        quota.take("a", now=1200.0)
    quota.take("b", now=1200.0)
    with pytest.raises(InputError, match=r"3 sets an hour for all visitors together; the next one in 40 min"):
        quota.take("c", now=1200.0)
    quota.take("c", now=3600.0)  # the first is an hour ago
    with pytest.raises(InputError, match="all visitors"):
        quota.take("a", now=3600.0)
