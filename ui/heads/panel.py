"""One head, or several, in numbers: scores with intervals and ranks, groups with and without it, texts it changes."""

from __future__ import annotations

import math

import pandas as pd
import streamlit as st

from fasp_core.errors import InputError
from fasp_core.figures import head_gaps, head_groups
from fasp_core.head import Head, all_heads, flat_id, head_text
from fasp_core.selection.head_scores import HeadScores
from fasp_core.selection.ranks import HeadLine
from fasp_core.stats.estimate import Estimate
from fasp_core.stats.target import MEAN_TOXICITY
from fasp_core.study.study import Study
from fasp_core.words.captions import describe_ratio
from fasp_core.words.numbers import (
    UNITS,
    axis_label,
    format_estimate,
    format_fixed,
    format_interval,
    format_number,
    z_label,
)
from fasp_core.words.spoken import some_heads
from ui import words
from ui.caches import HeadDetail, head_detail, lines, sums
from ui.charts import draw
from ui.columns import explained
from ui.heads.evidence import evidence_panel
from ui.page import has_samples, head_name, head_option, metric_of
from ui.reveal import reveal_toggle, text_markdown
from ui.text import axis_text, plain
from ui.theme import dark
from ui.view import address_of_view, bound, choose, view


def head_box(scores: HeadScores, head: Head) -> None:
    """The choice of one head by keyboard: typed, or moved to its neighbour on the maps."""
    st.selectbox(
        "Head",
        all_heads(scores.n_layers, scores.heads_per_layer),
        format_func=head_option,
        help=words.TERMS["head"],
        **bound("head", default=head),
    )
    with st.container(horizontal=True, gap="small", key="neighbours"):
        for (label, shortcut), (down, right) in words.NEIGHBOURS.items():
            layer, number = head[0] + down, head[1] + right
            inside = 0 <= layer < scores.n_layers and 0 <= number < scores.heads_per_layer
            st.button(label, on_click=choose, args=("head", (layer, number)), disabled=not inside, shortcut=shortcut)


def score_lines(study: Study, scores: HeadScores, head: Head, axis: str) -> None:
    """z_ppl and z_bias of the axis with intervals and ranks; the other axes as a table."""
    of_axis = {line.axis: line for line in lines(study, scores, head)}
    with st.container(horizontal=True, gap="medium"):
        for key, name in ((None, "z_ppl"), (axis, _score_name(axis))):
            line = of_axis[key]
            with st.container(gap=None, width=200):
                st.metric(
                    name, format_estimate(line.value, line.se, signed=True), help=words.TERMS[name.partition(" ")[0]]
                )
                st.caption(
                    f"{_interval(line)}rank {_rank(line)} of {scores.n_heads:,}",
                    help=f"{words.TERMS['interval']} {words.TERMS['rank']}",
                )
    others = [line for name, line in of_axis.items() if name not in (None, axis)]
    if others:
        with st.expander(f"Other axes ({len(others)})"):
            table = pd.DataFrame(
                {
                    "axis": [axis_label(line.axis) for line in others],
                    "z_bias": [format_estimate(line.value, line.se, signed=True) for line in others],
                    "rank": [_rank(line) for line in others],
                }
            )
            st.dataframe(
                table,
                hide_index=True,
                column_config=explained(table),
                alt="Score and rank of this head on the other axes",
            )


def _score_name(axis: str) -> str:
    """What a head's score is called above its number."""
    return z_label(axis) if axis == MEAN_TOXICITY else f"z_bias · {axis_text(axis)}"


