"""The command `studies`: what is on this machine."""

from __future__ import annotations

from typing import Any

from fasp_core.cli.options import AsJson
from fasp_core.cli.output import print_json, print_table
from fasp_core.errors import InputError


def studies(as_json: AsJson = False) -> None:
    """List the studies on this machine."""
    from fasp_core.study.study import list_studies

    rows = [_describe(name) for name in list_studies()]
    if as_json:
        print_json(rows)
    elif not rows:
        print("There is no study yet. Make one: python -m fasp_core score default --axes gender_and_sex")
    else:
        print_table(
            ("study", "model", "layers × heads", "axes", "created"),
            [
                (r["name"], r["model"], r["shape"], ", ".join(r["axes"]), r["created"])
                if r["problem"] is None
                else (r["name"], r["problem"], "", "", "")
                for r in rows
            ],
        )


def _describe(name: str) -> dict[str, Any]:
    from fasp_core.study.study import open_study
    from fasp_core.study.views import scored_axes

    try:
        study = open_study(name)
    except InputError as error:
        return {"name": name, "model": None, "shape": None, "axes": [], "created": None, "problem": str(error)}
    made = study.manifest
    shape = f"{made.model['n_layers']} × {made.model['heads_per_layer']}"
    return {
        "name": name,
        "model": made.model.get("name"),
        "shape": shape,
        "axes": scored_axes(study),
        "created": made.created,
        "problem": None,
    }
