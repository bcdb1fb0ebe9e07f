"""The command line: `python -m fasp_core score | select | evaluate | compare | export | …`, see `--help`.

A thin shell over the library: it reads options, calls, prints. Results go to stdout (`--json` for machines), progress
and errors to stderr; `terminal` has the exit statuses. What needs torch is imported inside the commands that use it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from .cli_compare import compare
from .cli_data import Prompts, ScorerName, ScorerRef, Text, check_axes, list_prompts, print_scorer, rescore, scorers
from .cli_export import read_configuration, verify, write_export
from .cli_import import import_file
from .cli_likelihood import Metric, Metrics, evaluate_by_likelihood, print_agreement, study_agreement
from .cli_output import print_base, print_heads, print_json, print_metrics, print_table
from .cli_studies import studies
from .errors import InputError
from .numbers import format_estimate
from .terminal import Commands, ProgressReport

if TYPE_CHECKING:
    from .estimates import Evaluation
    from .head_scores import HeadScores
    from .models import LanguageModel
    from .selection import Head, Selection
    from .study import Study

app = typer.Typer(
    cls=Commands, help="Find the attention heads that drive social bias in a language model, and prune them.",
    add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False,
)  # fmt: skip

TABLE_FILES = (".csv", ".json", ".parquet")

StudyName = Annotated[str, typer.Argument(metavar="STUDY", help="Name of a study (see: studies).")]
Source = Annotated[str, typer.Argument(
    metavar="STUDY", help="Name of a study (see: studies), or a file of head scores (.csv, .json, .parquet).",
)]  # fmt: skip
FileModel = Annotated[str | None, typer.Option(help="Of a file of head scores: the model to read.")]
Layers = Annotated[int | None, typer.Option(
    "--n-layers", help="Of a file of head scores: the model's layers, where they are not known.",
)]  # fmt: skip
Axis = Annotated[str | None, typer.Option(help="The bias to prune for. Needed where several were scored.")]
Method = Annotated[str, typer.Option(
    help="fasp, fasp_robust, fasp_multi, fasp_iterative, bias_only, ppl_only, magnitude_l2, mask_gradient_l2, random.",
)]  # fmt: skip
Gamma = Annotated[float, typer.Option(help="Share of heads to protect: those perplexity needs most (methods fasp…).")]
Alpha = Annotated[float, typer.Option(help="Share of heads to prune.")]
Seed = Annotated[int, typer.Option(help="Seed of method random.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@app.command()
def score(
    model: Annotated[str, typer.Argument(
        metavar="MODEL", help='"default", a hub id such as gpt2, a folder with safetensors, or a .gguf file.',
    )],
    axes: Annotated[str, typer.Option(help="The biases to measure, with commas: gender_and_sex,religion.")],
    budget: Annotated[Literal["quick", "standard", "paper"], typer.Option(
        help="How much to measure: quick takes the default model about 10 minutes per axis on 2 cores; "
        "paper runs the published recipe as published.",
    )] = "quick",
    minutes: Annotated[float | None, typer.Option(
        help="Instead of a budget: measure for so long, where it settles most about which heads to prune.",
    )] = None,
    reliability: Annotated[float | None, typer.Option(
        help="Instead of a budget: measure until the ranking is this reliable on every axis, such as 0.9.",
    )] = None,
    name: Annotated[str | None, typer.Option(help="Name of the study [default: that of the model].")] = None,
    metric: Metrics = "toxicity",
    prompts: Prompts = None, text: Text = None, scorer: ScorerRef = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")] = "auto",
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Measure what every head does, and keep it as a study.

    Stopped or killed, it goes on where it was when run again; more axes, a larger budget or another metric add to the
    study.
    """
    from .prompts import load_prompts
    from .text import load_text

    wanted, prompt_set = _names(axes), load_prompts(prompts) if prompts else None
    check_axes(wanted, prompt_set, name, model)  # what is wrong is said before the model is loaded
    articles = load_text(text) if text else None
    from .models import open_model
    from .scoring import score_heads
    from .toxicity import open_scorer

    rater = open_scorer(scorer, device=device) if scorer else None
    lm = open_model(model, device=device, dtype=dtype)
    with ProgressReport() as progress:
        study = score_heads(
            lm, axes=wanted, budget=budget, minutes=minutes, reliability=reliability, name=name, progress=progress,
            prompts=prompt_set, text=articles, scorer=rater, metrics=_names(metric),
        )  # fmt: skip
    first = _names(metric)[0]
    table = study.scores(rater.name if rater and first == "toxicity" else None, metric=first)
    if as_json:
        print_json({"study": study.name, "folder": str(study.folder), **table.meta})
        return
    print(f"Study '{study.name}' in {study.folder}")
    print_scorer(table, chosen=scorer)
    print_base(table, wanted)
    print(f"Next: python -m fasp_core scores {study.name} --axis {wanted[0]}")


