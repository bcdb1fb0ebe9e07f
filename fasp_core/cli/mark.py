"""The command `mark`: the texts of an evaluated set, token by token."""

from __future__ import annotations

from typing import Any

from fasp_core.cli.options import AsJson, Axis, Compensation, Device, PrunedHeads, Split, StudyName
from fasp_core.cli.output import print_json, print_table
from fasp_core.cli.sources import one_axis, open_named, reopen
from fasp_core.cli.terminal import ProgressReport
from fasp_core.errors import InputError
from fasp_core.head import parse_heads
from fasp_core.words.numbers import format_fixed

MOST_PRINTED = 20


def mark(
    study: StudyName,
    heads: PrunedHeads,
    axis: Axis = None,
    split: Split = "valid",
    compensate: Compensation = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Mark the texts of an evaluated set: which tokens pruning makes likelier or less likely.

    Each token has its log-ratio in nats, > 0: likelier without the heads; they sum to the text's. Evaluate the set by
    toxicity first. Prints the texts that change most; --json has all. The texts may be offensive.
    """
    from fasp_core.evaluation.history import marked_texts, measured_set, paired_texts
    from fasp_core.evaluation.keys import Target, study_settings
    from fasp_core.evaluation.store import EvaluationStore
    from fasp_core.evaluation.streams import stream_of

    opened = open_named(study)
    about = one_axis(opened.axes, axis)
    target = Target(opened.name, parse_heads(heads, ","), (stream_of(about),), split, compensate or "none")
    found = measured_set(opened, target)
    if found is None:
        raise InputError(
            f"the texts of these heads were not measured on {split}; run evaluate with --metric toxicity first"
        )
    from fasp_core.evaluation.marking import mark_texts
    from fasp_core.progress import StageClock

    store, tokens = EvaluationStore(opened.folder.parent), study_settings(opened).max_new_tokens
    with ProgressReport() as progress:
        clock = StageClock("marking tokens", 100, "%", progress)
        for share in mark_texts(reopen(opened, device), found, about, store, max_new_tokens=tokens):
            clock.step(int(100 * share) - clock.done)
    root = opened.folder.parent
    texts = paired_texts(found.plan, target.heads, root, compensate=target.compensate)
    marked = marked_texts(found, about, root)
    rows = [
        {
            "model": model,
            "group": row.group,
            "prompt": row.prompt,
            "tokens": text.tokens[1:],
            "log_ratios": text.log_ratios,
        }
        for row in texts[texts["axis"] == about].itertuples()
        for model, text in zip(("intact", "pruned"), marked[row.block, row.place], strict=True)
    ]
    if as_json:
        print_json({"study": study, "axis": about, "split": split, "pruned": target.heads, "texts": rows})
        return
    rows.sort(key=lambda row: -abs(sum(row["log_ratios"])))
    totals = [(row["model"], row["group"], _total(row), row["prompt"] + "".join(row["tokens"])) for row in rows]
    print_table(("model", "group", "log-ratio", "text"), [(*rest, repr(text)) for *rest, text in totals[:MOST_PRINTED]])


def _total(row: dict[str, Any]) -> str:
    return format_fixed(sum(row["log_ratios"]), 3, signed=True)
