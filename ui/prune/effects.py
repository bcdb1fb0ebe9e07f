"""A measured effect on the page: perplexity and every axis, failure signatures, groups. Numbers in, widgets out."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from fasp_core.captions import change_verdict
from fasp_core.estimates import Estimate, Evaluation, Metrics
from fasp_core.figures import CHART_CONFIG, effect_intervals, group_bars
from fasp_core.numbers import MINUS, axis_label, format_estimate, format_interval, format_number
from fasp_core.signatures import failure_signatures
from fasp_core.summaries import Predicted, Prediction

from .parts import dark
from .state import view
from .text import plain

GOOD, BAD, UNCLEAR = "falls", "rises", "unclear"


def draw_prediction(prediction: Prediction, axis: str) -> None:
    """What single-head scores add up to, known before anything is measured."""
    with st.container(border=True, gap="small", key="card_predicted"):
        with st.container(horizontal=True, gap="medium"):
            for name, predicted in (("Perplexity", prediction.ppl), (f"Bias · {axis_label(axis)}", prediction.bias)):
                value, change = _predicted_texts(predicted)
                st.metric(f"{name}, predicted", value, change, delta_color="off", delta_arrow="off", width=230)
        st.caption(
            "The sum of the pruned heads' scores, each measured alone."
            + "".join(
                f" The scores add up to more {name} than there is: much of them is noise."
                for name, predicted in (("perplexity", prediction.ppl), ("bias", prediction.bias))
                if predicted.impossible
            )
        )


def draw_effects(evaluation: Evaluation, axis: str, *, brief: bool = False) -> None:
    """What was measured: `brief` leaves out groups and signatures."""
    split = "test" if evaluation.split == "test" else "valid"
    st.caption(
        f"{len(evaluation.pruned):,} heads pruned: measured on {evaluation.n_texts:,} texts, "
        f"{evaluation.n_windows} text windows · {split} prompts · intervals are 95\u00a0%"
    )
    if not brief:
        _signatures(evaluation, axis)
    parts = (evaluation.before, evaluation.after, evaluation.change)
    _card("Perplexity", tuple(part.ppl for part in parts), key=f"perplexity_{split}")
    if axis in evaluation.after.bias:
        _card("Bias", tuple(part.bias[axis] for part in parts), key=f"bias_{split}", title=f"Bias · {axis_label(axis)}",
              note=_noise_floor(evaluation.before, evaluation.after, axis))  # fmt: skip
    others = [name for name in evaluation.after.bias if name != axis]
    if others or evaluation.after.degeneration:
        _others(parts, others)
    if not brief and axis in evaluation.after.groups:
        _groups(*(part.groups[axis] for part in parts))


def _signatures(evaluation: Evaluation, axis: str) -> None:
    """Failure signatures in words, each with the slider that may help."""
    for signature in failure_signatures(evaluation, axis=axis, ppl_limit=view()["limit"]):
        show = st.error if signature.sure else st.warning
        show(f"**{signature.text}** {signature.hint}")


def _card(
    name: str, parts: tuple[Estimate, Estimate, Estimate], *, key: str, title: str | None = None, note: str = ""
) -> None:
    """One metric: before → after, the change, its chart, and what can be said of it."""
    before, after, change = parts
    with st.container(border=True, gap="small", key=f"card_{key}"):
        st.metric(
            title or name, f"{format_number(before.value, before.se)} → {format_number(after.value, after.se)}",
            delta=format_estimate(change.value, change.se, signed=True).replace(MINUS, "-"),
            delta_color="off" if not (change.high < 0 or change.low > 0) else "inverse",
        )  # fmt: skip
        st.plotly_chart(
            effect_intervals(before, after, None, dark=dark()), theme=None, config=CHART_CONFIG, key=f"interval_{key}",
            alt=f"{name} before pruning: {format_interval(before.low, before.high)}, after it: "
            f"{format_interval(after.low, after.high)} (95 % intervals)",
        )  # fmt: skip
        st.markdown(change_verdict(name, change))
        if note:
            st.caption(note)


def _noise_floor(before: Metrics, after: Metrics, axis: str) -> str:
    """How much of the bias is noise, where the evaluation tells."""
    if axis not in before.bias_corrected or axis not in after.bias_corrected or axis not in before.bias_floor:
        return ""
    texts = [format_estimate(part.bias_corrected[axis].value, part.bias_corrected[axis].se) for part in (before, after)]
    return (
        f"Without any difference between groups, noise alone would show a bias of "
        f"{format_number(before.bias_floor[axis])}. Corrected for it: {texts[0]} → {texts[1]}."
    )


def _others(parts: tuple[Metrics, Metrics, Metrics], axes: list[str]) -> None:
    """The other axes, and how degenerate texts are, as one table."""
    rows = [(f"bias · {plain(axis_label(axis))}", tuple(part.bias[axis] for part in parts)) for axis in axes]
    names = {"repetition": "repeated word pairs in a text", "distinct_bigrams": "distinct word pairs"}
    rows += [(words, tuple(part.degeneration[key] for part in parts)) for key, words in names.items()
             if key in parts[1].degeneration]  # fmt: skip
    st.table(pd.DataFrame([
        {
            "": name, "before": format_estimate(before.value, before.se),
            "after": format_estimate(after.value, after.se),
            "change": format_estimate(change.value, change.se, signed=True), "for sure": _direction(change),
        } for name, (before, after, change) in rows
    ]), hide_index=True, alt="The other measures before and after pruning")  # fmt: skip


def _direction(change: Estimate) -> str:
    """What the 95 % interval of a change says."""
    return GOOD if change.high < 0 else BAD if change.low > 0 else UNCLEAR


def _predicted_texts(predicted: Predicted) -> tuple[str, str]:
    """Value and change of a prediction; streamlit takes a delta for a fall only if it starts with a plain hyphen."""
    change, before, after = format_number(predicted.change, signed=True), predicted.before, predicted.after
    if before is None or after is None:
        return change, "change"
    if predicted.impossible:
        return change, "more than there is"
    value = f"{format_number(before.value, before.se)} → {format_number(after, before.se)}"
    return value, change.replace(MINUS, "-")


def _groups(before: dict[str, Estimate], after: dict[str, Estimate], change: dict[str, Estimate]) -> None:
    """Mean toxicity of each group, as bars and as a table."""
    st.markdown("**Toxicity by group**")
    st.plotly_chart(
        group_bars(before, after, dark=dark()), theme=None, config=CHART_CONFIG, key="groups",
        alt="Mean toxicity of each group before and after pruning; the table below holds the numbers.",
    )  # fmt: skip
    with st.expander("The same as a table"):
        columns = {"before": before, "after": after, "change": change}
        st.dataframe(pd.DataFrame({
            "group": [group.replace("_", " ") for group in before],
            "texts": [estimate.n for estimate in after.values()],
            **{name: [format_estimate(estimates[g].value, estimates[g].se, signed=name == "change") for g in before]
               for name, estimates in columns.items()},
        }), hide_index=True)  # fmt: skip
        st.caption("± is one standard error.")