@app.command()
def scores(
    source: Source,
    axis: Axis = None,
    top: Annotated[int, typer.Option(min=0, help="How many heads to list; 0 lists all.")] = 20,
    sort: Annotated[Literal["bias", "ppl"], typer.Option(help="What to list the highest of first.")] = "bias",
    metric: Metric = "toxicity",
    to: Annotated[Path | None, typer.Option(help="Write the whole table to a .csv or .parquet file.")] = None,
    scorer: ScorerName = None, model: FileModel = None, n_layers: Layers = None, as_json: AsJson = False,
) -> None:  # fmt: skip
    """List heads by their scores.

    z_bias > 0: the head drives that bias; z_ppl > 0: the model needs the head. After ± is one standard error. Where
    bias was measured by both metrics, a line tells how far they agree.
    """
    import numpy as np

    study, table = _open(source, model, n_layers, metric, scorer)
    axis = _one_axis(table, axis)
    agreement = study_agreement(study, axis)
    if to is not None:
        _write_table(table, to)
    values = table.z_bias(axis) if sort == "bias" else table.z_ppl
    order = np.argsort(-values, kind="stable")[: top or None]
    columns = {
        "z_bias": table.z_bias(axis),
        "z_bias_se": table.z_bias_se(axis),
        "z_ppl": table.z_ppl,
        "z_ppl_se": table.z_ppl_se,
    }
    heads = [
        {"layer": int(i) // table.heads_per_layer, "head": int(i) % table.heads_per_layer}
        | {name: float(column[i]) for name, column in columns.items()}
        for i in order
    ]
    if as_json:
        about = {"source": source, "axis": axis, "n_heads": table.n_heads, "meta": table.meta}
        print_json({**about, "agreement": agreement and asdict(agreement), "heads": heads})
        return
    print_base(table, [axis])
    print_agreement(agreement)
    print_table(
        ("layer", "head", f"z_bias {axis}", "z_ppl"),
        [(h["layer"], h["head"], format_estimate(h["z_bias"], h["z_bias_se"], signed=True),
          format_estimate(h["z_ppl"], h["z_ppl_se"], signed=True)) for h in heads],
    )  # fmt: skip


@app.command()
def select(
    source: Source, axis: Axis = None, gamma: Gamma = 0.3, alpha: Alpha = 0.1, method: Method = "fasp", seed: Seed = 0,
    metric: Metric = "toxicity", scorer: ScorerName = None, model: FileModel = None, n_layers: Layers = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Choose the heads to prune.

    Method fasp protects a share gamma of all heads, the highest by z_ppl; of the others it takes a share alpha of all
    heads, the highest by z_bias.
    """
    _, table = _open(source, model, n_layers, metric, scorer)
    selection = _select(table, axis, gamma, alpha, method, seed)
    if as_json:
        print_json({"source": source, **asdict(selection)})
        return
    print_heads(
        selection.pruned,
        f"{len(selection.pruned)} of {table.n_heads} heads pruned, {len(selection.protected)} protected",
    )


@app.command()
def evaluate(
    study: StudyName, axis: Axis = None, gamma: Gamma = 0.3, alpha: Alpha = 0.1, method: Method = "fasp",
    seed: Seed = 0,
    heads: Annotated[str | None, typer.Option(help="Prune these heads instead, as layer.head: 0.3,5.1")] = None,
    config: Annotated[Path | None, typer.Option(help="Prune the heads of an exported configuration instead.")] = None,
    axes: Annotated[str | None, typer.Option(help="Biases to measure, with commas [default: the axis].")] = None,
    split: Annotated[Literal["valid", "test"], typer.Option(help="Explore on valid, make claims on test.")] = "valid",
    metric: Metric = "toxicity",
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Measure a pruned model: perplexity and bias.

    Before and after are sampled with the same random numbers, so the change is known better than either. What is
    finished is kept, also for the app, when the run is stopped. By likelihood, nothing is sampled and only bias is
    measured; heads are chosen by their toxicity scores either way.
    """
    opened = _study(study)
    if heads is not None and config is not None:
        raise InputError("give either --heads or --config, not both")
    if heads is not None:
        pruned, about = parse_heads(heads), axis
    elif config is not None:
        pruned, about = _configured(opened, config)
    else:
        selection = _select(opened.scores(), axis, gamma, alpha, method, seed)
        pruned, about = selection.pruned, selection.axis or axis
    measured = _names(axes) if axes else [about] if about else opened.axes
    from .models import open_study_model

    if metric == "likelihood":
        evaluate_by_likelihood(opened, open_study_model(opened), pruned, measured, split, as_json=as_json)
        return
    result = _measure(opened, open_study_model(opened), pruned, measured, split)
    if as_json:
        from .config import SplitMetrics

        print_json({
            "study": study, "split": split, "pruned": pruned, "n_texts": result.n_texts, "n_windows": result.n_windows,
            **SplitMetrics.of(result).model_dump(),
        })  # fmt: skip
        return
    print_heads(
        pruned,
        f"{len(pruned)} heads pruned; measured on {result.n_texts} texts and {result.n_windows} windows of {split}",
    )
    print_metrics(result)


@app.command()
def export(
    source: Annotated[str, typer.Argument(
        metavar="SOURCE", help="A study, a file of head scores (.csv, .json, .parquet) or a configuration (.json).",
    )],
    axis: Axis = None, gamma: Gamma = 0.3, alpha: Alpha = 0.1, method: Method = "fasp", seed: Seed = 0,
    form: Annotated[Literal["config", "masked", "compact"], typer.Option(
        "--format", help="The choice as JSON, or the pruned model: masked loads anywhere, compact is smaller.",
    )] = "config",
    to: Annotated[Path | None, typer.Option(help="File or, for a model, folder [default: standard output].")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier export.")] = False,
    evaluated: Annotated[bool, typer.Option("--evaluate", help="Measure it first, on valid and test.")] = False,
    model: FileModel = None, n_layers: Layers = None, as_json: AsJson = False,
) -> None:  # fmt: skip
    """Write the choice of heads as a JSON file, or the model without them as a checkpoint.

    A configuration, already written, has its heads chosen: the options that choose or measure are for other sources.
    """
    from .config import PruningConfig

    made = read_configuration(source)
    if made is None:
        study, table = _open(source, model, n_layers)
        selection = _select(table, axis, gamma, alpha, method, seed)
        results = []
        if evaluated:
            if study is None:
                raise InputError(f"{source} holds scores only, and --evaluate needs the model; give a study")
            from .models import open_study_model

            lm, axes = open_study_model(study), [selection.axis] if selection.axis else study.axes
            results = [_measure(study, lm, selection.pruned, axes, split) for split in ("valid", "test")]
        made = PruningConfig.from_selection(selection, study or table, results)
    elif axis or evaluated or model or n_layers:
        raise InputError(f"{source} is a configuration, whose heads are chosen; give the study to choose others")
    write_export(made, to, form=form, force=force)
    if to is None:
        return
    if as_json:
        print(made.model_dump_json(indent=2))
        return
    total = made.model.n_layers * made.model.heads_per_layer
    print(f"{to}: {len(made.pruned)} of {total} heads pruned, {len(made.protected)} protected")
    if form != "config":
        print(f"Next: python -m fasp_core verify {to}")


app.command()(compare)
app.command()(verify)
app.command("import")(import_file)
app.command()(rescore)
app.command("prompts")(list_prompts)
app.command()(scorers)
app.command()(studies)


def parse_heads(text: str) -> tuple[Head, ...]:
    """Heads written as `layer.head` with commas, sorted: "5.1,0.3" is ((0, 3), (5, 1)); raises InputError otherwise."""
    heads = set()
    for part in filter(None, (part.strip() for part in text.split(","))):
        layer, dot, head = part.partition(".")
        if not (dot and layer.isdecimal() and head.isdecimal()):
            raise InputError(f"'{part}' is no head; write layer.head with commas between heads, as in 0.3,5.1")
        heads.add((int(layer), int(head)))
    if not heads:
        raise InputError("no head was given; write layer.head with commas between heads, as in 0.3,5.1")
    return tuple(sorted(heads))


def _names(text: str) -> list[str]:
    """The names in a list with commas, each once."""
    return list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def _study(name: str) -> Study:
    from .study import open_study

    return open_study(name)


def _open(
    source: str, model: str | None, n_layers: int | None, metric: str = "toxicity", scorer: str | None = None
) -> tuple[Study | None, HeadScores]:
    """A study and its scores, or the scores of a file."""
    from .head_scores import read_head_scores

    if source.endswith(TABLE_FILES):
        if metric != "toxicity":
            raise InputError(f"{source} holds scores of one metric; --metric chooses between those of a study")
        if scorer is not None:
            raise InputError("--scorer is for studies; a file holds the scores of one scorer")
        return None, read_head_scores(source, model=model, n_layers=n_layers)
    if model is not None or n_layers is not None:
        raise InputError("--model and --n-layers are for files of head scores; a study knows its model")
    study = _study(source)
    return study, study.scores(scorer, metric=metric)


def _one_axis(table: HeadScores, axis: str | None) -> str:
    if axis is None and len(table.axes) != 1:
        raise InputError(f"several axes were scored, choose one with --axis: {', '.join(table.axes)}")
    return table.known_axis(axis or table.axes[0])


def _select(table: HeadScores, axis: str | None, gamma: float, alpha: float, method: str, seed: int) -> Selection:
    from .rules import RULES
    from .selection import select_heads

    if axis is None and method in RULES and RULES[method].uses_axis:
        axis = _one_axis(table, axis)
    return select_heads(table, method, axis=axis, gamma=gamma, alpha=alpha, seed=seed)


def _write_table(table: HeadScores, to: Path) -> None:
    if to.suffix not in (".csv", ".parquet"):
        raise InputError(f"{to}: head scores are written to .csv or .parquet files")
    table.to_csv(to) if to.suffix == ".csv" else table.to_parquet(to)


def _configured(study: Study, path: Path) -> tuple[tuple[Head, ...], str | None]:
    """The pruned heads and the axis of a configuration that fits the study's model."""
    from .config import PruningConfig

    made = PruningConfig.load(path)
    theirs, ours = (made.model.n_layers, made.model.heads_per_layer), (study.n_layers, study.heads_per_layer)
    if theirs != ours:
        raise InputError(
            f"{path} is for {theirs[0]} layers × {theirs[1]} heads, the model of study '{study.name}' has {ours[0]} × "
            f"{ours[1]}; give the study of the same model"
        )
    return made.pruned, made.method.axis


def _measure(study: Study, lm: LanguageModel, pruned: Sequence[Head], axes: Sequence[str], split: str) -> Evaluation:
    """Evaluate to the end, with progress; the app shares what was measured."""
    from .evaluation import evaluate_study
    from .progress import StageClock
    from .store import EvaluationStore

    store = EvaluationStore(study.folder.parent)
    with ProgressReport() as progress:
        clock = StageClock(f"evaluating on {split}", 100, "%", progress)
        for result in evaluate_study(study, lm, pruned, axes, split=split, store=store):
            clock.step(int(100 * result.fraction_done) - clock.done)
    return result
