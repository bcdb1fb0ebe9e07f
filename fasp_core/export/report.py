"""A choice of heads as one HTML file: settings, results with intervals, their reliability, the method.

It opens offline: styles and pictures are inside, there is no script, and a content policy forbids loading anything.
The words and the markup are in templates/report.html, which escapes whatever comes from files or people.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from fasp_core.evaluation.failures import failure_signatures
from fasp_core.evaluation.result import Evaluation
from fasp_core.export.pruning_config import PruningConfig
from fasp_core.export.rendering import render
from fasp_core.export.report_svg import intervals_svg, selection_svg
from fasp_core.export.scorecard_rows import HEADER, scorecard_tables
from fasp_core.head import heads_by_layer
from fasp_core.selection.head_scores import HeadScores
from fasp_core.selection.select_heads import BY_HAND, Selection
from fasp_core.stats.estimate import Estimate
from fasp_core.stats.target import MEAN_TOXICITY
from fasp_core.words.captions import change_verdict, describe_reliability, measured_size, selection_summary
from fasp_core.words.numbers import (
    BY,
    GROUP_MEANS,
    UNITS,
    axis_label,
    bias_label,
    bias_text,
    format_estimate,
    format_fixed,
    format_interval,
    sentence_start,
)

TEST = "test prompts, which played no part in the choice"
VALID = "valid prompts, on which heads are chosen: exploratory"


def html_report(
    config: PruningConfig, selection: Selection, evaluations: Sequence[Evaluation], scores: HeadScores
) -> str:
    """The report of one selection; `scores` chose it; `evaluations` holds at most one per split."""
    n_heads = selection.n_layers * selection.heads_per_layer
    summary = selection_summary(len(selection.pruned), len(selection.protected), n_heads)
    title = f"{config.model.name} without {len(selection.pruned)} of its {n_heads} attention heads"
    return render(
        "report.html",
        title=title,
        made=_made(config),
        choice=" ".join(filter(None, (_choice(selection), config.chosen_by()))),
        compensation=config.compensation and config.compensation.described(),
        map=Markup(selection_svg(selection)),
        summary=summary,
        layers=heads_by_layer(selection.pruned).items(),
        trust=_trust(selection, scores),
        results=[_measured(evaluation, selection.axis, scores.meta.metric or "toxicity") for evaluation in evaluations],
        scorecards=scorecard_tables(config.scorecard),
        header=HEADER,
        notes=config.notes,
        facts=_facts(config),
    )


def _made(config: PruningConfig) -> str:
    return f"Made {config.created:%Y-%m-%d %H:%M} UTC. Layers and heads count from 0."


def _choice(selection: Selection) -> str:
    about = f" for the axis {axis_label(selection.axis)}" if selection.axis else ""
    if selection.metric and selection.axis != MEAN_TOXICITY:
        about += f", {BY[selection.metric]}"
    if selection.method == BY_HAND:
        start = f", starting from a rule that protects a share γ = {selection.gamma:g} of all heads"
        return f"Chosen by hand{about}{start if selection.gamma else ''}."
    seed = f", seed {selection.seed}" if selection.seed is not None else ""
    weights = ""
    if selection.weights:
        weights = ", weights " + ", ".join(f"{axis_label(axis)} {weight:g}" for axis, weight in selection.weights)
    shares = f"γ = {selection.gamma:g}, α = {selection.alpha:g}"
    return f"Method {selection.method}{about}: {shares}{seed}{weights}."


def _trust(selection: Selection, scores: HeadScores) -> str:
    reliability = scores.reliability(selection.axis) if selection.axis else None
    number = (
        "" if reliability is None else f"Reliability of the order of heads by z_bias: {format_fixed(reliability, 2)}. "
    )
    return number + describe_reliability(reliability)


def _measured(evaluation: Evaluation, axis: str | None, metric: str) -> dict[str, Any]:
    """What the template says of one evaluation; heads were chosen for `axis` by `metric`."""
    split = TEST if evaluation.split == "test" else VALID
    whole = "" if evaluation.done else f"{100 * evaluation.fraction_done:.0f} %"
    parts = (evaluation.before, evaluation.after, evaluation.change)
    rows = [("perplexity", tuple(part.ppl for part in parts), (0.0, math.inf))]
    measured = [(name, by) for by in BY for name in evaluation.after.axes_by(by)]
    measured.sort(key=lambda one: (one[1] != metric, one[0] != axis, *one))
    for name, by in measured:
        biases = [part.axes_by(by)[name] for part in parts]
        rows.append((bias_label(name, by), tuple(each.bias for each in biases), (0.0, math.inf)))
        corrected = tuple(each.corrected for each in biases)
        if all(math.isfinite(estimate.value) for estimate in corrected):
            rows.append(("the same, noise-corrected", corrected, (-math.inf, math.inf)))
    rows += [
        (
            "words in a continuation" if name == "length" else name.replace("_", " "),
            tuple(part.degeneration[name] for part in parts),
            (0.0, math.inf if name == "length" else 1.0),
        )
        for name in evaluation.after.degeneration
    ]
    verdicts = [change_verdict("Perplexity", evaluation.change.ppl)]
    verdicts += [
        change_verdict(sentence_start(bias_text(name, by)), evaluation.change.bias_by(by)[name], UNITS[by])
        for name, by in measured
    ]
    shown, by = measured[0] if measured else (axis or "", metric)
    signs = failure_signatures(evaluation, axis=shown, metric=by)
    intervals = {
        of: [
            (axis_label(name), evaluation.before.bias_by(of)[name], evaluation.after.bias_by(of)[name])
            for name, m in measured
            if m == of
        ]
        for of in dict.fromkeys(m for _, m in measured)
    }
    before, after = (part.axes_by(by)[shown].groups if measured else {} for part in parts[:2])
    groups = [(group.replace("_", " "), before[group], after[group]) for group in before]
    return {
        "split": split,
        "size": measured_size(evaluation.n_texts, evaluation.n_readings, evaluation.n_windows),
        "measured": whole,
        "signs": signs,
        "rows": [
            (name, [_cell(before, possible), _cell(after, possible), _cell(change)])
            for name, (before, after, change), possible in rows
        ],
        "verdicts": " ".join(verdicts),
        "biases": [
            (BY[of], Markup(intervals_svg(rows, f"Bias of each axis {BY[of]}, before and after")))
            for of, rows in intervals.items()
        ],
        "axis": axis_label(shown).lower(),
        "quantity": GROUP_MEANS[by],
        "groups": Markup(intervals_svg(groups, f"{GROUP_MEANS[by]} of each group, before and after"))
        if groups
        else None,
    }


def _cell(estimate: Estimate, possible: tuple[float, float] | None = None) -> str:
    """A number with its error and its interval, cut to the `possible` values; without these it is a change."""
    signed = possible is None
    interval = format_interval(*estimate.within(*possible or (-math.inf, math.inf)), signed=signed)
    return f"{format_estimate(estimate.value, estimate.se, signed=signed)} ({interval})"


def _facts(config: PruningConfig) -> list[tuple[str, str]]:
    made = {part: getattr(config, part) for part in ("prompts", "text", "scorer")}
    facts = {
        "model": config.model.ref or config.model.name,
        "fingerprint of config and weights": config.model.fingerprint,
        **{part: f"{with_.name} ({with_.fingerprint})" for part, with_ in made.items() if with_},
        "seeds": ", ".join(f"{name} {seed}" for name, seed in config.seeds.items()),
        "versions": ", ".join(f"{name} {version}" for name, version in config.versions.items()),
        "arXiv": "2312.15398",
    }
    return [(name, value) for name, value in facts.items() if value]
