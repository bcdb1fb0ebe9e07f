"""Fetching a scorer, from a server of releases and hub files on this machine: progress, checksums, broken lines."""

from __future__ import annotations

import hashlib
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import huggingface_hub
import pytest
from helpers.tiny_detoxify import make_checkpoint

from fasp_core.errors import InputError
from fasp_core.toxicity import detoxify, fetch
from fasp_core.toxicity.detoxify import PUBLISHED, Published
from fasp_core.toxicity.fetch import download, fetch_scorer
from fasp_core.toxicity.scorers import open_scorer

BASE = "roberta-base"


class Server(ThreadingHTTPServer):
    """Serves `files` by path. `breaks_after` bytes the connection ends; `ranges` False starts over each time."""

    def __init__(self):
        self.files, self.etags, self.asked = {}, {}, []
        self.breaks_after, self.ranges = None, True
        super().__init__(("127.0.0.1", 0), Handler)

    def url(self, path):
        return f"http://127.0.0.1:{self.server_port}{path}"


class Handler(BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, *, body):
        server, wanted = self.server, self.headers.get("Range")
        server.asked.append((self.command, self.path, wanted))
        if self.path not in server.files:
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        content = server.files[self.path]
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and server.ranges else 0
        if start and start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.send_header("ETag", f'"{server.etags.get(self.path, "none")}"')
        self.send_header("X-Repo-Commit", "0" * 40)
        self.end_headers()
        if body:
            stop = len(content) if server.breaks_after is None else start + server.breaks_after
            self.wfile.write(content[start:stop])
        self.close_connection = True

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    made = Server()
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Where torch.hub keeps weights, empty; and no cache of the model hub."""
    monkeypatch.setattr(detoxify, "try_to_load_from_cache", lambda *names: None)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "torch" / "hub" / "checkpoints"


@pytest.fixture
def released(server, place, tmp_path, monkeypatch):
    """The scorer detoxify:unbiased, released and its base model on the hub; returns the whole checkpoint."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    (tmp_path / "made").mkdir()
    content = make_checkpoint(tmp_path / "made", BASE).read_bytes()
    name = f"tiny-{hashlib.sha256(content).hexdigest()[:8]}.ckpt"
    server.files[f"/{name}"] = content
    monkeypatch.setitem(PUBLISHED, "unbiased", Published(server.url(f"/{name}"), f"FacebookAI/{BASE}"))
    for file in (tmp_path / "made" / BASE).iterdir():
        path, data = f"/{file.name}", file.read_bytes()
        server.files[path] = data
        server.etags[path] = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    monkeypatch.setattr(fetch, "hf_hub_url", lambda repository, name: server.url(f"/{name}"))
    return content


def visible(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if not p.name.startswith("."))


def refused(ref="detoxify:unbiased"):
    with pytest.raises(InputError) as caught:
        fetch_scorer(ref)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_was_fetched_opens_and_is_fetched_once(released, server, place):
    events = []
    path = fetch_scorer("detoxify:unbiased", events.append)
    assert path.read_bytes() == released
    assert visible(place) == sorted(
        [path.name, BASE, f"{BASE}/config.json", f"{BASE}/tokenizer.json", f"{BASE}/tokenizer_config.json"]
    )
    assert open_scorer("detoxify:unbiased").score(["you are bad"]).shape == (1,)
    stages = dict.fromkeys(event.stage for event in events)
    assert list(stages) == [f"download {name}" for name in [*fetch.BASE_FILES, path.name]]
    last = {event.stage: event for event in events}
    assert all(event.done == event.total == 1 and event.unit == "MB" for event in last.values())
    before = len(server.asked)
    assert fetch_scorer("detoxify:unbiased") == path
    assert len(server.asked) == before


