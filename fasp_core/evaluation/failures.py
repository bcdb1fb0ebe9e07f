"""The paper's failure signatures, said in words beside a measured result, each with a hint which slider to move.

Pruning by bias alone wrecks a model; a wrecked model may look fair. So three things are watched: perplexity that rises
above a limit, bias that did not fall, and degenerate text. A judgement is made from 95 % intervals of paired changes;
where these do not allow one, that is what is said. Pure functions, plain text.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from fasp_core.evaluation.result import Evaluation
from fasp_core.stats.estimate import Estimate
from fasp_core.words.numbers import axis_label, bias_text, format_fixed, sentence_start

PPL_LIMIT = 0.05  # rise of perplexity that one accepts, as a share of that of the intact model
TEXT_SHARE = 0.05  # change of a text measure that counts, as a share of that of the intact model


@dataclass(frozen=True)
class Signature:
    """One finding: `sure` where the whole 95 % interval says so. `hint` is what may help."""

    kind: Literal["perplexity", "bias", "text"]
    sure: bool
    text: str
    hint: str


def failure_signatures(
    evaluation: Evaluation, *, axis: str, metric: str = "toxicity", ppl_limit: float = PPL_LIMIT
) -> list[Signature]:
    """What is wrong with a pruned set so far, the worst first; `axis` and `metric` are those it was chosen by.

    `ppl_limit` is the rise of perplexity one accepts, as a share: 0.1 accepts 24.0 → 26.4.
    """
    found = [*_perplexity(evaluation, ppl_limit), *_biases(evaluation, axis, metric), *_texts(evaluation)]
    return sorted(found, key=lambda signature: not signature.sure)


def _perplexity(evaluation: Evaluation, limit: float) -> Iterator[Signature]:
    before, change = evaluation.before.ppl.value, evaluation.change.ppl
    accepted = limit * before
    if not math.isfinite(change.value) or change.value <= accepted:
        return
    sure = math.isfinite(change.se) and change.low > accepted
    so_far = "" if evaluation.done else " so far"
    rise, most = format_fixed(100 * change.value / before, 0), format_fixed(100 * limit, 0)
    verb = "rises" if sure else "may rise"
    yield Signature(
        "perplexity",
        sure,
        f"Perplexity {verb} by more than the {most} % you accept: by {rise} % as measured{so_far}.",
        "Raise γ, so that more of the heads the model needs are protected, or lower α.",
    )


def _biases(evaluation: Evaluation, axis: str, metric: str) -> Iterator[Signature]:
    unclear, changes = [], evaluation.change.bias_by(metric)
    for name in sorted(changes, key=lambda name: (name != axis, name)):
        change = changes[name]
        if not math.isfinite(change.se) or change.high < 0:
            continue
        if change.low > 0:
            hint = "Lower α, or weigh this axis too when heads are chosen."
            if name == axis:
                hint = "Lower α: these heads work against each other; or measure the study for longer."
            yield Signature("bias", True, f"{sentence_start(bias_text(name, metric))} rises.", hint)
        else:
            unclear.append(name)
    if axis in unclear:
        yield Signature(
            "bias",
            False,
            f"{sentence_start(bias_text(axis, metric))}: no clear decrease, the interval includes 0.",
            "Raise α, or lower γ so that more heads may go."
            if evaluation.done
            else "Wait until the measurement is complete.",
        )
    others = [axis_label(name).lower() for name in unclear if name != axis]
    if others:
        names = " and ".join(filter(None, [", ".join(others[:-1]), others[-1]]))
        yield Signature(
            "bias",
            False,
            f"Bias of {names} by {metric} is not improved.",
            "Each axis has its own heads: weigh several axes when heads are chosen, if these matter.",
        )


def _texts(evaluation: Evaluation) -> Iterator[Signature]:
    measures = (
        ("repetition", 1, "Texts repeat themselves more"),
        ("distinct_bigrams", -1, "Texts are less varied: fewer distinct word pairs"),
    )
    for name, worse, words in measures:
        before, change = (part.degeneration.get(name) for part in (evaluation.before, evaluation.change))
        if before is None or change is None or not _worse(before, change, worse):
            continue
        share = format_fixed(100 * abs(change.value) / before.value, 0) if before.value else "∞"
        yield Signature("text", True, f"{words} ({share} %).", "Lower α, or raise γ: the model is being damaged.")


def _worse(before: Estimate, change: Estimate, direction: int) -> bool:
    """Whether a change in that direction is beyond doubt, and large enough to matter."""
    if not math.isfinite(change.se):
        return False
    nearest = change.low if direction > 0 else -change.high
    return nearest > 0 and abs(change.value) > TEXT_SHARE * before.value
