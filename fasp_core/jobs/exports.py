"""What the Export page does beside drawing: checkpoints as jobs, below `exports/` of the cache folder, and zips."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from pathlib import Path

from fasp_core.background import Job, list_jobs, start_job
from fasp_core.config import PruningConfig
from fasp_core.paths import cache_root

FORMS = {
    "masked": "Masked: the shapes of the original, loads with plain transformers",
    "compact": "Compact: heads cut out, smaller; loads with this program",
}


def export_folder(study: str, config: PruningConfig, form: str) -> Path:
    """Where a configuration's checkpoint goes: the same heads in the same form have the same folder."""
    heads = "-".join(f"{layer}.{head}" for layer, head in config.pruned)
    if len(heads) > 60:
        from hashlib import sha256

        heads = f"{len(config.pruned)}-heads-{sha256(heads.encode()).hexdigest()[:8]}"
    return cache_root() / "exports" / f"{re.sub(r'[^A-Za-z0-9._-]', '-', study)}.{heads or 'intact'}.{form}"


def start_export(config: PruningConfig, folder: Path, form: str) -> Job:
    """Write the configuration beside the folder, and the checkpoint as a job."""
    source = folder.with_name(folder.name + ".json")
    config.save(source)
    command = ["export", f"--format={form}", f"--to={folder}", "--force", "--", str(source)]
    return start_job(command, key=f"export {folder.name}", title=f"Export {folder.name}")


def start_verification(folder: Path) -> Job:
    """Compare a checkpoint with the gated model, as a job."""
    return start_job(["verify", "--", str(folder)], key=f"verify {folder.name}", title=f"Verify {folder.name}")


def newest_job(kind: str, folder: Path) -> Job | None:
    """The newest `export` or `verify` job of a folder, or None."""
    return next((job for job in list_jobs() if job.key == f"{kind} {folder.name}"), None)


def folder_bytes(folder: Path) -> int:
    """What a folder's files take."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def zipped(folder: Path) -> Callable[[], bytes]:
    """Gives the zip of a folder when it is asked for; it is made on disk, beside the folder. Links are left out."""

    def read_zip() -> bytes:
        path = folder.with_name(folder.name + ".zip")
        partial = path.with_name(f".{path.name}.partial")
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
            for file in sorted(folder.rglob("*")):
                if file.is_file() and not file.is_symlink():
                    archive.write(file, Path(folder.name) / file.relative_to(folder))
        data = partial.read_bytes()
        partial.unlink()
        return data

    return read_zip
