"""The command `import`: files of head scores become studies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fasp_core.cli.options import AsJson, ImportForce, ImportLayers, ImportModel, ImportName, ScoreFile
from fasp_core.cli.output import print_base, print_json
from fasp_core.errors import InputError

if TYPE_CHECKING:
    from fasp_core.study.study import Study


def import_file(
    file: ScoreFile,
    name: ImportName = None,
    model: ImportModel = None,
    n_layers: ImportLayers = None,
    force: ImportForce = False,
    as_json: AsJson = False,
) -> None:
    """Make a study of head scores that others measured.

    Its heads can be shown, selected and compared. Without the model, nothing can be sampled or evaluated.
    """
    from fasp_core.study.importing import import_scores, models_in

    there = [model] if model else models_in(file)
    if len(there) > 1 and (name or n_layers):
        raise InputError(f"{file} holds several models; choose one with --model: {', '.join(there)}")
    models: list[str | None] = [*there] or [None]
    studies, problems = [], []
    for each in models:
        try:
            studies.append(import_scores(file, name=name, model=each, n_layers=n_layers, force=force))
        except InputError as error:
            problems.append(str(error))
    if as_json and studies:
        print_json([{"study": s.name, "folder": str(s.folder), **s.scores().record()} for s in studies])
    elif studies:
        _print(studies)
    if problems:
        imported = f"{len(studies)} of {len(models)} models were imported; " if studies else ""
        raise InputError(imported + "; ".join(problems))


def _print(studies: list[Study]) -> None:
    for study in studies:
        table = study.scores()
        seeds = f", {table.meta.n_seeds} seeds" if table.meta.n_seeds else ""
        shape = f"{table.n_layers} layers × {table.heads_per_layer} heads"
        print(f"Study '{study.name}' in {study.folder}: {study.manifest.model.get('name')}, {shape}{seeds}")
        if len(studies) == 1:
            print_base(table, table.axes)
    print(f"Next: python -m fasp_core scores {studies[0].name} --axis {studies[0].axes[0]}")
