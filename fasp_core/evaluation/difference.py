"""measured_difference(): one pruned model against another, on the texts, prompts and windows of both.

Two intervals that overlap say little about whether two models differ: both were measured with the same noise. Here the
difference itself is estimated from pairs, as the change of one pruned model against the intact one is.
"""

from __future__ import annotations

from collections.abc import Sequence

from fasp_core.evaluation.blocks import BlockStore, Work, measured_block
from fasp_core.evaluation.result import Evaluation
from fasp_core.evaluation.totals import Totals
from fasp_core.head import Head


def measured_difference(
    work: Work, heads: Sequence[Head], other: Work, other_heads: Sequence[Head], store: BlockStore
) -> Evaluation:
    """The model of `work` without `heads`, against that of `other` without `other_heads`: before is the latter.

    The two works differ in their compensation at most. Blocks come from the store; what it lacks is measured.
    Raises ValueError for works of other texts, Cancelled once `work.stop()` is true.
    """
    if work.plan.key != other.plan.key:
        raise ValueError("two models are compared on the same texts, prompts and windows")
    mine, theirs = tuple(sorted(set(heads))), tuple(sorted(set(other_heads)))
    totals = Totals(work.streams, work.shares)
    for stream, block in work.steps():
        before = measured_block(other, stream, theirs, block, store)
        totals.add(stream, before, measured_block(work, stream, mine, block, store))
    return totals.evaluation(mine, work.split, work.compensate if mine else "none", 1.0)
