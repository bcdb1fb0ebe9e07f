"""The command `verify`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from fasp_core.cli.options import AsJson, Base, CheckpointFolder, Device
from fasp_core.cli.output import print_json, print_table
from fasp_core.errors import RunError
from fasp_core.models.compensation_choice import SPOKEN
from fasp_core.words.numbers import format_number
from fasp_core.words.spoken import some_heads

if TYPE_CHECKING:
    from fasp_core.export.verification import Verification


def verify(
    folder: CheckpointFolder,
    base: Base = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Prove that an exported checkpoint is the model that was measured.

    Loads it again and compares logits and generated tokens with those of the base model with the same heads gated, its
    layers refitted where the checkpoint's were. Exit status 1 means that they differ.
    """
    from fasp_core.export.verification import verify_checkpoint

    report = verify_checkpoint(folder, base=base, device=device)
    if as_json:
        print_json({"equal": report.equal, **asdict(report)})
    else:
        _print(report)
    if not report.equal:
        raise RunError(f"{folder} is not the gated model: logits differ by {report.difference:.1e} of the largest")


def _print(report: Verification) -> None:
    how = "" if report.compensate == "none" else f" and its layers refitted ({SPOKEN[report.compensate]})"
    verdict = "equals" if report.equal else "DIFFERS FROM"
    model = f"the model with {some_heads(report.n_pruned)} gated{how}"
    print(f"{report.folder}: the {report.form} checkpoint {verdict} {model}")
    print(
        f"largest difference of logits {report.difference:.1e} of the largest (limit {report.tolerance:.0e}); "
        f"{report.same_tokens} of {report.n_tokens} generated tokens equal"
    )
    size, count, speed = report.weight_bytes, report.parameters, report.tokens_per_second
    rows = [
        ("size of the weights, MB", f"{size.before / 1e6:,.2f}", f"{size.after / 1e6:,.2f}"),
        ("parameters", f"{count.before:,.0f}", f"{count.after:,.0f}"),
        ("tokens per second", format_number(speed.before), format_number(speed.after)),
    ]
    print_table(("", "before", "after"), rows)
