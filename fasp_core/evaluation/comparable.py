"""Which measured sets may be compared: those measured to the end on the same texts or prompts, and text windows.

A set measured on fewer texts has another value for the intact model too, so its numbers mean nothing beside the others.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass

from fasp_core.evaluation.history import MeasuredSet
from fasp_core.evaluation.result import Metrics
from fasp_core.evaluation.streams import stream_of
from fasp_core.study.shard_names import TEXT


@dataclass(frozen=True)
class Comparable:
    """The sets of one axis and metric that share their texts, the others, and the intact model on the shared texts.

    `intact` is None where no set was measured to the end.
    """

    sets: tuple[MeasuredSet, ...]
    others: tuple[MeasuredSet, ...]
    intact: Metrics | None


def comparable_sets(found: Iterable[MeasuredSet], axis: str, metric: str = "toxicity") -> Comparable:
    """Divide sets of one split by whether they can be compared on `axis` by `metric`; their order stays.

    Of several groups that each share their texts (by likelihood: their prompts), the one with the most is compared; of
    those, the largest.
    """
    measured = [one for one in found if axis in one.evaluation.after.axes_by(metric)]
    groups: dict[Hashable, list[MeasuredSet]] = defaultdict(list)
    for one in measured:
        if one.evaluation.done:
            groups[_texts(one, axis, metric)].append(one)
    if not groups:
        return Comparable((), tuple(measured), None)
    chosen = max(groups.values(), key=lambda group: (_n_texts(group[0], axis, metric), len(group)))
    others = tuple(one for one in measured if not any(one is other for other in chosen))
    return Comparable(tuple(chosen), others, chosen[0].evaluation.before)


def _texts(one: MeasuredSet, axis: str, metric: str) -> Hashable:
    """What two sets must share to have been measured on the same texts."""
    stream = stream_of(axis, metric)
    return one.streams.get(TEXT), one.streams.get(stream), one.evaluation.after.ppl.n, _n_texts(one, axis, metric)


def _n_texts(one: MeasuredSet, axis: str, metric: str) -> int:
    return one.evaluation.after.axes_by(metric)[axis].bias.n
