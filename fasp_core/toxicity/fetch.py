"""Fetching a Detoxify scorer when asked to: `python -m fasp_core scorers get detoxify:unbiased`.

The weights come from the release that the package `detoxify` names, config and tokenizer of the base model from the
model hub. Each file is written beside its place as `NAME.part`, checked, and then renamed. An interrupted download goes
on where it ended.

What is checked: of the weights the first 8 hex digits of the SHA-256 that are part of their published name, as
torch.hub does; of a hub file the checksum that the hub states for it (SHA-256, or git's SHA-1 for small files).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from filelock import FileLock
from huggingface_hub import get_hf_file_metadata, hf_hub_url
from huggingface_hub.errors import EntryNotFoundError

from fasp_core.errors import InputError, nearest
from fasp_core.files.writing import REASONS, write_errors
from fasp_core.progress import ProgressCallback, StageClock
from fasp_core.toxicity.detoxify import PUBLISHED, Published, base_folder, what_to_put

BASE_FILES = ("tokenizer.json", "tokenizer_config.json", "config.json")  # config.json last: it marks a whole folder
OPTIONAL = ("tokenizer_config.json",)
TIMEOUT_S = 20.0
CHUNK = 2**20
MEGABYTE = 10**6

Checksum = Callable[[Path], bool]


def fetch_scorer(ref: str, progress: ProgressCallback | None = None) -> Path:
    """Download what this machine lacks of the scorer "detoxify:NAME"; returns the path of its weights.

    Raises InputError in one line: for a scorer that is not downloaded, without a network, for a file whose checksum
    differs (nothing of it is kept), and where the disk does not allow it.
    """
    kind, _, name = ref.partition(":")
    if kind != "detoxify" or name not in PUBLISHED:
        known = nearest(ref, [f"detoxify:{name}" for name in PUBLISHED])
        raise InputError(f"scorer '{ref}' is not one that can be downloaded; {known}")
    published = PUBLISHED[name]
    folder = published.path.parent
    with write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f".{published.path.name}.lock"):
            try:
                if base_folder(published.base_name, folder) is None:
                    _fetch_base(published.base, folder / published.base_name, progress)
                if not published.path.is_file():
                    _fetch_weights(published, progress)
            except (OSError, HTTPException) as error:
                if getattr(error, "errno", None) in REASONS:  # the disk, not the network
                    raise
                raise InputError(
                    f"scorer '{ref}' cannot be downloaded ({_reason(error)}); connect to the network and run this "
                    f"again, or: {what_to_put(name)}"
                ) from error
    return published.path


def _fetch_weights(published: Published, progress: ProgressCallback | None) -> None:
    def whole(path: Path) -> bool:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest().startswith(published.checksum)

    download(published.url, published.path, whole, progress)


def _fetch_base(repository: str, folder: Path, progress: ProgressCallback | None) -> None:
    for name in BASE_FILES:
        url = hf_hub_url(repository, name)
        try:
            stated = get_hf_file_metadata(url, token=False, timeout=TIMEOUT_S)
        # Whatever keeps the hub from an answer: no name, no route, no time, a proxy, HF_HUB_OFFLINE.
        except Exception as error:
            if isinstance(error, EntryNotFoundError) and name in OPTIONAL:
                continue
            raise ConnectionError(f"no {name} of {repository} from the hub: {_reason(error)}") from error
        download(stated.location or url, folder / name, _as_stated(stated.etag), progress)


def _as_stated(etag: str | None) -> Checksum:
    """Whether a file is the one of the hub's ETag: a SHA-256, or the SHA-1 that git gives the file."""

    def same(path: Path) -> bool:
        content = path.read_bytes()  # config and tokenizer, a few megabytes
        git = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False)
        return etag in (hashlib.sha256(content).hexdigest(), git.hexdigest())

    return same


def download(url: str, target: Path, right: Checksum, progress: ProgressCallback | None = None) -> None:
    """Fetch a file to `target`, which appears whole and checked or not at all.

    What an earlier attempt left in `NAME.part` is gone on from, where the server can do that. Raises OSError or
    HTTPException where the network fails, and InputError for a file that `right` does not accept: it is removed.
    """
    part = target.with_name(f"{target.name}.part")
    have = part.stat().st_size if part.is_file() else 0
    try:
        _continue(url, part, have, progress)
    except HTTPError as error:
        error.close()
        if not have or error.code != 416:  # the part was as long as the file, or longer
            raise
        part.unlink()
        _continue(url, part, 0, progress)
    if not right(part):
        part.unlink()
        raise InputError(f"{url}: its checksum is not the published one, so it was removed; run this again")
    part.replace(target)


def _continue(url: str, part: Path, have: int, progress: ProgressCallback | None) -> None:
    request = Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    with urlopen(request, timeout=TIMEOUT_S) as answer:
        if answer.status != 206:  # the server starts over
            have = 0
        length = answer.headers.get("Content-Length")
        total = None if length is None else have + int(length)
        size = -(-(total or 0) // MEGABYTE)
        part.parent.mkdir(parents=True, exist_ok=True)
        clock = StageClock(f"download {part.stem}", size, "MB", progress, already=have // MEGABYTE)
        with part.open("ab" if have else "wb") as file:
            while chunk := answer.read(CHUNK):
                file.write(chunk)
                have += len(chunk)
                if whole_megabytes := have // MEGABYTE - clock.done:
                    clock.step(whole_megabytes)
    if total is not None and have < total:
        raise ConnectionError(f"the connection ended after {have:,} of {total:,} bytes")
    clock.step(size - clock.done)


def _reason(error: Exception) -> str:
    if isinstance(error, HTTPError):
        return f"{urlsplit(error.url).hostname} answers {error.code} {error.reason}"
    reason = getattr(error, "reason", None) or error
    return next(iter(str(reason).strip().splitlines()), type(error).__name__).rstrip(".")
