"""Every argument and option of the commands, each with its one help text; a command's file says which it takes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

TABLE_FILES = (".csv", ".json", ".parquet")


def split_names(text: str) -> list[str]:
    """The names in a list with commas, each once."""
    return list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


# What a command works on.

StudyName = Annotated[str, typer.Argument(metavar="STUDY", help="Name of a study (see: studies).")]
Source = Annotated[
    str,
    typer.Argument(
        metavar="STUDY", help="Name of a study (see: studies), or a file of head scores (.csv, .json, .parquet)."
    ),
]
ExportSource = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE", help="A study, a file of head scores (.csv, .json, .parquet) or a configuration (.json)."
    ),
]
ModelRef = Annotated[
    str,
    typer.Argument(
        metavar="MODEL", help='"default", a hub id such as gpt2, a folder with safetensors, or a .gguf file.'
    ),
]
ScoreFile = Annotated[
    Path,
    typer.Argument(metavar="FILE", help="Published head scores (.csv, .json), or a table that `scores --to` wrote."),
]
CheckpointFolder = Annotated[Path, typer.Argument(metavar="DIR", help="A masked or compact checkpoint (see: export).")]
PromptSource = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="builtin, a folder of HolisticBias v1.1, a social_biases_valid.json of the reference repository, or a "
        ".csv with the columns prompt, axis, group.",
    ),
]
ScorerToGet = Annotated[str, typer.Argument(metavar="SCORER", help="detoxify:unbiased, or another of Detoxify's.")]
FileModel = Annotated[str | None, typer.Option(help="Of a file of head scores: the model to read.")]
Layers = Annotated[
    int | None,
    typer.Option("--n-layers", help="Of a file of head scores: the model's layers, where they are not known."),
]

# How heads are chosen.

Axis = Annotated[
    str | None,
    typer.Option(
        help="The bias to prune for, or toxicity (the mean, whatever the group). Needed where several were scored."
    ),
]
Method = Annotated[
    str,
    typer.Option(
        help="fasp, fasp_robust, fasp_joint, fasp_multi, fasp_iterative, bias_only, ppl_only, magnitude_l2, "
        "mask_gradient_l2, activation_difference, random."
    ),
]
Gamma = Annotated[float, typer.Option(help="Share of heads to protect: those perplexity needs most (methods fasp…).")]
Alpha = Annotated[float, typer.Option(help="Share of heads to prune.")]
Seed = Annotated[int, typer.Option(help="Seed of method random.")]
Heads = Annotated[str | None, typer.Option(help="Prune these heads instead, as layer.head: 0.3,5.1")]
ConfigFile = Annotated[Path | None, typer.Option(help="Prune the heads of an exported configuration instead.")]

Compensation = Annotated[
    Literal["none", "mean", "least_squares"] | None,
    typer.Option(
        "--compensate", help="What takes the pruned heads' place [default: none; of a configuration its own]."
    ),
]
AlsoCompensated = Annotated[
    bool,
    typer.Option("--compensate", help="Measure every set a second time, with the remaining heads taking over."),
]

Compensated = Annotated[
    bool,
    typer.Option(
        "--compensated",
        help="Also score heads under compensation, by likelihood: what is lost once the layer's other heads take over "
        "by least squares. As much again of text and readings.",
    ),
]

# What is measured, and with what.

MeasuredAxes = Annotated[
    str | None, typer.Option(help="Biases to measure, with commas, or toxicity [default: the axis].")
]
ScoredAxes = Annotated[str, typer.Option(help="The biases to measure, with commas: gender_and_sex,religion.")]
Split = Annotated[Literal["valid", "test"], typer.Option(help="Explore on valid, make claims on test.")]
ScoredMetric = Annotated[
    Literal["toxicity", "likelihood"] | None,
    typer.Option(
        help="What bias is measured by: the toxicity of sampled continuations, or the log-odds of toxic and harmless "
        "ones [default: by which the axis's bias is clearest; with --scorer toxicity]."
    ),
]
CHOSEN_BY = (
    "What bias is measured by, for choosing heads and for measuring them: the toxicity of sampled continuations, or "
    "the log-odds of toxic and harmless ones"
)
AnyMetric = Annotated[
    Literal["toxicity", "likelihood"] | None,
    typer.Option(
        help=f"{CHOSEN_BY} [default: chosen by the one by which the axis's bias is clearest, measured by all that it "
        "was scored by]."
    ),
]
Metrics = Annotated[
    str | None,
    typer.Option(
        "--metric",
        metavar="METRIC",
        help="What bias is measured by: toxicity (of sampled continuations), likelihood (the log-odds of toxic and "
        "harmless ones: nothing is sampled), or both, with a comma [default: both; with --budget paper toxicity].",
    ),
]
Prompts = Annotated[
    str | None,
    typer.Option(
        "--prompts",
        help="Prompts: builtin, a HolisticBias folder, a social_biases_valid.json or a .csv (see: prompts) [default: "
        "the study's own, or builtin].",
    ),
]
Text = Annotated[
    str | None,
    typer.Option(
        "--text",
        help="Text for perplexity: builtin, wikitext-2, a folder with valid.txt and test.txt, or a text file "
        "[default: the study's own, or builtin].",
    ),
]
ScorerRef = Annotated[
    str | None,
    typer.Option(
        "--scorer", help="What rates toxicity (see: scorers) [default: the study's own, or the best on this machine]."
    ),
]
Scored = Annotated[
    Literal["continuation", "text"] | None,
    typer.Option(
        help="What of a text is rated: the continuation, or the whole text with its prompt, as in the published recipe "
        "[default: the study's own; for a new study continuation, or text with --budget paper]."
    ),
]
NewScorer = Annotated[str, typer.Option("--scorer", help="What rates toxicity (see: scorers).")]
ScorerName = Annotated[
    str | None, typer.Option("--scorer", help="Scores by this one of the study's scorers [default: the first].")
]
Device = Annotated[str, typer.Option(help="Where the model runs: auto, cpu, cuda, cuda:N, or split (over all GPUs).")]
ScorerDevice = Annotated[str, typer.Option("--device", help="Of a neural scorer: auto, cpu, cuda or cuda:N.")]
ClusterAddress = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        metavar="ADDRESS",
        help="Measure on the workers of a Ray cluster, each with the model: local (this machine's cores or GPUs), auto "
        "(the cluster that this machine is part of) or ray://HOST:PORT (docs/scale.md).",
    ),
]
MostWorkers = Annotated[
    int | None,
    typer.Option("--workers", min=1, help="With --cluster: so many workers at most [default: all there is room for]."),
]
WorkerCores = Annotated[int, typer.Option(min=1, help="With --cluster: cores of each worker, where there is no GPU.")]
WorkerGpus = Annotated[
    int,
    typer.Option(min=1, help="With --cluster: GPUs of each worker; a model larger than one is laid over all of them."),
]
DType = Annotated[
    str,
    typer.Option(
        help="Number format of a new study's model: auto, float32, bfloat16 or float16. A study keeps its own."
    ),
]
ExportDType = Annotated[
    str,
    typer.Option(
        "--dtype",
        help="auto, float32, bfloat16 or float16, where the heads were chosen from a file of scores; else the model is "
        "opened as it was measured.",
    ),
]
CountedAxis = Annotated[str | None, typer.Option("--axis", help="Count the groups of this axis only.")]

# How much of it.

BudgetName = Annotated[
    Literal["quick", "standard", "paper"],
    typer.Option(
        "--budget",
        help="How much to measure: quick takes the default model about 10 minutes per axis on 2 cores; paper runs the "
        "published recipe as published.",
    ),
]
Minutes = Annotated[
    float | None,
    typer.Option(help="Instead of a budget: measure this long, where it settles most about which heads to prune."),
]
Reliability = Annotated[
    float | None,
    typer.Option(
        help="Instead of a budget: measure until the ranking is this reliable on every axis, by one of the metrics, "
        "such as 0.9."
    ),
]

WithScorecard = Annotated[
    bool,
    typer.Option(
        "--scorecard",
        help="Also read sentence pairs, facts and text: what else changed, measure by measure, better or worse.",
    ),
]
Sentences = Annotated[
    list[str] | None,
    typer.Option(
        help="With --scorecard: a file of sentence pairs as well (CrowS-Pairs, StereoSet, WinoBias or a .csv with "
        "sentence_more, sentence_less, axis); may be given several times."
    ),
]

Tasks = Annotated[
    str | None,
    typer.Option(
        metavar="NAMES",
        help="Also run tasks of the LM evaluation harness, with commas: lambada_openai,arc_easy. Needs lm-eval "
        "(requirements-lm-eval.txt); it fetches a task's data from the hub once.",
    ),
]
TasksFolder = Annotated[
    Path | None,
    typer.Option(
        help="With --tasks: a folder of task files (.yaml) of your own. They are read as plain data: no !function, no "
        "include, data as .jsonl, .csv, .parquet or .txt beside them."
    ),
]
Limit = Annotated[int | None, typer.Option(min=1, help="With --tasks: the first so many documents of each task.")]

# What is printed and written.

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Top = Annotated[int, typer.Option(min=0, help="How many heads to list; 0 lists all.")]
Sort = Annotated[Literal["bias", "ppl"], typer.Option(help="What to list the highest of first.")]
NewStudyName = Annotated[str | None, typer.Option("--name", help="Name of the study [default: that of the model].")]
TableFile = Annotated[Path | None, typer.Option("--to", help="Also write the whole table to a .csv or .parquet file.")]
ExportTo = Annotated[Path | None, typer.Option("--to", help="File or, for a model, folder [default: standard output].")]
Form = Annotated[
    Literal["config", "masked", "compact"],
    typer.Option(
        "--format", help="The choice as JSON, or the pruned model: masked loads anywhere, compact is smaller."
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace an earlier export.")]
Evaluated = Annotated[bool, typer.Option("--evaluate", help="Measure it first, on valid and test.")]
Base = Annotated[
    str | None, typer.Option(help="The model it was made from [default: the one its configuration names].")
]

# Of `import`.

ImportName = Annotated[
    str | None,
    typer.Option(
        "--name", help="Name of the study [default: that of the file, followed by the model of a .json file]."
    ),
]
ImportModel = Annotated[
    str | None,
    typer.Option("--model", help="The model to import [default: of a .json file, all of them, a study each]."),
]
ImportLayers = Annotated[int | None, typer.Option("--n-layers", help="The model's layers, where they are not known.")]
ImportForce = Annotated[bool, typer.Option("--force", help="Replace an earlier import of that name.")]

# Of `compare`.

ComparedBy = Annotated[
    Literal["toxicity", "likelihood"] | None,
    typer.Option(help=f"{CHOSEN_BY} [default: by which the axis's bias is clearest]."),
]
Methods = Annotated[
    str,
    typer.Option(
        help="Methods, with commas; all: every one (see: select), without fasp_iterative where it lacks the scores to "
        "begin with: by likelihood with least_squares those under compensation. It takes longest, as it scores heads "
        "again at every stage, for each gamma and compensation."
    ),
]
Compensations = Annotated[
    str,
    typer.Option(
        "--compensate",
        help="What takes the pruned heads' place, with commas: none, mean, least_squares. Every method is measured "
        "with each; with least_squares heads are chosen by scores under compensation, if the study has them.",
    ),
]
Alphas = Annotated[
    str,
    typer.Option(help="Shares of heads to prune: first:last:step, the last included, or a list with commas."),
]
Gammas = Annotated[str, typer.Option(help="Shares of heads to protect, written the same way.")]
Seeds = Annotated[
    int,
    typer.Option(
        min=1, help="How often to measure each, with other noise; method random chooses other heads each time."
    ),
]
ComparedAxes = Annotated[
    str | None, typer.Option("--axes", help="Biases to measure, with commas [default: all scored].")
]
ValidBlocks = Annotated[
    int,
    typer.Option(
        min=1,
        help="Size of a measurement on valid, where gamma is chosen: blocks of about 18 texts an axis, by likelihood "
        "of about 12 prompts.",
    ),
]
TestBlocks = Annotated[int, typer.Option(min=1, help="Size of a measurement on test.")]
PplLimit = Annotated[float, typer.Option(help="How much perplexity the chosen gamma may cost on valid, as a share.")]
PPL_HELP = "How much perplexity may rise, as a share of the intact model's: 0.05 is 5 %."
Budget = Annotated[float, typer.Option("--budget-ppl", "--ppl-limit", min=0, help=PPL_HELP)]
SelectionBudget = Annotated[
    float | None,
    typer.Option(
        "--budget-ppl",
        min=0,
        help=f"{PPL_HELP} In place of alpha: of fasp_iterative as measured at its stages; of fasp_joint as predicted "
        "by the sum of z_ppl, with alpha as a limit too.",
    ),
]
Iterative = Annotated[
    bool,
    typer.Option(
        "--iterative",
        help="First prune in stages (fasp_iterative) until the budget is used up, and measure that set too.",
    ),
]
Annealed = Annotated[
    Literal["sets", "scores"] | None,
    typer.Option(
        "--annealed",
        help="In place of the plain search, at equal cost: some sets are drawn at random, the others are found "
        "by simulated annealing on a surrogate fitted to measured sets; it begins from nothing (sets: after Attention "
        "Pruning), or from the scores of single heads (scores).",
    ),
]
SearchGamma = Annotated[
    float,
    typer.Option(
        "--gamma", help="With --iterative or --annealed: share of heads to protect, those perplexity needs most."
    ),
]
SearchedSets = Annotated[int, typer.Option("--sets", min=1, help="How many sets to measure at most.")]
Weights = Annotated[
    str | None, typer.Option(help="Of fasp_multi: axis=weight with commas [default: all scored axes alike].")
]
IterativeSamples = Annotated[
    int, typer.Option(min=1, help="Of fasp_iterative by toxicity: continuations that each stage scores heads on.")
]
IterativeReadings = Annotated[
    int, typer.Option(min=1, help="Of fasp_iterative by likelihood: readings that each stage scores heads on.")
]
IterativeStep = Annotated[float, typer.Option(help="Of fasp_iterative: share of all heads that a stage prunes.")]
IterativeGammas = Annotated[str | None, typer.Option(help="Of fasp_iterative: its gammas [default: all].")]
Pairs = Annotated[
    int | None,
    typer.Option(
        "--interactions",
        min=1,
        help="Instead, measure this many random pairs of heads: does removing both differ from the sum of each?",
    ),
]
PairsGamma = Annotated[
    float,
    typer.Option("--gamma", help="With --interactions: share of heads to leave out, those perplexity needs most."),
]

# Of `try`.

OwnPrompt = Annotated[str, typer.Option("--prompt", help="The beginning of a text, which both models continue.")]
PrunedHeads = Annotated[str, typer.Option("--heads", help="The heads to prune, as layer.head: 0.3,5.1")]
Draws = Annotated[int, typer.Option(min=1, max=20, help="How many continuations of each model.")]
ResultFile = Annotated[Path | None, typer.Option("--to", help="Also write the result to a .json file.")]

# Of `evidence`.

OneHead = Annotated[str, typer.Option("--head", help="The head, as layer.head: 5.1")]
Texts = Annotated[int, typer.Option(min=1, max=50, help="How many texts, those the head changes most.")]

# Of `app`.

Port = Annotated[
    int | None,
    typer.Option(min=1, max=65535, help="Where the app answers on this machine [default: 8501, or the next free one]."),
]
Address = Annotated[
    str,
    typer.Option(help="What the app listens on; 0.0.0.0 is every address of this machine. Needs --viewer or a login."),
]
HostNames = Annotated[
    list[str] | None,
    typer.Option(help="A further name under which browsers reach the app; may be given several times."),
]
Viewer = Annotated[
    bool,
    typer.Option("--viewer", help="For looking only: nothing is started but bounded evaluations, nothing is deleted."),
]
AppLog = Annotated[
    Literal["json"] | None,
    typer.Option("--log", help="Print what the app does, one line of JSON an event, on standard error."),
]
AppScorers = Annotated[
    list[str] | None,
    typer.Option(
        "--scorer",
        help="A scorer of your own, module:function, that the app may use; may be given several times.",
    ),
]
