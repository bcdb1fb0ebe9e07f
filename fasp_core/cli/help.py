"""docs/cli.md, the help of every command: `python -m fasp_core.cli.help > docs/cli.md` writes it anew."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from typer.main import get_command

from fasp_core.cli.app import app

COLUMNS = 80
HEAD = """\
# The command line

`fasp` is the command that an installation adds; `python -m fasp_core` is the same and needs none. Results go to
standard output (`--json` for machines), progress and errors to standard error. Exit status: 0 done, 1 the work failed,
2 bad input (one line says what is wrong and how to fix it), 130 stopped.

```sh
fasp app
fasp score default --axes gender_and_sex --budget quick
fasp scores default --axis gender_and_sex --top 20
fasp select default --axis gender_and_sex --gamma 0.3 --alpha 0.1
fasp evaluate default --axis gender_and_sex --gamma 0.3 --alpha 0.1 --split test
fasp evaluate default --heads 0.3,5.1
fasp export default --axis gender_and_sex --evaluate --to gender.json
fasp export gender.json --format compact --to no-gender-bias
fasp verify no-gender-bias
fasp select head_scores_gpt2.csv --axis gender_and_sex
fasp doctor
```

When something does not work, `fasp doctor` says what is missing and how to get it; its output (`--json` for machines)
is what a bug report should hold.

There are seven environment variables. `FASP_CACHE` is the folder of studies and models; without it, that is `cache/` of
the checkout or, where the package was installed, the user's data folder (Linux: `~/.local/share/fasp`).
`FASP_TRACEBACK=1` shows where an unexpected error came from. `FASP_VIEWER=1` and `FASP_SCORERS` are the options
`--viewer` and `--scorer` of `fasp app` ([sharing](sharing.md)), and `FASP_LOG=json` is its option `--log`
([live](live.md)). `FASP_CLUSTER` is the cluster that the page Studies offers ([scale](scale.md)).
`FASP_TOUR=0` keeps the app's tour from opening by itself ([app](app.md)).

This page is written by `python -m fasp_core.cli.help > docs/cli.md`.
"""


def cli_markdown() -> str:
    """The whole page."""
    sections = (f"## {name}\n\n```text\n{text}\n```\n" for name, text in _helps(get_command(app), "fasp"))
    return "\n".join([HEAD, *sections])


def _helps(group: Any, path: str) -> Iterator[tuple[str, str]]:
    """Name and help text of each command of a group, and of the groups inside it."""
    for name, command in group.commands.items():
        usage = f"{path} {name}"
        context = command.context_class(command, info_name=usage, terminal_width=COLUMNS)
        yield usage.removeprefix("fasp "), command.get_help(context).rstrip()
        if hasattr(command, "commands"):
            yield from _helps(command, usage)


if __name__ == "__main__":
    print(cli_markdown(), end="")
