"""The command `rescore`."""

from __future__ import annotations

from fasp_core.cli.options import AsJson, NewScorer, ScorerDevice, StudyName
from fasp_core.cli.output import print_base, print_json
from fasp_core.cli.terminal import ProgressReport


def rescore(
    study: StudyName,
    scorer: NewScorer,
    device: ScorerDevice = "auto",
    as_json: AsJson = False,
) -> None:
    """Rate a study's texts with another scorer. Nothing is sampled and the model is not needed."""
    from fasp_core.scoring.rescoring import rescore_study
    from fasp_core.study.study import open_study
    from fasp_core.toxicity.scorers import open_scorer

    opened = open_study(study)
    rater = open_scorer(scorer, device=device)
    with ProgressReport() as progress:
        rescore_study(opened, rater, progress=progress)
    table = opened.scores(scorer=rater.name)
    if as_json:
        print_json({"study": opened.name, "folder": str(opened.folder), **table.record()})
        return
    print(f"Study '{opened.name}' rated by {rater.name}")
    print_base(table, table.axes)
    print(f"Next: python -m fasp_core scores {opened.name} --axis {table.axes[0]} --scorer {rater.name}")
