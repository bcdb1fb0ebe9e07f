"""What goes into a study, on the command line: the options of `score`, and `prompts`, `scorers`, `rescore`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .cli_output import print_base, print_json, print_table
from .errors import InputError
from .terminal import ProgressReport

if TYPE_CHECKING:
    from .head_scores import HeadScores
    from .prompts import PromptSet

Prompts = Annotated[str | None, typer.Option(
    "--prompts", help="Prompts: builtin, a HolisticBias folder, a social_biases_valid.json or a .csv (see: prompts) "
    "[default: the study's own, or builtin].",
)]  # fmt: skip
Text = Annotated[str | None, typer.Option(
    "--text", help="Text for perplexity: builtin, wikitext-2, a folder with valid.txt and test.txt, or a text file "
    "[default: the study's own, or builtin].",
)]  # fmt: skip
ScorerRef = Annotated[str | None, typer.Option(
    "--scorer", help="What rates toxicity (see: scorers) [default: the study's own, or the best on this machine].",
)]  # fmt: skip
ScorerName = Annotated[str | None, typer.Option(
    "--scorer", help="Scores by this one of the study's scorers [default: the first].",
)]  # fmt: skip
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def check_axes(axes: list[str], prompts: PromptSet | None, study: str | None, model: str) -> None:
    """Raise InputError for axes that are not in the prompts to be scored: those given, the study's or the built-in."""
    if prompts is None:
        from .prompts import load_prompts

        prompts = load_prompts()
        if not set(axes) <= set(prompts.axes):
            from .models import model_name
            from .study import list_studies, open_study

            name = study or model_name(model)
            prompts = open_study(name).prompts if name in list_studies() else prompts
    if not axes:
        raise InputError(f"--axes names no axis; known: {', '.join(prompts.axes)}")
    prompts.select(axes=axes)


def print_scorer(table: HeadScores, *, chosen: str | None) -> None:
    """Say what rated toxicity and, where it was chosen for lack of a better one, how to get that."""
    from .toxicity import default_scorer

    name = table.meta.get("scorer")
    if name is None:
        return
    lacking = name == "embedded" and chosen is None and default_scorer() == "embedded"
    hint = "; the published recipe's scorer, detoxify:unbiased, is not here (see: python -m fasp_core scorers)"
    print(f"toxicity by {name}{hint if lacking else ''}")


def list_prompts(
    source: Annotated[str, typer.Argument(
        metavar="SOURCE", help="builtin, a folder of HolisticBias v1.1, a social_biases_valid.json of the reference "
        "repository, or a .csv with the columns prompt, axis, group.",
    )] = "builtin",
    axis: Annotated[str | None, typer.Option(help="Count the groups of this axis only.")] = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Check a prompt set and count its prompts per axis, group and split.

    Groups with too few prompts for a mean are named.
    """
    from .prompts import FEW_PROMPTS, load_prompts

    found = load_prompts(source)
    shown = found if axis is None else found.select(axes=axis)
    rows, few = _by_group(shown), shown.too_few()
    if as_json:
        print_json({
            "name": found.name, "fingerprint": found.fingerprint, "notes": list(found.notes), "groups": rows,
            "too_few": few.to_dict("records"),
        })  # fmt: skip
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


def scorers(as_json: AsJson = False) -> None:
    """List what can rate toxicity, and how to get what is not on this machine."""
    from .toxicity import default_scorer, list_scorers

    rows, default = list_scorers(), default_scorer()
    if as_json:
        print_json([
            {"ref": row.ref, "about": row.about, "available": row.available, "default": row.ref == default,
             "hint": row.hint} for row in rows
        ])  # fmt: skip
        return
    print_table(
        ("scorer", "on this machine", "what it is"),
        [(r.ref, "default" if r.ref == default else "yes" if r.available else "no", r.about) for r in rows],
    )
    for row in rows:
        if not row.available:
            print(f"{row.ref}: {row.hint}")


def rescore(
    study: Annotated[str, typer.Argument(metavar="STUDY", help="Name of a study (see: studies).")],
    scorer: Annotated[str, typer.Option(help="What rates toxicity (see: scorers).")],
    device: Annotated[str, typer.Option(help="Of a neural scorer: auto, cpu, cuda or cuda:N.")] = "auto",
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Rate a study's texts with another scorer. Nothing is sampled again and the model is not needed."""
    from .rescoring import rescore_study
    from .study import open_study
    from .toxicity import open_scorer

    opened = open_study(study)
    rater = open_scorer(scorer, device=device)
    with ProgressReport() as progress:
        rescore_study(opened, rater, progress=progress)
    table = opened.scores(scorer=rater.name)
    if as_json:
        print_json({"study": opened.name, "folder": str(opened.folder), **table.meta})
        return
    print(f"Study '{opened.name}' rated by {rater.name}")
    print_base(table, table.axes)
    print(f"Next: python -m fasp_core scores {opened.name} --axis {table.axes[0]} --scorer {rater.name}")


def _by_group(prompts: PromptSet) -> list[dict[str, str | int]]:
    """One row per axis and group: its prompts in each split, and its different descriptors."""
    frame = prompts.frame
    rows = []
    for (axis, group), part in frame.groupby(["axis", "group"], sort=False):
        counts = part["split"].value_counts()
        splits = {split: int(counts.get(split, 0)) for split in ("valid", "test")}
        rows.append({"axis": axis, "group": group, **splits, "descriptors": part["descriptor"].nunique()})
    return rows
