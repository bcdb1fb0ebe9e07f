"""A measured effect on the page: perplexity and every axis, failure signatures, groups. Numbers in, widgets out."""

from __future__ import annotations

import math

import pandas as pd
import streamlit as st

from fasp_core.evaluation.failures import failure_signatures
from fasp_core.evaluation.result import Evaluation, Metrics
from fasp_core.evaluation.verdict import verdict
from fasp_core.figures import CHART_CONFIG, effect_intervals, group_bars
from fasp_core.selection.prediction import Prediction
from fasp_core.stats.estimate import Estimate
from fasp_core.stats.paired import AxisMetrics
from fasp_core.stats.target import MEAN_TOXICITY
from fasp_core.words.captions import change_verdict, describe_intact
from fasp_core.words.numbers import (
    BY,
    COUNTED,
    GROUP_MEANS,
    UNITS,
    bias_label,
    bias_word,
    format_estimate,
    format_interval,
    format_number,
    sentence_start,
)
from ui import words
from ui.columns import explained
from ui.text import plain
from ui.theme import dark
from ui.view import view

TEXT_MEASURES = {
    "repetition": "repeated word pairs in a text",
    "distinct_bigrams": "distinct word pairs",
    "length": "words in a text",
}


def draw_prediction(prediction: Prediction | None, axis: str, metric: str) -> None:
    """What single-head scores add up to, known before anything is measured; None where they cannot be added up."""
    with st.container(border=True, gap="small", key="card_predicted"):
        if prediction is None:
            st.caption(words.RELATIVE_SUM)
            return
        for name, predicted in (("Perplexity", prediction.ppl), (_bias_title(axis, metric), prediction.bias)):
            size = format_number(predicted.change, abs(predicted.change) / 5, signed=True)
            change = words.NOT_USABLE if predicted.impossible else size
            st.metric(f"{name}, predicted change", change, help=words.TERMS["predicted"])
        bias = bias_word(axis)
        beyond = [n for n, p in (("perplexity", prediction.ppl), (bias, prediction.bias)) if p.impossible]
        st.caption(words.PREDICTED_SUM + (f" {words.predicted_beyond(beyond)}" if beyond else ""))


def draw_effects(evaluation: Evaluation, axis: str, metric: str, *, brief: bool = False) -> None:
    """What was measured: the intact model once, the pruned one after it; `brief` leaves out groups and signatures.

    The bias of `axis` by `metric` comes first, the others as a table.
    """
    split = "test" if evaluation.split == "test" else "valid"
    st.caption(words.measured_on(evaluation), help=words.TERMS["split"])
    if evaluation.done and axis in evaluation.change.axes_by(metric):
        _verdict(evaluation, axis, metric)
    if not brief:
        _signatures(evaluation, axis, metric)
    before = evaluation.before
    intact = describe_intact(before.ppl, before.bias_by(metric).get(axis), split, metric)
    st.markdown(intact, help=f"{words.TERMS['perplexity']} {words.TERMS['bias']}")
    parts = (before, evaluation.after, evaluation.change)
    _card("Perplexity", tuple(part.ppl for part in parts), done=evaluation.done, key=f"perplexity_{split}")
    of_axis = [part.axes_by(metric).get(axis) for part in parts]
    if known := all(of_axis):
        _card(
            sentence_start(bias_word(axis)),
            tuple(each.bias for each in of_axis),
            done=evaluation.done,
            key=f"bias_{split}",
            title=_bias_title(axis, metric),
            unit=UNITS[metric],
            note=_noise_floor(*of_axis[:2]),
        )
    others = [(name, by) for by in BY for name in evaluation.after.axes_by(by) if (name, by) != (axis, metric)]
    if others or evaluation.after.degeneration:
        _others(parts, others)
    if known and not brief:
        _groups(metric, *(each.groups for each in of_axis), by="axis" if axis == MEAN_TOXICITY else "group")


def _bias_title(axis: str, metric: str) -> str:
    return plain(sentence_start(bias_label(axis, metric)))


def _verdict(evaluation: Evaluation, axis: str, metric: str) -> None:
    """What a finished measurement says, in one sentence."""
    found = verdict(evaluation, axis, metric, ppl_limit=view()["limit"])
    {"good": st.success, "bad": st.error, "open": st.info}[found.kind](found.text)


def _signatures(evaluation: Evaluation, axis: str, metric: str) -> None:
    """Failure signatures in words, each with the slider that may help."""
    for signature in failure_signatures(evaluation, axis=axis, metric=metric, ppl_limit=view()["limit"]):
        show = st.error if signature.sure else st.warning
        show(f"**{plain(signature.text)}** {plain(signature.hint)}")


