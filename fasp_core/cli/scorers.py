"""The command `scorers`, and `scorers get`."""

from __future__ import annotations

import typer

from fasp_core.cli.options import AsJson, ScorerToGet
from fasp_core.cli.output import print_json, print_table
from fasp_core.cli.terminal import ProgressReport

scorers = typer.Typer(invoke_without_command=True)


@scorers.callback()
def list_all_scorers(context: typer.Context, as_json: AsJson = False) -> None:
    """List what can rate toxicity, and how to get what is not on this machine."""
    if context.invoked_subcommand is not None:
        return
    from fasp_core.toxicity.scorers import default_scorer, list_scorers

    rows, default = list_scorers(), default_scorer()
    if as_json:
        print_json(
            [
                {
                    "ref": row.ref,
                    "about": row.about,
                    "available": row.available,
                    "default": row.ref == default,
                    "hint": row.hint,
                }
                for row in rows
            ]
        )
        return
    print_table(
        ("scorer", "on this machine", "what it is"),
        [(r.ref, "default" if r.ref == default else "yes" if r.available else "no", r.about) for r in rows],
    )
    for row in rows:
        if not row.available:
            print(f"{row.ref}: {row.hint}")


@scorers.command("get")
def get_scorer(ref: ScorerToGet, as_json: AsJson = False) -> None:
    """Download a scorer: the weights of a Detoxify model, and config and tokenizer of its base model.

    An interrupted download continues where it stopped. Checksums are compared.
    """
    from fasp_core.toxicity.fetch import fetch_scorer

    with ProgressReport() as progress:
        path = fetch_scorer(ref, progress)
    if as_json:
        print_json({"ref": ref, "path": str(path)})
        return
    print(f"'{ref}' is on this machine: {path}")