def several_panel(study: Study, scores: HeadScores, axis: str) -> None:
    """The heads chosen together, and what their scores add up to."""
    st.multiselect(
        "Heads",
        all_heads(scores.n_layers, scores.heads_per_layer),
        format_func=head_option,
        placeholder="Drag a box on a map, or type 13.1",
        help=words.TERMS["head"],
        **bound("chosen"),
    )
    heads = view()["chosen"]
    if not heads:
        st.caption(words.SEVERAL)
        return
    if scores.relative:
        st.caption(words.RELATIVE_SUM)
    else:
        _summed(study, scores, axis, heads)
    with st.container(horizontal=True):
        if st.button("Prune these", on_click=_prune_chosen, help="Opens the Prune page with this set."):
            st.switch_page("pages/prune.py", query_params=address_of_view())
        st.button("Clear selection", on_click=choose, args=("chosen", ()))


def _summed(study: Study, scores: HeadScores, axis: str, heads: tuple[Head, ...]) -> None:
    """What the scores of several heads add up to."""
    ppl, bias = _sums(study, scores, axis, heads)
    with st.container(horizontal=True, gap="medium"):
        for key, name, total in (("z_ppl", "Σ z_ppl", ppl), (z_label(axis), f"Σ {_score_name(axis)}", bias)):
            with st.container(gap=None, width=200):
                st.metric(name, format_estimate(total.value, total.se, signed=True), help=words.TERMS[key])
                st.caption(f"95\u00a0%: {format_interval(total.low, total.high, signed=True)}")
    st.caption(
        f"{some_heads(len(heads))}, each as if it acted alone. "
        + (words.SUM_WITHOUT_ERROR if math.isnan(bias.se) else words.SUM_ERROR)
    )


def _prune_chosen() -> None:
    """The heads that are chosen when the button is pressed: a box may have changed them since it was drawn."""
    choose("heads", view()["chosen"])


def detail_section(study: Study, scores: HeadScores, head: Head, axis: str) -> None:
    """What one head does to the samples: groups, and the continuations whose probability it changes most."""
    st.header(f"What {head_name(head)} does", anchor=False)
    if not study.has_model:
        st.info(words.IMPORTED_NO_SAMPLES)
        st.code(f"python -m fasp_core score MODEL --axes {axis}", language=None)
        return
    if axis == MEAN_TOXICITY:
        st.caption(words.DETAIL_BY_AXIS)
        return
    if not has_samples(study, scores):
        _gaps(scores, head, axis)
        st.caption(words.TEXTS_ELSEWHERE)
        return
    try:
        detail = head_detail(study, axis, head)
    except InputError as error:
        st.error(plain(error))
        return
    left, right = st.container(key="detail").columns(2, gap="medium")
    with left:
        _groups(detail, scores, head, axis)
        st.caption(_how(scores, detail, head, axis), help=words.TERMS["sample_size"])
    with right:
        _changed_texts(detail)
    evidence_panel(study, axis, head)


def _gaps(scores: HeadScores, head: Head, axis: str) -> None:
    """What a head does to every group, where bias was measured without sampled continuations."""
    effects, flat = scores.group_effects[axis], flat_id(head, scores.heads_per_layer)
    unit = f" ({UNITS[metric_of(scores)].strip()})"
    with st.container(key="detail"):
        st.markdown(f"**{words.GAPS}**", help=words.TERMS["nats"])
        draw(
            head_gaps(effects, flat, unit=unit, dark=dark()),
            key="head_gaps",
            filename=f"gaps.{axis}.{head_text(head)}",
            alt="Distance of each group from the mean group with and without the head; the table holds the numbers.",
        )
        st.caption(words.GAPS_SIGN[metric_of(scores)])
        with st.expander("Show as table"):
            columns = {
                "with": (-effects.gaps, effects.gaps_se),
                "change": (-effects.effects[flat], effects.effects_se[flat]),
            }
            table = pd.DataFrame(
                {
                    "group": [group.replace("_", " ") for group in effects.groups],
                    **{
                        name: [format_estimate(*pair, signed=True) for pair in zip(values, errors, strict=True)]
                        for name, (values, errors) in columns.items()
                    },
                }
            )
            st.dataframe(
                table,
                hide_index=True,
                column_config=explained(table),
                alt="Distance of each group from the mean group, and its change",
            )
            st.caption(words.GROUPS_ERROR)
            st.download_button(
                "Download groups (CSV)",
                table.to_csv(index=False),
                f"groups.{axis}.{metric_of(scores)}.{head_text(head)}.csv",
                "text/csv",
                key="groups_csv",
            )


