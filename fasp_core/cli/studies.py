"""The command `studies`: what is on this machine; and `studies compact`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import typer

from fasp_core.cli.options import AsJson, StudyName
from fasp_core.cli.output import print_json, print_table
from fasp_core.errors import InputError
from fasp_core.words.spoken import model_title, spoken_bytes

studies = typer.Typer(invoke_without_command=True)


@studies.callback()
def list_all_studies(context: typer.Context, as_json: AsJson = False) -> None:
    """List the studies on this machine."""
    if context.invoked_subcommand is not None:
        return
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
                (r["name"], model_title(r["model"]), r["shape"], ", ".join(r["axes"]), r["created"][:10])
                if r["problem"] is None
                else (r["name"], r["problem"], "", "", "")
                for r in rows
            ],
        )


@studies.command("compact")
def compact_study(study: StudyName, as_json: AsJson = False) -> None:
    """Fold what each text adds to the scores into sums over prompts: a smaller study that opens faster.

    The scores stay the same, to rounding, and so do the texts and their toxicity. What a single text adds is gone: only
    measuring it again could weigh it otherwise. Scoring can go on afterwards.
    """
    from fasp_core.study.compaction import compact
    from fasp_core.study.study import open_study

    done = compact(open_study(study))
    if as_json:
        print_json(asdict(done))
    elif not done.texts:
        print(f"'{study}' has nothing to fold: {spoken_bytes(done.after)}")
    else:
        sizes = f"{spoken_bytes(done.before)} before, {spoken_bytes(done.after)} now"
        print(f"'{study}': {done.texts:,} texts folded; {sizes}")


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
