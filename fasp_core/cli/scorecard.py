"""The scorecard of `evaluate --scorecard`: everything that pruning changed, as a table or as JSON."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fasp_core.cli.output import print_table
from fasp_core.cli.terminal import ProgressReport

if TYPE_CHECKING:
    from fasp_core.data.sentence_pairs import SentencePairs
    from fasp_core.evaluation.result import Evaluation
    from fasp_core.evaluation.scorecard_result import Scorecard
    from fasp_core.evaluation.scorecard_row import Row
    from fasp_core.models.language_model import LanguageModel
    from fasp_core.study.study import Study


def load_sentences(files: Sequence[str] | None) -> list[SentencePairs]:
    """The built-in sentence pairs and those of the files; what was decided in reading them is said on stderr."""
    from fasp_core.data.pair_files import load_sentence_pairs

    sets = [load_sentence_pairs(source) for source in ("builtin", *(files or ()))]
    for pairs in sets:
        for note in pairs.notes:
            print(f"note: {pairs.name}: {note}", file=sys.stderr)
    return sets


def measure_scorecard(
    study: Study, lm: LanguageModel, evaluation: Evaluation, sentences: Sequence[SentencePairs]
) -> Scorecard:
    """The scorecard of an evaluated set, to the end, with progress; what was read is kept beside the study."""
    from fasp_core.evaluation.scorecard import scorecard
    from fasp_core.evaluation.store import EvaluationStore
    from fasp_core.progress import StageClock

    store = EvaluationStore(study.folder.parent)
    with ProgressReport() as progress:
        clock = StageClock(f"scorecard on {evaluation.split}", 100, "%", progress)
        steps = scorecard(
            lm,
            evaluation.pruned,
            split=evaluation.split,
            evaluation=evaluation,
            compensate=evaluation.compensate,
            pairs=sentences,
            store=store,
        )
        for card in steps:
            clock.step(int(100 * card.fraction_done) - clock.done)
    return card


def rows_json(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Plain values for JSON."""
    from fasp_core.export.scorecard_rows import ScorecardRow

    return [ScorecardRow.of(row).model_dump() for row in rows]


def print_rows(rows: Sequence[Row]) -> None:
    """Rows of a scorecard as a table."""
    from fasp_core.export.scorecard_rows import HEADER, ScorecardRow

    print_table(HEADER, [ScorecardRow.of(row).cells for row in rows])


def scorecard_json(card: Scorecard) -> dict[str, Any]:
    """Plain values for JSON."""
    return {"split": card.split, "exploratory": card.exploratory, "rows": rows_json(card.rows)}


def print_scorecard(card: Scorecard) -> None:
    """The table, and below it what must be known to read it."""
    from fasp_core.export.scorecard_rows import scorecard_notes

    print_rows(card.rows)
    for note in scorecard_notes(card.split, len(card.rows)):
        print(note)
