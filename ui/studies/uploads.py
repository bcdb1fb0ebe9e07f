"""Files that people upload for a run: kept below the folder of studies, so that a job can read them later."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from fasp_core.files.paths import cache_root
from fasp_core.files.writing import write_atomic

FOLDER = ".uploads"


def keep_upload(name: str, data: bytes) -> Path:
    """The path of an uploaded file, whose content names its folder: the same file is kept once.

    Raises InputError where the disk does not allow it.
    """
    plain_name = re.sub(r"[^A-Za-z0-9._-]", "-", Path(name).name)[-80:].lstrip(".-") or "upload"
    path = cache_root() / FOLDER / hashlib.sha256(data).hexdigest()[:16] / plain_name
    if not path.is_file():
        write_atomic(path, lambda temporary: temporary.write_bytes(data))
    return path
