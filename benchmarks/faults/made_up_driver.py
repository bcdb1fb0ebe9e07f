"""A run on a cluster that is made up in its own process: `python -m benchmarks.faults.made_up_driver ROOT STUDY`.

`kills` kills it where Ray is not installed.
"""

from __future__ import annotations

import sys

from fasp_core.files.paths import PROJECT
from fasp_core.models.open_model import reopen_model
from fasp_core.scoring.score_heads import score_heads
from fasp_core.study.study import open_study


def main(root: str, name: str) -> None:
    """Score the study's first axis for five minutes."""
    sys.path.append(str(PROJECT / "tests"))
    from helpers.fake_cluster import FakeCluster

    study = open_study(name, root)
    lm = reopen_model(study.model_record, name)
    score_heads(lm, axes=study.axes[:1], minutes=5, name=name, root=root, cluster=FakeCluster(lm))


if __name__ == "__main__":
    main(*sys.argv[1:])
