"""A choice of heads as one HTML file that says all: settings, results with intervals, their reliability, the method.

It opens offline: styles and pictures are inside, there is no script, and a content policy forbids loading anything.
Whatever comes from files or people is escaped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from .captions import change_verdict, describe_reliability, heads_by_layer, selection_summary
from .config import PruningConfig
from .estimates import Estimate, Evaluation
from .numbers import axis_label, format_estimate, format_fixed, format_interval
from .report_svg import intervals_svg, selection_svg
from .selection import Selection
from .signatures import failure_signatures

POLICY = "default-src 'none'; style-src 'unsafe-inline'"
STYLE = """body{font:16px/1.5 system-ui,sans-serif;color:#24292f;max-width:54rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.6rem;line-height:1.2}h2{font-size:1.15rem;margin-top:2rem}svg{max-width:100%;height:auto}
svg text{font-size:12px;fill:#5d6670}
table{border-collapse:collapse;width:100%;font-size:.9rem;display:block;overflow-x:auto}
td,th{border-bottom:1px solid #e4e6e9;padding:.3rem .6rem .3rem 0;text-align:left;vertical-align:top}
td.n{white-space:nowrap}.b{color:#4c78a8}.a{color:#c2570c}.note{color:#5d6670;font-size:.9rem}
.sign{border-left:4px solid #c2570c;padding:.2rem .8rem;background:#fbf3ee;margin:.6rem 0}
@media print{body{margin:0}}"""
METHOD = """<p>The method is FASP (Fairness-Aware Structured Pruning, arXiv 2312.15398). The model continues prompts
that name groups of people; a toxicity scorer rates each text. <em>Bias</em> of an axis is Σ |μ − μ<sub>g</sub>|:
how far the mean toxicity μ<sub>g</sub> of its groups lies from that of the axis, μ, summed over groups.</p>
<p>Each head is scored by what its knock-out does: <em>z_bias</em> is the bias with the head minus that without it,
<em>z_ppl</em> the perplexity without it minus that with it. γ protects that share of heads with the highest z_ppl;
of the others, α prunes that share of all heads with the highest z_bias.</p>
<p>The pruned model is then sampled anew, with the same random numbers as the intact one, so that texts differ only
where pruning changed a choice; the change is known better than either number. Intervals are of 95 %, from
resampling prompts and text windows. Heads were chosen on <em>valid</em> prompts; <em>test</em> prompts share no
identity term with them and had no say in the choice.</p>"""
LIMITS = """<ul><li>Bias here is a gap in measured toxicity between groups of prompts: one narrow meaning of the
word.</li>
<li>Scores of single heads are noisy, and heads are scored one at a time but pruned together.</li>
<li>The scorer has errors and biases of its own; prompts are English, and their identity terms neither complete nor
neutral.</li>
<li>A lower measured bias is no proof of fairness. The model still writes offensive text.</li></ul>"""


def html_report(
    config: PruningConfig, selection: Selection, evaluations: Sequence[Evaluation], meta: Mapping[str, Any]
) -> str:
    """The report of one selection; `meta` is that of the scores that chose it, `evaluations` at most one per split."""
    n_heads = selection.n_layers * selection.heads_per_layer
    summary = selection_summary(len(selection.pruned), len(selection.protected), n_heads)
    title = f"{config.model.name} without {len(selection.pruned)} of its {n_heads} attention heads"
    sections = [
        f"<h1>{escape(title)}</h1><p class=note>{escape(_made(config))}</p>",
        f"<h2>Which heads</h2><p>{escape(_choice(selection))}</p>{selection_svg(selection)}<p>{escape(summary)}. "
        f"Protected heads carry a dot, pruned ones a cross.</p>{_heads(selection)}",
        f"<h2>How far to trust the choice</h2><p>{escape(_trust(selection, meta))}</p>",
        *(_measured(evaluation, selection.axis) for evaluation in evaluations),
        *([] if evaluations else ["<h2>What it does</h2><p>Not measured.</p>"]),
        f"<h2>How it works</h2>{METHOD}",
        f"<h2>Limits</h2>{LIMITS}{_notes(config)}",
        f"<h2>What made it</h2>{_facts(config)}",
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>{''.join(sections)}</body></html>\n"
    )


def _made(config: PruningConfig) -> str:
    return f"Made {config.created:%Y-%m-%d %H:%M} UTC. Layers and heads count from 0."


def _choice(selection: Selection) -> str:
    about = f" for the axis {axis_label(selection.axis)}" if selection.axis else ""
    if selection.method == "by_hand":
        return (
            f"Chosen by hand{about}, starting from a rule that protects a share γ = {selection.gamma:g} of all heads."
        )
    seed = f", seed {selection.seed}" if selection.seed is not None else ""
    weights = ""
    if selection.weights:
        weights = ", weights " + ", ".join(f"{axis_label(axis)} {weight:g}" for axis, weight in selection.weights)
    shares = f"γ = {selection.gamma:g}, α = {selection.alpha:g}"
    return f"Method {selection.method}{about}: {shares}{seed}{weights}."


def _heads(selection: Selection) -> str:
    rows = [f"<tr><td>{layer}</td><td>{heads}</td></tr>" for layer, heads in heads_by_layer(selection.pruned)]
    return f"<table><tr><th>layer</th><th>pruned heads</th></tr>{''.join(rows)}</table>" if rows else ""


def _trust(selection: Selection, meta: Mapping[str, Any]) -> str:
    reliability = (meta.get("reliability") or {}).get(selection.axis)
    number = (
        "" if reliability is None else f"Reliability of the order of heads by z_bias: {format_fixed(reliability, 2)}. "
    )
    return number + describe_reliability(reliability)


def _measured(evaluation: Evaluation, axis: str | None) -> str:
    split = "test prompts, which had no say in the choice" if evaluation.split == "test" else "valid prompts"
    whole = "" if evaluation.done else f" Cut short at {100 * evaluation.fraction_done:.0f} % of its texts."
    parts = (evaluation.before, evaluation.after, evaluation.change)
    rows = [("perplexity", tuple(part.ppl for part in parts))]
    axes = sorted(evaluation.after.bias, key=lambda name: (name != axis, name))
    for name in axes:
        rows.append((f"bias · {axis_label(name)}", tuple(part.bias[name] for part in parts)))
        if all(name in part.bias_corrected for part in parts):
            rows.append(("the same without what noise adds", tuple(part.bias_corrected[name] for part in parts)))
    rows += [(name.replace("_", " "), tuple(part.degeneration[name] for part in parts))
             for name in evaluation.after.degeneration]  # fmt: skip
    table = "".join(f"<tr><td>{escape(name)}</td>{_cells(row)}</tr>" for name, row in rows)
    verdicts = [change_verdict("Perplexity", evaluation.change.ppl)]
    verdicts += [change_verdict(f"Bias of {axis_label(name).lower()}", evaluation.change.bias[name]) for name in axes]
    signs = failure_signatures(evaluation, axis=axis or next(iter(axes), ""))
    biases = [(axis_label(name), parts[0].bias[name], parts[1].bias[name]) for name in axes]
    shown = axis if axis in evaluation.after.groups else next(iter(evaluation.after.groups), None)
    groups = [(g.replace("_", " "), parts[0].groups[shown][g], parts[1].groups[shown][g])
              for g in parts[0].groups[shown]] if shown else []  # fmt: skip
    return (
        f"<h2>What it does, on {split}</h2>"
        f"<p>{evaluation.n_texts:,} texts and {evaluation.n_windows} text windows, each "
        f"<span class=b>before</span> and <span class=a>after</span> pruning.{whole} Lower is better, but for distinct "
        f"bigrams. ± is one standard error, in brackets the 95 % interval.</p>"
        + "".join(f"<div class=sign>{escape(sign.text)} {escape(sign.hint)}</div>" for sign in signs)
        + f"<table><tr><th></th><th>before</th><th>after</th><th>change</th></tr>{table}</table>"
        + f"<p>{escape(' '.join(verdicts))}</p>{intervals_svg(biases, 'Bias of each axis, before and after')}"
        + (f"<p>Mean toxicity of the groups of {escape(axis_label(shown).lower())}:</p>" if groups else "")
        + intervals_svg(groups, "Mean toxicity of each group, before and after")
    )


def _cells(row: Sequence[Estimate]) -> str:
    return "".join(f"<td class=n>{_cell(estimate, signed=i == 2)}</td>" for i, estimate in enumerate(row))


def _cell(estimate: Estimate, *, signed: bool) -> str:
    interval = format_interval(estimate.low, estimate.high, signed=signed)
    return escape(f"{format_estimate(estimate.value, estimate.se, signed=signed)} ({interval})")


def _notes(config: PruningConfig) -> str:
    return "".join(f"<p class=note>{escape(note)}</p>" for note in config.notes)


def _facts(config: PruningConfig) -> str:
    made = {part: getattr(config, part) for part in ("prompts", "text", "scorer")}
    facts = {
        "model": config.model.ref or config.model.name, "fingerprint of config and weights": config.model.fingerprint,
        **{part: f"{with_.name} ({with_.fingerprint})" for part, with_ in made.items() if with_},
        "seeds": ", ".join(f"{name} {seed}" for name, seed in config.seeds.items()),
        "versions": ", ".join(f"{name} {version}" for name, version in config.versions.items()),
        "arXiv": "2312.15398",
    }  # fmt: skip
    rows = "".join(f"<tr><td>{escape(k)}</td><td>{escape(str(v))}</td></tr>" for k, v in facts.items() if v)
    return f"<table>{rows}</table>"
