"""The command `evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fasp_core.cli.harness import measure_harness
from fasp_core.cli.options import (
    Alpha,
    AnyMetric,
    AsJson,
    Axis,
    ClusterAddress,
    Compensation,
    ConfigFile,
    Device,
    Gamma,
    Heads,
    Limit,
    MeasuredAxes,
    Method,
    MostWorkers,
    Seed,
    Sentences,
    Split,
    StudyName,
    Tasks,
    TasksFolder,
    WithScorecard,
    WorkerCores,
    WorkerGpus,
    split_names,
)
from fasp_core.cli.output import print_heads, print_json, print_metrics
from fasp_core.cli.scorecard import (
    load_sentences,
    measure_scorecard,
    print_rows,
    print_scorecard,
    rows_json,
    scorecard_json,
)
from fasp_core.cli.sources import chosen, heads_given, measure_set, open_named, reopened, scores_to_choose_by, select_by
from fasp_core.errors import InputError
from fasp_core.models.compensation_choice import SPOKEN

if TYPE_CHECKING:
    from fasp_core.head import Head
    from fasp_core.models.compensation_choice import Compensate
    from fasp_core.study.study import Study


def evaluate(
    study: StudyName,
    axis: Axis = None,
    gamma: Gamma = 0.3,
    alpha: Alpha = 0.1,
    method: Method = "fasp",
    seed: Seed = 0,
    heads: Heads = None,
    config: ConfigFile = None,
    axes: MeasuredAxes = None,
    split: Split = "valid",
    metric: AnyMetric = None,
    compensate: Compensation = None,
    scorecard: WithScorecard = False,
    sentences: Sentences = None,
    tasks: Tasks = None,
    tasks_folder: TasksFolder = None,
    limit: Limit = None,
    device: Device = "auto",
    cluster: ClusterAddress = None,
    workers: MostWorkers = None,
    worker_cores: WorkerCores = 1,
    worker_gpus: WorkerGpus = 1,
    as_json: AsJson = False,
) -> None:
    """Measure a pruned model: perplexity and bias.

    Before and after are sampled with the same random numbers, so the change is known better than either number. By
    likelihood nothing is sampled: both models read the same prompts. After a stop, finished work is kept, also for the
    app.
    """
    opened = open_named(study)
    if heads is not None and config is not None:
        raise InputError("give either --heads or --config, not both")
    if sentences and not scorecard:
        raise InputError("--sentences are read for the scorecard; give --scorecard too")
    names = split_names(tasks or "")
    if tasks is not None and not names:
        raise InputError("no task was named; write names with commas, as in --tasks lambada_openai,arc_easy")
    if (tasks_folder or limit) and not names:
        raise InputError("--tasks-folder and --limit are of the tasks of --tasks; give --tasks too")
    pairs = load_sentences(sentences) if scorecard else []
    if heads is not None:
        pruned, about = heads_given(heads), axis
    elif config is not None:
        pruned, about, its_own = _configured(opened, config)
        compensate = compensate or its_own
    else:
        table = scores_to_choose_by(opened, axis, metric, compensate or "none")
        selection = select_by(opened, table, axis, gamma, alpha, method, seed)
        pruned, about = selection.pruned, selection.axis or axis
    measured = split_names(axes) if axes else [about] if about else None
    with reopened(opened, device, chosen(cluster, workers, worker_cores, worker_gpus)) as (lm, on_workers):
        ability = measure_harness(opened, lm, pruned, names, tasks_folder, limit, compensate) if names else []
        result = measure_set(opened, lm, pruned, measured, split, metric, compensate or "none", on_workers)
        card = measure_scorecard(opened, lm, result, pairs) if scorecard else None
    if as_json:
        from fasp_core.export.provenance import SplitMetrics

        print_json(
            {
                "study": study,
                "split": split,
                "pruned": pruned,
                "compensate": result.compensate,
                "n_texts": result.n_texts,
                "n_readings": result.n_readings,
                "n_windows": result.n_windows,
                **SplitMetrics.of(result).model_dump(),
                **({"scorecard": scorecard_json(card)} if card else {}),
                **({"tasks": rows_json(ability)} if ability else {}),
            }
        )
        return
    from fasp_core.words.captions import measured_size
    from fasp_core.words.spoken import some_heads

    size = measured_size(result.n_texts, result.n_readings, result.n_windows)
    how = "" if result.compensate == "none" else f", {SPOKEN[result.compensate]} in their place"
    print_heads(pruned, f"{some_heads(len(pruned))} pruned{how}; measured on {size} of {split}")
    print_metrics(result)
    if card:
        print()
        print_scorecard(card)
    if ability:
        print()
        print_rows(ability)


def _configured(study: Study, path: Path) -> tuple[tuple[Head, ...], str | None, Compensate]:
    """The pruned heads, the axis and the compensation of a configuration that fits the study's model."""
    from fasp_core.export.pruning_config import PruningConfig

    made = PruningConfig.load(path)
    theirs, ours = (made.model.n_layers, made.model.heads_per_layer), (study.n_layers, study.heads_per_layer)
    if theirs != ours:
        raise InputError(
            f"{path} is for {theirs[0]} layers × {theirs[1]} heads, the model of study '{study.name}' has {ours[0]} × "
            f"{ours[1]}; give the study of the same model"
        )
    return made.pruned, made.method.axis, made.compensation.how if made.compensation else "none"
