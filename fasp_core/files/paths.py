"""Where things are: studies and converted models, the app's script, and this package for child processes.

The package is used from a checkout of the project, or installed by pip. Installed, the wheel carries the app and the
default study inside the package (`tool.hatch` in pyproject.toml says where).
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from platformdirs import user_data_path

from fasp_core.access import LOG, SCORERS
from fasp_core.errors import InputError

PACKAGE = Path(__file__).resolve().parents[1]
PROJECT = PACKAGE.parent  # the checkout; site-packages where installed
SHIPPED_STUDIES = PACKAGE / "shipped"  # in a wheel only


def cache_root(root: str | os.PathLike[str] | None = None) -> Path:
    """The folder of studies and models: the argument, else `FASP_CACHE`, else `cache/` of the checkout.

    Where the package is installed, the last is the user's data folder for `fasp` instead (Linux: `~/.local/share/fasp`;
    not the cache folder, which may be emptied at any time: a study takes hours to measure). It is made, with the
    default study in it, when it is first asked for.
    """
    if given := root or os.environ.get("FASP_CACHE"):
        return Path(given).expanduser().absolute()
    return PROJECT / "cache" if in_checkout() else _user_folder()


def app_script() -> Path:
    """The file that `streamlit run` is given."""
    return PROJECT / "app.py" if in_checkout() else PACKAGE / "app" / "app.py"


def server_script() -> Path:
    """The same app behind its guards, as `fasp app` serves it."""
    return app_script().with_name("serve.py")


def in_checkout() -> bool:
    """Whether this package lies in a checkout of the project, not in site-packages."""
    return (PROJECT / "pyproject.toml").is_file()


def user_path(text: str | os.PathLike[str]) -> Path:
    """A path that a person gave; raises InputError for a text under which no file can be looked for: one that is too
    long, has a null character, or begins with the home of an unknown user.
    """
    try:
        if "\0" in str(text):
            raise ValueError("it has a null character")
        path = Path(text).expanduser()
        (path / "a file of usual length").exists()
    except (OSError, ValueError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"no file can be called '{str(text)[:60]}' ({reason.lower()[:60]}); check the path") from error
    return path


def child_environment() -> dict[str, str]:
    """The environment for a process that the app starts: it finds this package whatever its working directory, and
    uses no scorer of its own that the operator did not list (see `access`). What it prints is for people, not the log.
    """
    environment = {SCORERS: "", **{name: value for name, value in os.environ.items() if name != LOG}}
    if not in_checkout():
        return environment
    others = os.environ.get("PYTHONPATH")
    return {**environment, "PYTHONPATH": os.pathsep.join([str(PROJECT), *([others] if others else [])])}


def _user_folder() -> Path:
    folder = user_data_path("fasp", appauthor=False)
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".fasp.") as scratch:
            made = Path(scratch) / folder.name
            shutil.copytree(SHIPPED_STUDIES, made)
            try:
                made.rename(folder)
            except OSError:
                if not folder.exists():  # else another process was faster
                    raise
    return folder
