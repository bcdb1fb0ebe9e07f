"""One head, or several, in numbers: scores with intervals and ranks, groups with and without it, texts it changes."""

from __future__ import annotations

import math

import pandas as pd
import streamlit as st

from fasp_core.errors import InputError
from fasp_core.estimates import Estimate
from fasp_core.figures import head_groups
from fasp_core.head_scores import HeadScores
from fasp_core.numbers import axis_label, format_estimate, format_fixed, format_interval, format_number
from fasp_core.selection import Head
from fasp_core.study import Study
from fasp_core.summaries import HeadLine

from .charts import draw
from .details import HeadDetail, head_detail, lines, sums
from .parts import dark, has_samples, head_name
from .reveal import reveal_toggle, text_markdown
from .state import address_of_view, bound, choose, view
from .text import plain

TIERS = {
    "gradient": "first order, from one backward pass over every sample",
    "gradient + knock-out": "first order on every sample, corrected by exact knock-outs on some",
    "knock-out": "exact knock-outs on every sample",
    "regenerated": "texts sampled again without the head",
}


def head_box(scores: HeadScores, head: Head) -> None:
    """The choice of one head by keyboard."""
    st.selectbox("Head", _all_heads(scores), format_func=head_name, **bound("head", default=head))


def score_lines(study: Study, scores: HeadScores, head: Head, axis: str) -> None:
    """z_ppl and z_bias of the axis with intervals and ranks; the other axes as a table."""
    of_axis = {line.axis: line for line in lines(study, scores, head)}
    with st.container(horizontal=True, gap="medium"):
        for key, name in ((None, "z_ppl"), (axis, f"z_bias · {axis_label(axis)}")):
            line = of_axis[key]
            with st.container(gap=None, width=200):
                st.metric(name, format_estimate(line.value, line.se, signed=True))
                st.caption(f"{_interval(line)}rank {_rank(line)} of {scores.n_heads:,}")
    others = [line for name, line in of_axis.items() if name not in (None, axis)]
    if others:
        with st.expander(f"Other axes ({len(others)})"):
            st.dataframe(
                pd.DataFrame({
                    "axis": [axis_label(line.axis) for line in others],
                    "z_bias": [format_estimate(line.value, line.se, signed=True) for line in others],
                    "rank": [_rank(line) for line in others],
                }), hide_index=True, alt="z_bias and rank of this head on the other axes",
            )  # fmt: skip


def several_panel(study: Study, scores: HeadScores, axis: str) -> None:
    """The heads chosen together, and what their scores add up to."""
    st.multiselect(
        "Heads", _all_heads(scores), format_func=head_name, placeholder="Drag a box on a map, or choose here",
        **bound("chosen"),
    )  # fmt: skip
    heads = view()["chosen"]
    if not heads:
        st.caption("Drag a box over a map or the scatter to add all heads in it; a box over chosen heads takes them "
                   "away.")  # fmt: skip
        return
    ppl, bias = _sums(study, scores, axis, heads)
    with st.container(horizontal=True, gap="medium"):
        for name, total in (("Σ z_ppl", ppl), (f"Σ z_bias · {axis_label(axis)}", bias)):
            with st.container(gap=None, width=200):
                st.metric(name, format_estimate(total.value, total.se, signed=True))
                st.caption(f"95\u00a0%: {format_interval(total.low, total.high, signed=True)}")
    st.caption(
        f"{len(heads)} heads, each as if it acted alone. "
        + ("± is the standard error of the sum: heads are scored on the same samples, so their errors go together."
           if has_samples(study, scores) else "The error of a sum is known only where there are sampled texts.")
    )  # fmt: skip
    with st.container(horizontal=True):
        if st.button("Prune these", on_click=_prune_chosen, help="Opens the Prune page with this set."):
            st.switch_page("pages/prune.py", query_params=address_of_view())
        st.button("Choose none", on_click=choose, args=("chosen", ()))


def _prune_chosen() -> None:
    """The heads that are chosen when the button is pressed: a box may have changed them since it was drawn."""
    choose("heads", view()["chosen"])


