"""The tasks of `evaluate --tasks`: what the LM evaluation harness finds of a set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fasp_core.cli.terminal import ProgressReport

if TYPE_CHECKING:
    from fasp_core.evaluation.scorecard_row import Row
    from fasp_core.head import Head
    from fasp_core.models.compensation_choice import Compensate
    from fasp_core.models.language_model import LanguageModel
    from fasp_core.study.study import Study


def measure_harness(
    study: Study,
    lm: LanguageModel,
    pruned: Sequence[Head],
    names: Sequence[str],
    folder: Path | None,
    limit: int | None,
    compensate: Compensate | None,
) -> list[Row]:
    """The rows of the harness's tasks, with progress; what was measured is kept beside the study."""
    from fasp_core.evaluation.harness import measure_tasks
    from fasp_core.evaluation.store import EvaluationStore

    store = EvaluationStore(study.folder.parent)
    with ProgressReport() as progress:
        return measure_tasks(
            lm,
            pruned,
            names,
            folder=folder,
            limit=limit,
            compensate=compensate or "none",
            store=store,
            progress=progress,
        )
