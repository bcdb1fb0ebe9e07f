"""Checkpoints made and verified as jobs, below `exports/` of the cache folder, and zips of them."""

from __future__ import annotations

import re
import tempfile
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from fasp_core.export.pruning_config import PruningConfig
from fasp_core.files.paths import cache_root
from fasp_core.head import heads_text
from fasp_core.jobs.jobs import Job, find_job, start_job

LONGEST_NAME = 60  # of the heads in a folder's name; more are told by a digest
FORMS = {
    "masked": "Masked: same size, loads in plain transformers",
    "compact": "Compact: heads cut out, smaller, loads with this program",
}


def export_folder(study: str, config: PruningConfig, form: str) -> Path:
    """Where a configuration's checkpoint goes: the same pruned model in the same form has the same folder."""
    heads = heads_text(config.pruned)
    if len(heads) > LONGEST_NAME:
        heads = f"{len(config.pruned)}-heads-{sha256(heads.encode()).hexdigest()[:8]}"
    how = f".{config.compensation.how}" if config.compensation else ""
    return cache_root() / "exports" / f"{re.sub(r'[^A-Za-z0-9._-]', '-', study)}.{heads or 'intact'}{how}.{form}"


def start_export(config: PruningConfig, folder: Path, form: str) -> Job:
    """Write the configuration beside the folder, and the checkpoint as a job."""
    source = folder.with_name(folder.name + ".json")
    config.save(source)
    command = ["export", f"--format={form}", f"--to={folder}", "--force", "--", str(source)]
    return start_job(command, key=f"export {folder.name}", title=f"Export {folder.name}")


def start_verification(folder: Path) -> Job:
    """Compare a checkpoint with the gated model, as a job."""
    return start_job(["verify", "--", str(folder)], key=verify_key(folder), title=f"Verify {folder.name}")


def verification_of(folder: Path) -> Job | None:
    """The newest job that verifies what the folder holds now, or None: that of an earlier export tells nothing."""
    key = verify_key(folder)
    return find_job(key)


def verify_key(folder: Path) -> str:
    """Names the folder's files as they are: every one's name, size and time of its last change, whatever the clock."""
    states = [(str(path.relative_to(folder)), path.stat().st_size, path.stat().st_mtime_ns) for path in _files(folder)]
    return f"verify {folder.name} {sha256(repr(states).encode()).hexdigest()[:16]}"


def newest_job(kind: str, folder: Path) -> Job | None:
    """The newest `export` job of a folder, or None."""
    return find_job(f"{kind} {folder.name}")


def folder_bytes(folder: Path) -> int:
    """What a folder's files take, links left out."""
    return sum(path.stat().st_size for path in _files(folder))


def zipped(folder: Path) -> Callable[[], bytes]:
    """Gives the zip of a folder when it is called for. Links are left out. It is made on disk, beside the folder."""

    def read_zip() -> bytes:
        with tempfile.TemporaryFile(dir=folder.parent) as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
                for path in _files(folder):
                    archive.write(path, Path(folder.name) / path.relative_to(folder))
            file.seek(0)
            return file.read()

    return read_zip


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
