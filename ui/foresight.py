"""What a measurement could tell, said before it is made: on Prune and Compare a change of bias, on Studies a bias."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fasp_core.errors import InputError
from fasp_core.evaluation.foresight import Foresight, foresee, planned_size
from fasp_core.evaluation.history import measured_sets
from fasp_core.evaluation.streams import stream_of
from fasp_core.scoring.cost import evaluation_seconds, model_shape, stage_seconds, unit_seconds
from fasp_core.scoring.expectation import expected_sentences
from fasp_core.stats.estimate import Estimate
from fasp_core.study.study import Study
from fasp_core.study.verdicts import MATTERS
from fasp_core.words.numbers import bias_word
from fasp_core.words.spoken import spoken_range
from fasp_core.words.verdicts import describe_foresight, describe_smallest_biases
from ui import words
from ui.caches import evaluation_identity, machine_speed, smallest_told


def change_told(
    study: Study, intact: Estimate | None, axis: str, metric: str, *, split: str = "valid", blocks: int | None = None
) -> str:
    """The smallest change of the bias of an axis that an evaluation of so many blocks tells from none.

    `intact` is the bias of the intact model by `metric` as the study knows it. "" where nothing is known of the noise.
    """
    try:
        n = planned_size(study, axis, metric, split=split, blocks=blocks)
        found = measured_sets(study, stream=stream_of(axis, metric), identity=evaluation_identity(study))
    except InputError:
        return ""
    foresight = foresee(found, intact, axis, metric)
    if foresight is None:
        return ""
    smallest = foresight.smallest(n)
    what, more = bias_word(axis), _more(foresight, smallest, metric)
    return describe_foresight(smallest, n, metric, sets=foresight.sets, more=more, what=what)


def _more(foresight: Foresight, smallest: float, metric: str) -> tuple[float, int] | None:
    """The bias that matters and the texts that tell it, where these are more. By likelihood no more can be had."""
    wanted = MATTERS[metric]
    return (wanted, foresight.needed(wanted)) if metric == "toxicity" and smallest > wanted else None


def time_of_a_set(
    study: Study, axis: str, metric: str, compensations: Sequence[str], *, split: str, blocks: int
) -> str:
    """About how long one set takes on this machine, with each compensation; "" where the model's files do not tell."""
    try:
        shape = model_shape(study.manifest.model.get("ref") or "")
        n = planned_size(study, axis, metric, split=split, blocks=blocks)
    except InputError:
        return ""
    if shape is None:
        return ""
    how = {"flops": machine_speed()[0], "new_tokens": study.manifest.settings.max_new_tokens}
    each = (evaluation_seconds(shape, n, metric, refitted=one != "none", **how) for one in compensations)
    seconds = sum(each)
    return words.TIME_OF_A_SET.format(spoken_range(seconds, seconds, seconds))


def time_of_stages(study: Study, metric: str, size: int, stages: Mapping[str, int]) -> str:
    """How many stages fasp_iterative goes through, and about how long they take; "" where there are none.

    `stages` counts them by compensation, and each scores heads on `size` texts, or readings. No time is told where the
    model's files do not tell its shape.
    """
    if not (n := sum(stages.values())):
        return ""
    try:
        shape = model_shape(study.manifest.model.get("ref") or "")
    except InputError:
        shape = None
    takes = ""
    if shape is not None:
        how = {"flops": machine_speed()[0], "new_tokens": study.manifest.settings.max_new_tokens}
        seconds = sum(
            each * stage_seconds(shape, size, metric, refitted=way != "none", **how) for way, each in stages.items()
        )
        takes = f", {spoken_range(seconds, seconds, seconds)} on this machine"
    return words.STAGES.format(n, "stage" if n == 1 else "stages", takes)


def expected_of_more(study: Study, axes: list[str], *, minutes: float | None, aim: float | None) -> str:
    """What so many minutes more are expected to bring, or how long a reliability is expected to take; "" if unknown."""
    try:
        shape = model_shape(study.manifest.model.get("ref") or "")
        flops = machine_speed()[0]
        one = {metric: unit_seconds(shape, metric, flops=flops) for metric in study.metrics} if shape else {}
        return " ".join(expected_sentences(study, axes, one, minutes=minutes, aim=aim))
    except InputError:
        return ""


def biases_told(study: Study, axes: list[str], sizes: Mapping[str, int], *, like: str | None = None) -> str:
    """The smallest bias that so many texts (by metric) of each axis tell from none, by the noise of a study.

    `like` is its name, where it is not the one to be measured.
    """
    found = {
        (axis, metric): (size, n)
        for axis in axes
        for metric, n in sizes.items()
        if n and (size := smallest_told(study, axis, metric, n)) is not None
    }
    return describe_smallest_biases(found, like=like)
