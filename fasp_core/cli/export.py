"""The command `export`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

from fasp_core.cli.options import (
    Alpha,
    AnyMetric,
    AsJson,
    Axis,
    Base,
    Compensation,
    Device,
    Evaluated,
    ExportDType,
    ExportSource,
    ExportTo,
    FileModel,
    Force,
    Form,
    Gamma,
    Heads,
    Layers,
    Method,
    Seed,
)
from fasp_core.cli.sources import measure_set, named_heads, open_source, reopen, select_by
from fasp_core.errors import InputError

# What chooses heads or measures them, which a configuration holds already.
CHOOSING = (
    "axis",
    "gamma",
    "alpha",
    "method",
    "seed",
    "heads",
    "metric",
    "compensate",
    "evaluated",
    "model",
    "n_layers",
)

if TYPE_CHECKING:
    from fasp_core.evaluation.result import Evaluation
    from fasp_core.evaluation.scorecard_result import Scorecard
    from fasp_core.export.pruning_config import PruningConfig
    from fasp_core.study.study import Study


def export(
    context: typer.Context,
    source: ExportSource,
    axis: Axis = None,
    gamma: Gamma = 0.3,
    alpha: Alpha = 0.1,
    method: Method = "fasp",
    seed: Seed = 0,
    heads: Heads = None,
    metric: AnyMetric = None,
    compensate: Compensation = None,
    form: Form = "config",
    to: ExportTo = None,
    force: Force = False,
    evaluated: Evaluated = False,
    model: FileModel = None,
    n_layers: Layers = None,
    base: Base = None,
    device: Device = "auto",
    dtype: ExportDType = "auto",
    as_json: AsJson = False,
) -> None:
    """Write the choice of heads as a JSON file, or the model without them as a checkpoint.

    A configuration has its heads chosen already: the options that choose or measure are for the other sources.
    """
    from fasp_core.export.pruning_config import PruningConfig

    made = read_configuration(source)
    if made is None:
        study, table = open_source(source, model, n_layers, metric, axis=axis, compensate=compensate or "none")
        if heads is not None:
            selection = named_heads(table, heads, axis)
        else:
            selection = select_by(study, table, axis, gamma, alpha, method, seed)
        results, cards, compensate = [], [], compensate or "none"
        if evaluated:
            if study is None:
                raise InputError(f"{source} holds scores only, and --evaluate needs the model; give a study")
            lm, axes = reopen(study, device), [selection.axis] if selection.axis else None
            results = [
                measure_set(study, lm, selection.pruned, axes, split, metric, compensate) for split in ("valid", "test")
            ]
            cards = complete_scorecards(study, results)
        made = PruningConfig.from_selection(selection, study or table, results, cards, compensate=compensate)
    elif any(_was_given(context, name) for name in CHOOSING):
        raise InputError(f"{source} is a configuration, whose heads are chosen; give the study to choose others")
    write_export(made, to, form=form, force=force, base=base, device=device, dtype=dtype)
    if to is None:
        return
    if as_json:
        print(made.to_json(), end="")
        return
    total = made.model.n_layers * made.model.heads_per_layer
    print(f"{to}: {len(made.pruned)} of {total} heads pruned, {len(made.protected)} protected")
    if form != "config":
        print(f"Next: python -m fasp_core verify {to}")


def _was_given(context: typer.Context, option: str) -> bool:
    source = context.get_parameter_source(option)
    return source is not None and source.name == "COMMANDLINE"


def complete_scorecards(study: Study, results: Sequence[Evaluation]) -> list[Scorecard]:
    """The scorecards that `evaluate --scorecard` measured of the same sets; nothing is measured here."""
    from fasp_core.evaluation.scorecard_result import kept_scorecard
    from fasp_core.evaluation.store import EvaluationStore

    store = EvaluationStore(study.folder.parent)
    cards = [
        kept_scorecard(study, each.pruned, split=each.split, store=store, evaluation=each, compensate=each.compensate)
        for each in results
    ]
    return [card for card in cards if card is not None and card.done]


def read_configuration(source: str) -> PruningConfig | None:
    """The configuration in a JSON file; None for the name of a study and for files of something else."""
    path = Path(source)
    if path.suffix != ".json" or not path.is_file():
        return None
    from fasp_core.export.pruning_config import PruningConfig
    from fasp_core.files.reading import read_text

    text = read_text(path)
    return PruningConfig.loads(text, str(path)) if '"schema_version"' in text else None


def write_export(
    config: PruningConfig,
    to: Path | None,
    *,
    form: Literal["config", "masked", "compact"],
    force: bool,
    base: str | None = None,
    device: str = "auto",
    dtype: str = "auto",
) -> None:
    """Write the JSON, or a checkpoint of the model that the configuration names, or of `base`."""
    if form == "config":
        if to is None:
            print(config.to_json(), end="")
            return
        if to.is_dir():
            raise InputError(f"{to} is a folder; give the name of a .json file for the configuration")
        if to.exists() and not force:
            raise InputError(f"{to} is there already; choose another name, or replace it with --force")
        config.save(to)
        return
    if to is None:
        raise InputError(f"--to is missing: a {form} checkpoint needs a folder to be written to")
    if base is None and config.model.ref is None:
        raise InputError(
            "the configuration does not name a model to open (made from a file of scores); name it with --base, or "
            "export it from a study"
        )
    from fasp_core.export.checkpoints import export_checkpoint, open_base_model

    lm = open_base_model(config, base, device=device, dtype=dtype)
    export_checkpoint(lm, config, to, form=form, force=force)
