"""The command `score`."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING

from fasp_core.cli.options import (
    AsJson,
    BudgetName,
    ClusterAddress,
    Compensated,
    Device,
    DType,
    Metrics,
    Minutes,
    ModelRef,
    MostWorkers,
    NewStudyName,
    Prompts,
    Reliability,
    Scored,
    ScoredAxes,
    ScorerRef,
    Text,
    WorkerCores,
    WorkerGpus,
    split_names,
)
from fasp_core.cli.output import print_base, print_json
from fasp_core.cli.sources import chosen, opened_with
from fasp_core.cli.terminal import ProgressReport
from fasp_core.errors import InputError

if TYPE_CHECKING:
    from fasp_core.data.prompt_set import PromptSet
    from fasp_core.selection.head_scores import HeadScores


def score(
    model: ModelRef,
    axes: ScoredAxes,
    budget: BudgetName = "quick",
    minutes: Minutes = None,
    reliability: Reliability = None,
    name: NewStudyName = None,
    metric: Metrics = None,
    compensated: Compensated = False,
    prompts: Prompts = None,
    text: Text = None,
    scorer: ScorerRef = None,
    scored: Scored = None,
    device: Device = "auto",
    dtype: DType = "auto",
    cluster: ClusterAddress = None,
    workers: MostWorkers = None,
    worker_cores: WorkerCores = 1,
    worker_gpus: WorkerGpus = 1,
    as_json: AsJson = False,
) -> None:
    """Measure what every head does, and keep it as a study.

    After a stop, run it again to continue. More axes, a larger budget or another metric add to the study.
    """
    from fasp_core.data.articles import load_text
    from fasp_core.data.prompts import load_prompts

    metrics = split_names(metric) if metric else ["toxicity"] if budget == "paper" else ["toxicity", "likelihood"]
    wanted, prompt_set = split_names(axes), load_prompts(prompts) if prompts else None
    _check_axes(wanted, prompt_set, name, model)  # before the model is loaded
    articles = load_text(text) if text else None
    from fasp_core.models.language_model import model_name
    from fasp_core.models.open_model import absolute_ref, open_model
    from fasp_core.scoring.score_heads import check_aims, score_heads
    from fasp_core.selection.clearest import clearest_axis, clearest_metric
    from fasp_core.toxicity.scorers import open_scorer

    if minutes is not None or reliability is not None:
        check_aims(minutes, reliability)
        _print_expected(name or model_name(model), wanted, metrics, absolute_ref(model), minutes, reliability)
    rater = open_scorer(scorer, device=device) if scorer else None
    ref, dtype = absolute_ref(model), _made_with(name or model_name(model)) if dtype == "auto" else dtype
    opening = partial(open_model, ref, dtype=dtype)
    here = partial(open_model, ref, device="cpu")  # beside the workers of a cluster
    choice = chosen(cluster, workers, worker_cores, worker_gpus)
    with (
        opened_with(opening, lambda held: here(dtype=held), device, choice) as (lm, on_workers),
        ProgressReport() as progress,
    ):
        study = score_heads(
            lm,
            axes=wanted,
            budget=budget,
            minutes=minutes,
            reliability=reliability,
            name=name,
            progress=progress,
            prompts=prompt_set,
            text=articles,
            scorer=rater,
            scored=scored,
            metrics=metrics,
            cluster=on_workers,
            compensated=compensated,
        )
    tables = {m: study.scores(rater.name if rater and m == "toxicity" else None, metric=m) for m in metrics}
    if as_json:
        records = {name: table.record() for name, table in tables.items()}
        print_json({"study": study.name, "folder": str(study.folder), "metrics": records})
        return
    print(f"Study '{study.name}' in {study.folder}")
    _print_scorer(tables[metrics[0]], chosen=scorer)
    for name, table in tables.items():
        if len(tables) > 1:
            print(f"By {name}:")
        print_base(table, wanted)
    best = clearest_metric(tables)
    if len(tables) > 1:
        print(f"The clearest bias is seen by {best}.")
    axis = clearest_axis(tables[best])
    if compensated:
        print(
            "Scores under compensation choose heads by likelihood where least squares takes their place (see: select)."
        )
    print(f"Next: python -m fasp_core scores {study.name} --axis {axis} --metric {best}")


def _print_expected(
    study: str, axes: list[str], metrics: list[str], ref: str, minutes: float | None, aim: float | None
) -> None:
    """What the time or the reliability asked for is expected to bring or to take, on stderr; of a known study alone."""
    from fasp_core.scoring.cost import machine_flops, model_shape, unit_seconds
    from fasp_core.scoring.expectation import expected_sentences
    from fasp_core.study.study import list_studies, open_study

    shape = model_shape(ref) if study in list_studies() else None
    if shape is None:
        return
    flops = machine_flops()
    seconds = {metric: unit_seconds(shape, metric, flops=flops) for metric in metrics}
    for told in expected_sentences(open_study(study), axes, seconds, minutes=minutes, aim=aim):
        print(told, file=sys.stderr)


def _made_with(study: str) -> str:
    """The dtype of a study that is to be gone on with; "auto" for a new one."""
    from fasp_core.study.study import list_studies, open_study

    return str(open_study(study).manifest.model.get("dtype") or "auto") if study in list_studies() else "auto"


def _check_axes(axes: list[str], prompts: PromptSet | None, study: str | None, model: str) -> None:
    """Raise InputError for axes that are not in the prompts to be scored: those given, the study's or the built-in."""
    if prompts is None:
        from fasp_core.data.prompts import load_prompts

        prompts = load_prompts()
        if not set(axes) <= set(prompts.axes):
            from fasp_core.models.language_model import model_name
            from fasp_core.study.study import list_studies, open_study

            name = study or model_name(model)
            prompts = open_study(name).prompts if name in list_studies() else prompts
    if not axes:
        raise InputError(f"--axes names no axis; known: {', '.join(prompts.axes)}")
    prompts.select(axes=axes)


def _print_scorer(table: HeadScores, *, chosen: str | None) -> None:
    """Say what rated toxicity and, where it was chosen for lack of a better one, how to get that."""
    from fasp_core.toxicity.scorers import default_scorer

    name = table.meta.scorer
    if name is None:
        return
    lacking = name == "embedded" and chosen is None and default_scorer() == "embedded"
    hint = "; the published recipe's scorer, detoxify:unbiased, is not here (see: python -m fasp_core scorers)"
    print(f"toxicity by {name}{hint if lacking else ''}")
