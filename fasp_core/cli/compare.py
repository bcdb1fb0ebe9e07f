"""The command `compare`: methods side by side on one model, or how heads work together (`--interactions`)."""

from __future__ import annotations

from dataclasses import asdict
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .cli_output import print_json, print_table
from .errors import InputError, nearest
from .numbers import format_interval, format_number
from .terminal import ProgressReport

if TYPE_CHECKING:
    from .comparison import ComparisonSettings
    from .comparison_table import ComparisonTable
    from .interactions import Interactions
    from .study import Study

MOST_POINTS = 1000  # of a range; more is a slip of the pen
LIMITS = (0.05, 0.1)  # rises of perplexity that the printed tables look at


def compare(
    study: Annotated[str, typer.Argument(metavar="STUDY", help="Name of a study (see: studies).")],
    axis: Annotated[str | None, typer.Option(help="The bias to prune for. Needed where several were scored.")] = None,
    methods: Annotated[str, typer.Option(help="Methods, with commas; all: every one (see: select).")] = "all",
    alphas: Annotated[str, typer.Option(
        help="Shares of heads to prune: first:last:step, the last included, or a list with commas.",
    )] = "0:0.2:0.02",
    gammas: Annotated[str, typer.Option(help="Shares of heads to protect, likewise.")] = "0.2:0.7:0.1",
    seeds: Annotated[int, typer.Option(
        min=1, help="How often to measure each, with other noise; method random chooses other heads each time.",
    )] = 1,
    axes: Annotated[str | None, typer.Option(help="Biases to measure, with commas [default: all scored].")] = None,
    valid_blocks: Annotated[int, typer.Option(
        min=1, help="Size of a measurement on valid, where gamma is chosen: blocks of about 20 texts an axis.",
    )] = 10,
    test_blocks: Annotated[int, typer.Option(min=1, help="Size of a measurement on test.")] = 25,
    ppl_limit: Annotated[float, typer.Option(
        help="How much perplexity the chosen gamma may cost on valid, as a share.",
    )] = 0.1,
    weights: Annotated[str | None, typer.Option(
        help="Of fasp_multi: axis=weight with commas [default: all scored axes alike].",
    )] = None,
    iterative_samples: Annotated[int, typer.Option(
        min=1, help="Of fasp_iterative: continuations that each stage scores heads on.",
    )] = 512,
    iterative_step: Annotated[float, typer.Option(
        help="Of fasp_iterative: share of all heads that a stage prunes.",
    )] = 0.04,
    iterative_gammas: Annotated[str | None, typer.Option(help="Of fasp_iterative: its gammas [default: all].")] = None,
    interactions: Annotated[int | None, typer.Option(
        min=1, help="Instead: for so many random pairs of heads, does removing both differ from the sum of each?",
    )] = None,
    gamma: Annotated[float, typer.Option(
        help="With --interactions: share of heads that are left out, those perplexity needs most.",
    )] = 0.3,
    to: Annotated[Path | None, typer.Option(help="Also write the table to a .csv or .parquet file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:  # fmt: skip
    """Measure methods of pruning side by side, and keep the result with the study.

    gamma is chosen on valid prompts for each method and alpha; the numbers printed are of test prompts. Stopped or
    killed, it goes on where it was when run again; sets of heads that were measured before cost nothing.
    """
    from .study import open_study

    if to is not None and to.suffix not in (".csv", ".parquet"):
        raise InputError(f"{to}: comparisons are written to .csv or .parquet files")
    opened = open_study(study)
    axis = _one_axis(opened, axis)
    if interactions is not None:
        _interactions(opened, axis, interactions, gamma, test_blocks, to, as_json)
        return
    from .comparison import ComparisonSettings
    from .iterative import IterativeSettings
    from .rules import METHODS

    settings = ComparisonSettings(
        axis=axis, methods=METHODS if methods == "all" else _names(methods), alphas=parse_shares(alphas, "--alphas"),
        gammas=parse_shares(gammas, "--gammas"), seeds=seeds, axes=_names(axes or ""), valid_blocks=valid_blocks,
        test_blocks=test_blocks, ppl_limit=ppl_limit, weights=parse_weights(weights),
        iterative=IterativeSettings(samples=iterative_samples, step=iterative_step),
        iterative_gammas=parse_shares(iterative_gammas, "--iterative-gammas") if iterative_gammas else (),
    )  # fmt: skip
    table = _run(opened, settings)
    if to is not None:
        from .comparison_table import export_table

        export_table(table, to)
    if as_json:
        rows = table.frame.to_dict("records")
        print_json({"study": study, "comparison": table.name, **table.meta, "rows": rows})
    else:
        _print(opened, table)


def _run(study: Study, settings: ComparisonSettings) -> ComparisonTable:
    from .comparison import measured_axes, run_comparison, study_measure
    from .models import open_study_model
    from .toxicity import open_study_scorer

    axes = measured_axes(study, settings)
    lm, scorer = open_study_model(study), open_study_scorer(study)
    with ProgressReport() as progress:
        measure = study_measure(lm, study, axes, scorer=scorer)
        return run_comparison(lm, study, settings, scorer=scorer, measure=measure, progress=progress)


def _print(study: Study, table: ComparisonTable) -> None:
    """What each method does to the bias on test at no more than 5 % and 10 % more perplexity."""
    from .comparison_table import affordable

    print(f"Comparison '{table.name}' in {study.folder}; claims on test prompts, 95 % intervals")
    test = table.frame[table.frame["split"] == "test"]
    for limit in LIMITS:
        best = affordable(test, f"bias.{table.axis}", limit)
        print(f"\nAt no more than {100 * limit:g} % more perplexity:")
        print_table(
            ("method", "alpha", "gamma", "perplexity", f"bias {table.axis}", "95 % interval"),
            [(row.method, f"{row.alpha:g}", _gamma(row.gamma), percent(row.ppl_relative), percent(row.relative),
              format_interval(100 * row.relative_low, 100 * row.relative_high, signed=True) + " %")
             for row in best.itertuples()],
        )  # fmt: skip
        if too_dear := [method for method in dict.fromkeys(test["method"]) if method not in set(best["method"])]:
            print(f"at no alpha that was measured: {', '.join(too_dear)}")


def _interactions(
    study: Study, axis: str, pairs: int, gamma: float, blocks: int, to: Path | None, as_json: bool
) -> None:
    from .interactions import measure_interactions
    from .models import open_study_model
    from .toxicity import open_study_scorer

    lm, scorer = open_study_model(study), open_study_scorer(study)
    with ProgressReport() as progress:
        found = measure_interactions(
            lm, study, axis, pairs=pairs, gamma=gamma, blocks=blocks, scorer=scorer, progress=progress
        )
    if to is not None:
        found.export(to)
    if as_json:
        print_json(
            {"study": study.name, "axis": axis, **asdict(found.summary), "pairs": found.frame.to_dict("records")}
        )
    else:
        _print_interactions(found)


def _print_interactions(found: Interactions) -> None:
    for metric, share in found.shares.items():
        low, high = (100 * end for end in share.interval)
        print(
            f"{metric}: removing two heads differs from the sum of removing each in {share.n_differ} of "
            f"{share.n_pairs} pairs (95 % intervals); beyond chance {share.beyond_chance:.0%} "
            f"({format_interval(low, high)} %)"
        )


def parse_shares(text: str, option: str) -> tuple[float, ...]:
    """`0:0.2:0.02` (the last included) or `0.02,0.1` as numbers; raises InputError for anything else."""
    try:
        if ":" not in text:
            return tuple(float(Decimal(part)) for part in text.split(",") if part.strip())
        first, last, step = (Decimal(part) for part in text.split(":"))
        if step <= 0 or last < first or (last - first) / step > MOST_POINTS:
            raise ValueError
        return tuple(float(first + i * step) for i in range(int((last - first) / step) + 1))
    except (ValueError, InvalidOperation) as error:
        raise InputError(
            f"{option} is '{text}'; give first:last:step with a step above 0, as 0:0.2:0.02, or a list as 0.02,0.1"
        ) from error


def parse_weights(text: str | None) -> dict[str, float] | None:
    """`religion=2,gender_and_sex=1` as weights by axis; raises InputError for anything else."""
    if text is None:
        return None
    weights = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = part.partition("=")
        try:
            weights[name.strip()] = float(value)
        except ValueError as error:
            raise InputError(f"--weights is '{text}'; give axis=weight with commas, as religion=2") from error
    return weights


def percent(share: float) -> str:
    """A relative change for people: `−12.3 %`."""
    return f"{format_number(100 * share, 1.0, signed=True)} %"


def _gamma(gamma: float) -> str:
    return "none" if gamma != gamma else f"{gamma:g}"


def _names(text: str) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def _one_axis(study: Study, axis: str | None) -> str:
    if axis is None and len(study.axes) != 1:
        raise InputError(f"several axes were scored, choose one with --axis: {', '.join(study.axes)}")
    if axis is not None and axis not in study.axes:
        raise InputError(f"no scores for axis '{axis}'; {nearest(axis, study.axes)}")
    return axis or study.axes[0]
