"""The command `evidence`: the texts that a head changes most, token by token."""

from __future__ import annotations

import json
from dataclasses import asdict

from fasp_core.cli.options import AsJson, Axis, Device, OneHead, ResultFile, StudyName, Texts
from fasp_core.cli.output import print_json, print_table
from fasp_core.cli.sources import one_axis, open_named, reopen
from fasp_core.errors import InputError
from fasp_core.files.writing import write_atomic
from fasp_core.head import parse_heads
from fasp_core.words.numbers import format_fixed


def evidence(
    study: StudyName,
    head: OneHead,
    axis: Axis = None,
    texts: Texts = 6,
    device: Device = "auto",
    to: ResultFile = None,
    as_json: AsJson = False,
) -> None:
    """Show which tokens a head makes likelier or less likely, in the texts it changes most.

    Each continuation token has its log-ratio in nats, > 0: likelier without the head; they sum to the text's. With
    --json also what the head attends to. The texts may be offensive.
    """
    opened = open_named(study)
    heads = parse_heads(head, ",")
    if len(heads) != 1:
        raise InputError(f"--head names one head, as layer.head: 5.1; '{head}' names {len(heads)}")
    from fasp_core.evaluation.head_evidence import head_evidence

    about = one_axis(opened.axes, axis)
    rows = head_evidence(opened, reopen(opened, device), about, heads[0], most=texts)
    made = {"study": study, "axis": about, "head": heads[0], "texts": [asdict(row) for row in rows]}
    if to is not None:
        write_atomic(to, lambda temporary: temporary.write_text(json.dumps(made), "utf-8"))
    if as_json:
        print_json(made)
        return
    for row in rows:
        total = format_fixed(sum(row.log_ratios), 3, signed=True)
        print(f"{row.group}, toxicity {format_fixed(row.toxicity, 2)}, log-ratio {total}:")
        print(f"{''.join(row.tokens[: row.n_prompt])!r}")
        ratios = [format_fixed(ratio, 3, signed=True) for ratio in row.log_ratios]
        print_table(("token", "log-ratio"), [*zip(map(repr, row.tokens[row.n_prompt :]), ratios, strict=True)])
        print()
