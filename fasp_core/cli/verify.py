"""What `export` does with a configuration beside writing it, and the command `verify`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from .cli_output import print_json, print_table
from .errors import InputError, RunError
from .numbers import format_number

if TYPE_CHECKING:
    from .config import PruningConfig
    from .verification import Verification


def read_configuration(source: str) -> PruningConfig | None:
    """The configuration in a JSON file; None for the name of a study and for files of something else."""
    path = Path(source)
    if path.suffix != ".json" or not path.is_file():
        return None
    from .config import PruningConfig
    from .tables import read_text

    text = read_text(path)
    return PruningConfig.loads(text, str(path)) if '"schema_version"' in text else None


def write_export(
    config: PruningConfig, to: Path | None, *, form: Literal["config", "masked", "compact"], force: bool,
) -> None:  # fmt: skip
    """Write the JSON, or a checkpoint of the model that the configuration names."""
    if form == "config":
        if to is None:
            print(config.model_dump_json(indent=2))
            return
        if to.is_dir():
            raise InputError(f"{to} is a folder; give the name of a .json file for the configuration")
        if to.exists() and not force:
            raise InputError(f"{to} is there already; choose another name, or replace it with --force")
        config.save(to)
        return
    if to is None:
        raise InputError(f"--to is missing: a {form} checkpoint needs a folder to be written to")
    if config.model.ref is None:
        raise InputError(
            "the configuration does not name a model to open (made from a file of scores); export it from a study"
        )
    from .checkpoints import export_checkpoint
    from .models import open_model

    export_checkpoint(open_model(config.model.ref), config, to, form=form, force=force)


def verify(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A masked or compact checkpoint (see: export).")],
    base: Annotated[str | None, typer.Option(
        help="The model it was made from [default: the one its configuration names].",
    )] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:  # fmt: skip
    """Prove that an exported checkpoint is the model that was measured.

    Loads it anew and compares logits and generated tokens with the base model, the same heads gated. Exit status 1:
    they differ.
    """
    from .verification import verify_checkpoint

    report = verify_checkpoint(folder, base=base, device=device)
    if as_json:
        print_json({"equal": report.equal, **asdict(report)})
    else:
        _print(report)
    if not report.equal:
        raise RunError(f"{folder} is not the gated model: logits differ by {report.difference:.1e} of the largest")


def _print(report: Verification) -> None:
    verdict = "equals" if report.equal else "DIFFERS FROM"
    print(f"{report.folder}: the {report.form} checkpoint {verdict} the model with {report.n_pruned} heads gated")
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
