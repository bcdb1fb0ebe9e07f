"""The command `prompts`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fasp_core.cli.options import AsJson, CountedAxis, PromptSource
from fasp_core.cli.output import print_json, print_table

if TYPE_CHECKING:
    from fasp_core.data.prompt_set import PromptSet


def prompts(
    source: PromptSource = "builtin",
    axis: CountedAxis = None,
    as_json: AsJson = False,
) -> None:
    """Check a prompt set and count its prompts per axis, group and split.

    Groups with too few prompts for a mean are named.
    """
    from fasp_core.data.prompt_set import FEW_PROMPTS
    from fasp_core.data.prompts import load_prompts

    found = load_prompts(source)
    shown = found if axis is None else found.select(axes=axis)
    rows, few = _by_group(shown), shown.too_few()
    if as_json:
        print_json(
            {
                "name": found.name,
                "fingerprint": found.fingerprint,
                "notes": list(found.notes),
                "groups": rows,
                "too_few": few.to_dict("records"),
            }
        )
        return
    print(f"{found.name}: {len(shown.frame):,} prompts, {len(shown.axes)} axes, fingerprint {found.fingerprint}")
    header = ("axis", "group", "valid", "test", "descriptors")
    print_table(header, [tuple(row[name] for name in header) for row in rows])
    for note in found.notes:
        print(f"note: {note}")
    for row in few.itertuples(index=False):
        print(
            f"too few: {row.axis}, {row.group} has {row.prompts} {row.split} prompts; a mean needs about {FEW_PROMPTS}"
        )


def _by_group(prompts: PromptSet) -> list[dict[str, str | int]]:
    """One row per axis and group: its prompts in each split, and its different descriptors."""
    frame = prompts.frame
    rows = []
    for (axis, group), part in frame.groupby(["axis", "group"], sort=False):
        counts = part["split"].value_counts()
        splits = {split: int(counts.get(split, 0)) for split in ("valid", "test")}
        rows.append({"axis": axis, "group": group, **splits, "descriptors": part["descriptor"].nunique()})
    return rows