def test_progress_counts_megabytes(server, tmp_path):
    server.files["/big"] = bytes(3_500_000)
    events = []
    download(server.url("/big"), tmp_path / "big", lambda path: True, events.append)
    assert [event.total for event in events] == [4] * len(events)
    done = [event.done for event in events]
    assert done == sorted(done)
    assert (done[0], done[-1]) == (0, 4)
    assert {1, 2, 3} & set(done)


def test_a_tokenizer_config_is_not_needed(released, server):
    del server.files["/tokenizer_config.json"]
    assert fetch_scorer("detoxify:unbiased").is_file()
    assert open_scorer("detoxify:unbiased").score(["a"]).shape == (1,)


def test_other_weights_than_those_released_are_removed(released, server, place):
    (path,) = [p for p in server.files if p.endswith(".ckpt")]
    server.files[path] = released[:-1] + b"?"
    assert "its checksum is not the published one, so it was removed" in refused()
    assert not [name for name in visible(place) if "ckpt" in name]
    server.files[path] = released
    assert fetch_scorer("detoxify:unbiased").read_bytes() == released


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_a_hub_file_that_is_not_the_stated_one_is_removed(released, server, place, name):
    server.files[f"/{name}"] += b" "
    assert f"{name}: its checksum is not the published one" in refused()
    assert f"{BASE}/{name}" not in visible(place)
    assert not [found for found in visible(place) if found.endswith(".part")]
    assert detoxify.how_to_get("unbiased")


def test_a_hub_file_may_be_stated_by_its_sha256(released, server):
    server.etags["/tokenizer.json"] = hashlib.sha256(server.files["/tokenizer.json"]).hexdigest()
    assert fetch_scorer("detoxify:unbiased").is_file()


@pytest.mark.parametrize("ranges", [True, False], ids=["resumes", "starts over"])
def test_a_broken_line_is_told_and_the_next_attempt_succeeds(released, server, place, ranges):
    fetch_scorer("detoxify:unbiased")
    (path,) = place.glob("*.ckpt")
    path.unlink()
    server.breaks_after, server.ranges = 1000, ranges
    assert re.search(r"the connection ended after 1,000 of [\d,]+ bytes", refused())
    assert not path.exists()
    server.breaks_after = None
    assert fetch_scorer("detoxify:unbiased") == path
    assert path.read_bytes() == released
    assert server.asked[-1][2] == "bytes=1000-"
    assert visible(place)[-1] == path.name  # no part is left


@pytest.mark.parametrize("left", ["whole", "too long"])
def test_a_part_that_is_as_long_as_the_file_is_no_obstacle(server, tmp_path, left):
    server.files["/file"] = b"content"
    (tmp_path / "file.part").write_bytes(b"content" if left == "whole" else b"other content")
    download(server.url("/file"), tmp_path / "file", lambda path: path.read_bytes() == b"content")
    assert visible(tmp_path) == ["file"]


def test_without_a_network_one_line_says_what_to_do(released, server, place, monkeypatch):
    closed = server.url("/x").replace(str(server.server_port), "1")
    monkeypatch.setattr(fetch, "hf_hub_url", lambda repository, name: closed)
    message = refused()
    assert "scorer 'detoxify:unbiased' cannot be downloaded (no tokenizer.json of FacebookAI/roberta-base" in message
    assert "connect to the network and run this again, or: put http" in message
    assert visible(place) == []


def test_offline_mode_is_obeyed(released, server, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert "offline mode is enabled" in refused()
    assert not server.asked


def test_a_release_that_is_gone(released, server):
    del server.files[next(p for p in server.files if p.endswith(".ckpt"))]
    assert "127.0.0.1 answers 404" in refused()


@pytest.mark.parametrize("ref", ["vader", "embedded", "detoxify", "detoxify:", "detoxify:nope", "my:score"])
def test_what_cannot_be_downloaded_is_said(ref):
    assert "is not one that can be downloaded; " in refused(ref)
    assert "known: detoxify:multilingual," in refused(ref)


def test_a_disk_that_does_not_allow_it(released, place, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fetch, "_continue", full)
    assert "the disk is full" in refused()
