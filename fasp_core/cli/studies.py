"""`studies`: what this machine holds."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from .cli_output import print_json, print_table
from .errors import InputError


def studies(
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """List the studies on this machine."""
    from .study import list_studies

    rows = [_describe(name) for name in list_studies()]
    if as_json:
        print_json(rows)
    elif not rows:
        print("There is no study yet. Make one: python -m fasp_core score default --axes gender_and_sex")
    else:
        print_table(
            ("study", "model", "layers × heads", "axes", "created"),
            [(r["name"], r["model"], r["shape"], ", ".join(r["axes"]), r["created"]) if r["problem"] is None
             else (r["name"], r["problem"], "", "", "") for r in rows],
        )  # fmt: skip


def _describe(name: str) -> dict[str, Any]:
    from .study import open_study

    try:
        made = open_study(name).manifest
    except InputError as error:
        return {"name": name, "model": None, "shape": None, "axes": [], "created": None, "problem": str(error)}
    shape = f"{made.model['n_layers']} × {made.model['heads_per_layer']}"
    return {
        "name": name, "model": made.model.get("name"), "shape": shape, "axes": list(made.axes), "created": made.created,
        "problem": None,
    }  # fmt: skip
