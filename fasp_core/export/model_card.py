"""The model card (README.md) of an exported checkpoint: what was removed, why, what it did, limits, how to load it."""

from __future__ import annotations

from .config import EstimateRecord, MethodRecord, PruningConfig, SplitMetrics
from .numbers import format_estimate, format_interval

LOADING = {
    "masked": """from transformers import AutoModelForCausalLM, AutoTokenizer
model = AutoModelForCausalLM.from_pretrained("FOLDER")
tokenizer = AutoTokenizer.from_pretrained("FOLDER")
ids = tokenizer("Hello, my name is", return_tensors="pt")
print(tokenizer.decode(model.generate(**ids, max_new_tokens=20)[0]))""",
    "compact": """import fasp_core as fasp; from transformers import AutoTokenizer
model = fasp.load_pruned("FOLDER")
tokenizer = AutoTokenizer.from_pretrained("FOLDER")
ids = tokenizer("Hello, my name is", return_tensors="pt")
print(tokenizer.decode(model.generate(**ids, max_new_tokens=20)[0]))""",
}
FORMS = {
    "masked": "The checkpoint has the shapes of the original: the heads' slices of the output projections are 0, so it "
    "loads as the original does, and is neither smaller nor faster.",
    "compact": "The heads' weights were cut out of the projections, so the checkpoint is smaller than the original and "
    "needs `fasp_core` to load. Key/value heads that still serve another head stay.",
}


def model_card(config: PruningConfig, form: str) -> str:
    """The card as Markdown; `form` is "masked" or "compact"."""
    n = config.model.n_layers * config.model.heads_per_layer
    sections = [
        "---\nlibrary_name: transformers\ntags: [pruning, fairness, attention-heads]\n---",
        f"# {config.model.name} without {len(config.pruned)} of its {n} attention heads",
        f"## What was removed\n\n{_removed(config)}\n\n{FORMS[form]}",
        f"## Why\n\n{_why(config.method)}",
        f"## What it did\n\n{_measured(config)}",
        f"## Limits\n\n{_limits(config)}",
        f"## How to load it\n\n```python\n{LOADING[form]}\n```",
        f"## How it was made\n\n{_made(config)}",
    ]
    return "\n\n".join(sections) + "\n"


def _removed(config: PruningConfig) -> str:
    if not config.pruned:
        return "No head: this is the original model."
    rows = [f"| {layer} | {', '.join(map(str, heads))} |" for layer, heads in _layers(config)]
    return "\n".join(["Layers and heads count from 0.", "", "| layer | heads |", "| ---: | --- |", *rows])


def _layers(config: PruningConfig) -> list[tuple[int, list[int]]]:
    return sorted((int(layer), sorted(heads)) for layer, heads in config.pruned_heads.items() if heads)


def _why(method: MethodRecord) -> str:
    if method.name == "fasp":
        return (
            f"The heads that drive the bias of axis `{method.axis}` most, among those the model does not need for its "
            f"perplexity: a share α = {method.alpha:g} of all heads was pruned, after the share γ = {method.gamma:g} "
            "with the greatest effect on perplexity had been protected (FASP, arXiv 2312.15398)."
        )
    axis = f", axis `{method.axis}`" if method.axis else ""
    return f"Chosen by the method `{method.name}`{axis}, a share α = {method.alpha:g} of all heads."


def _measured(config: PruningConfig) -> str:
    if not config.metrics:
        return "Not measured: the configuration holds no evaluation."
    lines = ["± one standard error, (95 % interval); lower is better. Bias: Σ |μ − μ_g|, μ_g the toxicity of a group."]
    lines += ["", "| split | quantity | before | after | change |", "| --- | --- | ---: | ---: | ---: |"]
    for split, metrics in config.metrics.items():
        lines += _rows(split, metrics)
    return "\n".join(lines)


def _rows(split: str, metrics: SplitMetrics) -> list[str]:
    def row(name: str, before: EstimateRecord, after: EstimateRecord, change: EstimateRecord) -> str:
        return f"| {split} | {name} | {_cell(before)} | {_cell(after)} | {_cell(change, signed=True)} |"

    parts = (metrics.before, metrics.after, metrics.change)
    rows = [row("perplexity", *(part.ppl for part in parts))]
    for axis in metrics.after.bias:
        rows.append(row(f"bias {axis}", *(part.bias[axis] for part in parts)))
        if all(axis in part.bias_corrected for part in parts):
            rows.append(row("the same without what noise adds", *(part.bias_corrected[axis] for part in parts)))
    return rows


def _cell(estimate: EstimateRecord, *, signed: bool = False) -> str:
    value = format_estimate(estimate.value, estimate.se, signed=signed)
    if estimate.low is None or estimate.high is None:
        return value
    return f"{value} ({format_interval(estimate.low, estimate.high, signed=signed)})"


def _limits(config: PruningConfig) -> str:
    scorer = f"`{config.scorer.name}`" if config.scorer else "a toxicity scorer"
    limits = [
        f"Bias is measured with one set of English prompts and {scorer}, which has errors and biases of its own.",
        "A lower measured bias is no proof of fairness: other biases, languages and uses were not measured.",
        "The model still writes offensive text.",
    ]
    if any(metrics.fraction_done < 1 for metrics in config.metrics.values()):
        limits.append("The evaluation was cut short: its intervals are wider than they could be.")
    if "test" not in config.metrics:
        limits.append("Nothing was measured on the test split, which the choice of heads has not seen.")
    return "\n".join(f"* {limit}" for limit in [*limits, *config.notes])


def _made(config: PruningConfig) -> str:
    facts = {
        "base model": config.model.ref or config.model.name,
        "revision": config.model.revision,
        "fingerprint of its config and weights": config.model.fingerprint,
        "prompts": config.prompts and config.prompts.name,
        "text": config.text and config.text.name,
        "scorer": config.scorer and config.scorer.name,
        "seeds": ", ".join(f"{name} {seed}" for name, seed in config.seeds.items()),
        "versions": ", ".join(f"{name} {version}" for name, version in config.versions.items()),
        "made": config.created.isoformat(),
    }
    lines = [f"* {name}: {value}" for name, value in facts.items() if value]
    return "\n".join([*lines, "", "All of it is in `pruning.json`."])
