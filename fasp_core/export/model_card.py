"""The model card (README.md) of an exported checkpoint: what was removed, why, what it did, limits, how to load it."""

from __future__ import annotations

from fasp_core.export.provenance import EstimateRecord, SplitMetrics
from fasp_core.export.pruning_config import PruningConfig
from fasp_core.export.rendering import render
from fasp_core.export.scorecard_rows import HEADER, scorecard_tables
from fasp_core.words.numbers import BY, format_estimate, format_interval

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


def model_card(config: PruningConfig, form: str) -> str:
    """The card as Markdown; `form` is "masked" or "compact". The words are in templates/model_card.md."""
    return render(
        "model_card.md",
        config=config,
        form=form,
        method=config.method,
        n_heads=config.model.n_layers * config.model.heads_per_layer,
        layers=sorted((int(layer), sorted(heads)) for layer, heads in config.pruned_heads.items() if heads),
        rows=[row for split, metrics in config.metrics.items() for row in _rows(split, metrics)],
        cut_short=any(metrics.fraction_done < 1 for metrics in config.metrics.values()),
        scorecards=scorecard_tables(config.scorecard),
        header=HEADER,
        loading=LOADING[form],
        facts=_facts(config),
    )


def _rows(split: str, metrics: SplitMetrics) -> list[tuple[str, ...]]:
    def row(name: str, before: EstimateRecord, after: EstimateRecord, change: EstimateRecord) -> tuple[str, ...]:
        return split, name, _cell(before), _cell(after), _cell(change, signed=True)

    split = split if split == "test" else f"{split}, exploratory"
    if metrics.fraction_done < 1:
        split = f"{split} ({100 * metrics.fraction_done:.0f} % measured)"
    parts = (metrics.before, metrics.after, metrics.change)
    rows = [row("perplexity", *(part.ppl for part in parts))]
    for same in zip(*(part.by_metric() for part in parts), strict=True):
        metric, biases = same[0][0], [record for _, record in same]
        for axis in biases[1].bias:
            rows.append(row(f"bias {axis}, {BY[metric]}", *(record.bias[axis] for record in biases)))
            if all(axis in record.bias_corrected for record in biases):
                corrected = (record.bias_corrected[axis] for record in biases)
                rows.append(row("the same, noise-corrected", *corrected))
    return rows


def _cell(estimate: EstimateRecord, *, signed: bool = False) -> str:
    value = format_estimate(estimate.value, estimate.se, signed=signed)
    if estimate.low is None or estimate.high is None:
        return value
    return f"{value} ({format_interval(estimate.low, estimate.high, signed=signed)})"


def _facts(config: PruningConfig) -> dict[str, str | None]:
    return {
        "base model": config.model.ref or config.model.name,
        "revision": config.model.revision,
        "fingerprint of its config and weights": config.model.fingerprint,
        "prompts": config.prompts.name if config.prompts else None,
        "text": config.text.name if config.text else None,
        "scorer": config.scorer.name if config.scorer else None,
        "seeds": ", ".join(f"{name} {seed}" for name, seed in config.seeds.items()),
        "versions": ", ".join(f"{name} {version}" for name, version in config.versions.items()),
        "made": config.created.isoformat(),
    }