def _card(
    name: str,
    parts: tuple[Estimate, Estimate, Estimate],
    *,
    done: bool,
    key: str,
    title: str | None = None,
    unit: str = "",
    note: str = "",
) -> None:
    """One metric of the pruned model, its change, its chart, and what can be said of it."""
    before, after, change = parts
    with st.container(border=True, gap="small", key=f"card_{key}"):
        st.metric(
            f"{title or name}, after pruning{'' if done else ', so far'}",
            format_number(after.value, after.se),
            delta=format_estimate(change.value, change.se, signed=True),
            delta_color=_colour(change) if done else "gray",
            delta_arrow="up" if change.value > 0 else "down" if change.value < 0 else "off",
            help=words.TERMS["after"],
        )
        st.plotly_chart(
            effect_intervals(before, after, lowest=0.0, complete=done, dark=dark()),
            theme=None,
            config=CHART_CONFIG,
            key=f"interval_{key}",
            alt=f"{name} before pruning: {format_interval(*before.within(0))}, after it: "
            f"{format_interval(*after.within(0))} (95 % intervals)",
        )
        st.markdown(change_verdict(name, change, unit))
        if note:
            st.caption(note)


def _colour(change: Estimate) -> str:
    """Green where it surely falls, red where it surely rises: lower is better."""
    return "green" if change.high < 0 else "red" if change.low > 0 else "gray"


def _noise_floor(before: AxisMetrics, after: AxisMetrics) -> str:
    """How much of the bias is noise, where the evaluation tells."""
    floor, corrected = before.floor, [before.corrected, after.corrected]
    if floor is None or not all(math.isfinite(estimate.value) for estimate in corrected):
        return ""
    texts = [format_estimate(estimate.value, estimate.se) for estimate in corrected]
    return (
        f"Without any difference between groups, noise alone would show a bias of {format_number(floor)}. "
        f"Corrected for it: {texts[0]} → {texts[1]}."
    )


def _others(parts: tuple[Metrics, Metrics, Metrics], others: list[tuple[str, str]]) -> None:
    """The other biases, by axis and metric, and how degenerate texts are, as one table."""
    rows = [
        (plain(bias_label(axis, metric)), tuple(part.bias_by(metric)[axis] for part in parts))
        for axis, metric in others
    ]
    rows += [
        (name, tuple(part.degeneration[key] for part in parts))
        for key, name in TEXT_MEASURES.items()
        if key in parts[1].degeneration
    ]
    st.markdown(f"**{words.OTHER_MEASURES}**", help=words.TERMS["significant"])
    st.table(
        pd.DataFrame(
            [
                {
                    "": name,
                    "before": format_estimate(before.value, before.se),
                    "after": format_estimate(after.value, after.se),
                    "change": format_estimate(change.value, change.se, signed=True),
                    "significant?": _significant(change),
                }
                for name, (before, after, change) in rows
            ]
        ),
        hide_index=True,
        alt="The other measures before and after pruning",
    )


def _significant(change: Estimate) -> str:
    """What the 95 % interval of a change says."""
    return "Yes, it falls" if change.high < 0 else "Yes, it rises" if change.low > 0 else "No"


def _groups(
    metric: str, before: dict[str, Estimate], after: dict[str, Estimate], change: dict[str, Estimate], *, by: str
) -> None:
    """The mean of each group, or axis, by the metric, as bars and as a table."""
    st.markdown(f"**{GROUP_MEANS[metric]} by {by}**", help=words.TERMS["nats" if UNITS[metric] else "toxicity"])
    st.plotly_chart(
        group_bars(before, after, metric, dark=dark()),
        theme=None,
        config=CHART_CONFIG,
        key="groups",
        alt=f"{GROUP_MEANS[metric]} of each {by} before and after pruning; the table below holds the numbers.",
    )
    with st.expander("Show as table"):
        columns = {"before": before, "after": after, "change": change}
        table = pd.DataFrame(
            {
                by: [group.replace("_", " ") for group in before],
                COUNTED[metric][1]: [estimate.n for estimate in after.values()],
                **{
                    name: [
                        format_estimate(estimates[g].value, estimates[g].se, signed=name == "change") for g in before
                    ]
                    for name, estimates in columns.items()
                },
            }
        )
        st.dataframe(table, hide_index=True, column_config=explained(table))
        st.caption(words.ONE_ERROR)
