"""Rating the texts a study holds, with any scorer: nothing is sampled and no model is opened.

A study keeps every continuation it sampled, of the intact model and of single heads knocked out. Their toxicity is a
file of its own beside each, per scorer; another scorer only adds such files.
"""

from __future__ import annotations

from fasp_core.progress import ProgressCallback, Stop
from fasp_core.scoring.context import RunContext
from fasp_core.scoring.run import Run
from fasp_core.scoring.texts import Echo, Rating, Texts
from fasp_core.study.shard_names import RATING_OF
from fasp_core.study.study import Study
from fasp_core.toxicity.scorers import Scorer


def rescore_study(
    study: Study, scorer: Scorer, *, progress: ProgressCallback | None = None, stop: Stop | None = None
) -> None:
    """Rate every text of the study, and its bare prompts, that this scorer has not rated yet.

    What is finished is kept when stopped. Raises InputError if the study holds scores of another scorer of this name,
    or while another process writes it.
    """
    study.check_scorer(scorer.name, scorer.fingerprint)
    with study.writing():
        study.add_scorer(scorer.name, scorer.ref, scorer.fingerprint)
        run = Run(study, RunContext.of(study, None, scorer, stop), progress, what="rating")
        for axis in study.axes:
            run.fill(Echo.of(axis, len(run.context.axis(axis).frame), scorer.name))
        for kind in RATING_OF:
            for axis in study.axes:
                shards = study.manifest.shards
                texts = [Texts(name, shards[name].rows) for name in study.shard_names(kind, axis)]
                run.fill(Rating(axis, texts, scorer.name))