def detail_section(study: Study, scores: HeadScores, head: Head, axis: str) -> None:
    """What one head does to the samples: groups, and the continuations whose probability it changes most."""
    st.subheader(f"What {head_name(head)} does", anchor=False)
    if not study.has_model:
        st.info(
            "These scores were imported: there are no samples to look into. Measured with the model itself, this shows "
            "the toxicity of each group with and without the head, and the texts that the head makes likelier."
        )
        st.code(f"python -m fasp_core score MODEL --axes {axis}", language="bash")
        return
    if not has_samples(study, scores):
        st.info("Groups and texts are those of sampled continuations: choose toxicity as the measure above.")
        return
    try:
        detail = head_detail(study, axis, head)
    except InputError as error:
        st.error(plain(error))
        return
    left, right = st.container(key="detail").columns(2, gap="medium")
    with left:
        _groups(detail, scores, head, axis)
        st.caption(_how(scores, detail, head, axis))
    with right:
        _changed_texts(detail)


def _groups(detail: HeadDetail, scores: HeadScores, head: Head, axis: str) -> None:
    st.markdown("**Toxicity of each group, with and without it**")
    draw(
        head_groups(detail.groups, dark=dark()), key="head_groups", filename=f"groups.{axis}.{head[0]}.{head[1]}",
        alt="Mean toxicity of each group with and without the head; the table below holds the numbers.",
    )  # fmt: skip
    error = float(scores.z_bias_se(axis)[head[0] * scores.heads_per_layer + head[1]])
    st.markdown(
        f"Without it the bias would be {format_number(detail.bias_without, error)} instead of "
        f"{format_number(detail.bias_with, error)}; the difference is known to ± {format_number(error, error)}."
    )
    with st.expander("The same as a table"):
        table = pd.DataFrame({
            "group": [effect.group.replace("_", " ") for effect in detail.groups],
            "texts": [effect.change.n for effect in detail.groups],
            **{name: [_words(getattr(effect, part), part == "change") for effect in detail.groups]
               for name, part in (("with", "with_head"), ("without", "without_head"), ("change", "change"))},
        })  # fmt: skip
        st.dataframe(table, hide_index=True, alt="Mean toxicity of each group with and without the head")
        st.caption("± is one standard error. The change is that of the same texts, so its error is smaller.")
        st.download_button("Download (CSV)", table.to_csv(index=False), "groups.csv", "text/csv", key="groups_csv")


def _how(scores: HeadScores, detail: HeadDetail, head: Head, axis: str) -> str:
    """Tier and effective sample size."""
    shares = (scores.meta.get("effective_share") or {}).get(axis)
    n = (scores.meta.get("n_samples") or {}).get(axis)
    words = f"How it was scored: {detail.tier} ({TIERS[detail.tier]})."
    if shares and n:
        share = shares[head[0] * scores.heads_per_layer + head[1]]
        words += (
            f" Effective sample size: {format_fixed(100 * share, 0)}\u00a0% of {n:,} texts in the group where it is "
            "smallest; below 20\u00a0% the weights cannot be trusted."
        )
    return words


def _changed_texts(detail: HeadDetail) -> None:
    st.markdown("**The continuations whose probability it changes most**")
    revealed = reveal_toggle("head")
    for row in detail.changed.itertuples():
        with st.container(border=True, gap="small"):
            st.markdown(text_markdown(row.prompt, row.continuation, revealed=revealed))
            st.caption(
                f"{_likelier(row.log_ratio)}{'' if row.exact else ' (first order)'} · toxicity "
                f"{format_fixed(row.toxicity, 2)} · {plain(row.group.replace('_', ' '))}"
            )


def _likelier(log_ratio: float) -> str:
    """A log-ratio in words: `1.8 times as likely without it`, or with it."""
    factor = math.exp(min(abs(log_ratio), 50.0))
    return f"{format_number(factor, factor / 20)} times as likely {'without' if log_ratio > 0 else 'with'} it"


def _sums(study: Study, scores: HeadScores, axis: str, heads: tuple[Head, ...]) -> tuple[Estimate, Estimate]:
    if has_samples(study, scores):
        return sums(study, axis, heads)
    flat = [layer * scores.heads_per_layer + head for layer, head in heads]
    return tuple(Estimate(float(z[flat].sum()), float("nan"), 0) for z in (scores.z_ppl, scores.z_bias(axis)))


def _words(estimate: Estimate, signed: bool) -> str:
    return format_estimate(estimate.value, estimate.se, signed=signed)


def _interval(line: HeadLine) -> str:
    interval = format_interval(line.low, line.high, signed=True)
    return "" if interval == "–" else f"95\u00a0%: {interval} · "


def _rank(line: HeadLine) -> str:
    span = f" ({line.rank_low:,} to {line.rank_high:,})" if line.rank_low < line.rank_high else ""
    return f"{line.rank:,}{span}"


def _all_heads(scores: HeadScores) -> list[Head]:
    return [divmod(flat, scores.heads_per_layer) for flat in range(scores.n_heads)]
