"""The command line: `fasp score | select | evaluate | compare | export | …`, see `--help`.

A thin shell over the library: a command reads its options, calls, prints. Results go to stdout (`--json` for machines),
progress and errors to stderr; exit statuses are in `errors`. What needs torch is imported inside the commands that use
it. This file only registers the commands, each of which has a file of its own.
"""

from __future__ import annotations

import typer

from fasp_core.cli.compare import compare
from fasp_core.cli.doctor import doctor
from fasp_core.cli.evaluate import evaluate
from fasp_core.cli.evidence import evidence
from fasp_core.cli.export import export
from fasp_core.cli.import_file import import_file
from fasp_core.cli.mark import mark
from fasp_core.cli.prompts import prompts
from fasp_core.cli.rescore import rescore
from fasp_core.cli.run_app import run_app
from fasp_core.cli.score import score
from fasp_core.cli.scorers import scorers
from fasp_core.cli.scores import scores
from fasp_core.cli.search import search
from fasp_core.cli.select import select
from fasp_core.cli.studies import studies
from fasp_core.cli.terminal import Commands
from fasp_core.cli.try_prompt import try_prompt
from fasp_core.cli.verify import verify

app = typer.Typer(
    cls=Commands,
    help="Find the attention heads that drive social bias in a language model, and prune them.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

app.command("app")(run_app)
app.command()(score)
app.command()(scores)
app.command()(select)
app.command()(evaluate)
app.command()(export)
app.command()(compare)
app.command()(search)
app.command("try")(try_prompt)
app.command()(evidence)
app.command()(mark)
app.command()(verify)
app.command("import")(import_file)
app.command()(rescore)
app.command()(prompts)
app.add_typer(scorers, name="scorers")
app.add_typer(studies, name="studies")
app.command()(doctor)
