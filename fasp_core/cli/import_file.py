"""The command `import`: files of head scores become studies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .cli_output import print_base, print_json
from .errors import InputError

if TYPE_CHECKING:
    from .study import Study


def import_file(
    file: Annotated[Path, typer.Argument(
        metavar="FILE", help="Published head scores (.csv, .json), or a table that `scores --to` wrote.",
    )],
    name: Annotated[str | None, typer.Option(
        help="Name of the study [default: that of the file, followed by the model of a .json file].",
    )] = None,
    model: Annotated[str | None, typer.Option(
        help="The model to import [default: of a .json file, all of them, a study each].",
    )] = None,
    n_layers: Annotated[int | None, typer.Option(
        "--n-layers", help="The model's layers, where they are not known.",
    )] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier import of that name.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:  # fmt: skip
    """Make a study of head scores that others measured.

    It can be looked at, selected on and compared; without the model, nothing can be sampled or evaluated.
    """
    from .importing import import_scores, models_in

    models = [model] if model else models_in(file) or [None]
    if len(models) > 1 and (name or n_layers):
        raise InputError(f"{file} holds several models; choose one with --model: {', '.join(models)}")
    studies, problems = [], []
    for each in models:
        try:
            studies.append(import_scores(file, name=name, model=each, n_layers=n_layers, force=force))
        except InputError as error:
            problems.append(str(error))
    if as_json and studies:
        print_json([{"study": s.name, "folder": str(s.folder), **s.scores().meta} for s in studies])
    elif studies:
        _print(studies)
    if problems:
        imported = f"{len(studies)} of {len(models)} models were imported; " if studies else ""
        raise InputError(imported + "; ".join(problems))


def _print(studies: list[Study]) -> None:
    for study in studies:
        table = study.scores()
        seeds = f", {table.meta['n_seeds']} seeds" if "n_seeds" in table.meta else ""
        shape = f"{table.n_layers} layers × {table.heads_per_layer} heads"
        print(f"Study '{study.name}' in {study.folder}: {study.manifest.model['name']}, {shape}{seeds}")
        if len(studies) == 1:
            print_base(table, table.axes)
    print(f"Next: python -m fasp_core scores {studies[0].name} --axis {studies[0].axes[0]}")