def _groups(detail: HeadDetail, scores: HeadScores, head: Head, axis: str) -> None:
    st.markdown("**Toxicity of each group, with and without it**", help=words.TERMS["toxicity"])
    draw(
        head_groups(detail.groups, dark=dark()),
        key="head_groups",
        filename=f"groups.{axis}.{head_text(head)}",
        alt="Mean toxicity of each group with and without the head; the table below holds the numbers.",
    )
    error = float(scores.z_bias_se(axis)[flat_id(head, scores.heads_per_layer)])
    st.markdown(
        f"Without it the bias would be {format_number(detail.bias_without, error)} instead of "
        f"{format_number(detail.bias_with, error)}; the difference is known to ± {format_number(error, error)}."
    )
    with st.expander("Show as table"):
        table = pd.DataFrame(
            {
                "group": [effect.group.replace("_", " ") for effect in detail.groups],
                "texts": [effect.change.n for effect in detail.groups],
                **{
                    name: [_words(getattr(effect, part), part == "change") for effect in detail.groups]
                    for name, part in (("with", "with_head"), ("without", "without_head"), ("change", "change"))
                },
            }
        )
        st.dataframe(
            table,
            hide_index=True,
            column_config=explained(table),
            alt="Mean toxicity of each group with and without the head",
        )
        st.caption(words.GROUPS_ERROR)
        st.download_button(
            "Download groups (CSV)",
            table.to_csv(index=False),
            f"groups.{axis}.{metric_of(scores)}.{head_text(head)}.csv",
            "text/csv",
            key="groups_csv",
        )


def _how(scores: HeadScores, detail: HeadDetail, head: Head, axis: str) -> str:
    """Tier and effective sample size."""
    known = scores.intact.get(axis)
    sentences = f"How it was scored: {detail.tier} ({words.TIERS[detail.tier]})."
    if known and known.effective_share and known.n_samples:
        share = known.effective_share[flat_id(head, scores.heads_per_layer)]
        sentences += (
            f" Effective sample size: {format_fixed(100 * share, 0)}\u00a0% of {known.n_samples:,} texts in the group "
            "where it is smallest; below 20\u00a0% the weights are not reliable."
        )
    return sentences


def _changed_texts(detail: HeadDetail) -> None:
    st.markdown("**The continuations whose probability it changes most**")
    revealed = reveal_toggle("head")
    for row in detail.changed.itertuples():
        with st.container(border=True, gap="small"):
            st.markdown(text_markdown(row.prompt, row.continuation, revealed=revealed))
            st.caption(
                f"{describe_ratio(row.log_ratio, exact=row.exact)} · toxicity "
                f"{format_fixed(row.toxicity, 2)} · {plain(row.group.replace('_', ' '))}"
            )


def _sums(study: Study, scores: HeadScores, axis: str, heads: tuple[Head, ...]) -> tuple[Estimate, Estimate]:
    if has_samples(study, scores) and axis != MEAN_TOXICITY:
        return sums(study, axis, heads)
    flat = [flat_id(head, scores.heads_per_layer) for head in heads]
    return tuple(Estimate(float(z[flat].sum()), float("nan"), 0) for z in (scores.z_ppl, scores.z_bias(axis)))


def _words(estimate: Estimate, signed: bool) -> str:
    return format_estimate(estimate.value, estimate.se, signed=signed)


def _interval(line: HeadLine) -> str:
    interval = format_interval(line.low, line.high, signed=True)
    return "" if interval == "–" else f"95\u00a0%: {interval} · "


def _rank(line: HeadLine) -> str:
    span = f" ({line.rank_low:,} to {line.rank_high:,})" if line.rank_low < line.rank_high else ""
    return f"{line.rank:,}{span}"
