"""The second measure of bias on the command line: the option `--metric`, and evaluating by log-odds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from .cli_output import print_heads, print_json, print_table
from .numbers import format_estimate, format_interval
from .terminal import ProgressReport

if TYPE_CHECKING:
    from .agreement import Agreement
    from .likelihood_evaluation import OddsChange
    from .models import LanguageModel
    from .selection import Head
    from .study import Study

Metric = Annotated[Literal["toxicity", "likelihood"], typer.Option(
    help="What bias is measured by: the toxicity of sampled continuations, or the log-odds of toxic and benign ones.",
)]  # fmt: skip
Metrics = Annotated[str, typer.Option(
    "--metric", metavar="METRIC", help="What bias is measured by: toxicity (of sampled continuations), likelihood (the "
    "log-odds of toxic and benign ones: nothing is sampled), or both, with a comma.",
)]  # fmt: skip


def study_agreement(study: Study | None, axis: str, *, gamma: float = 0.3, alpha: float = 0.1) -> Agreement | None:
    """How far the two measures agree about an axis; None where a study does not have both."""
    from .agreement import metric_agreement

    if study is None or len(study.metrics) < 2:
        return None
    tables = [study.scores(metric=metric) for metric in study.metrics]
    if not all(axis in table.axes for table in tables):
        return None
    return metric_agreement(*tables, axis=axis, gamma=gamma, alpha=alpha)


def print_agreement(agreement: Agreement | None) -> None:
    """One line, where there is an agreement to tell of."""
    if agreement is not None:
        print(f"agreement (gamma {agreement.gamma:g}, alpha {agreement.alpha:g}): {agreement.describe()}")


def evaluate_by_likelihood(
    study: Study, lm: LanguageModel, pruned: Sequence[Head], axes: Sequence[str], split: str, *, as_json: bool
) -> None:
    """Measure and print what pruning does to the bias of log-odds, axis by axis."""
    from .likelihood_evaluation import evaluate_likelihood
    from .odds import study_pairs

    prompts, pairs = study.prompts, study_pairs(study)
    with ProgressReport() as progress:
        found = [
            evaluate_likelihood(lm, pruned, axis, prompts=prompts, split=split, pairs=pairs, progress=progress)
            for axis in axes
        ]
    if as_json:
        print_json({
            "study": study.name, "metric": "likelihood", "unit": "nats", "split": split, "pruned": pruned,
            "bias": [each.to_dict() for each in found],
        })  # fmt: skip
        return
    counts = f"{found[0].n_prompts} prompts per axis and {found[0].n_pairs} pairs"
    print_heads(pruned, f"{len(pruned)} heads pruned; log-odds, in nats, of {counts}, on {split}")
    rows = [row for each in found for row in _rows(each)]
    print_table(("", "before", "after", "change (95 % interval)"), rows)


def _rows(found: OddsChange) -> list[tuple[str, ...]]:
    whole = {"before": found.before, "after": found.after, "change": found.change}
    rows = []
    for name, parts in ((f"bias {found.axis}", whole), *((f"  {g}", found.groups[g]) for g in found.groups)):
        before, after = (format_estimate(parts[when].value, parts[when].se) for when in ("before", "after"))
        change = parts["change"]
        interval = format_interval(change.low, change.high, signed=True)
        rows.append((name, before, after, f"{format_estimate(change.value, change.se, signed=True)} ({interval})"))
    return rows
