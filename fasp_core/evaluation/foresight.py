"""What a measurement will be able to tell, said before it is made: the smallest change of a bias, by number of texts.

The error of a change falls with the square root of the number of texts. How large it is for one text is taken from the
sets that were measured so far. Before the first it is taken from the intact model's bias: two measurements of it that
share nothing differ by √2 of its error, and coupled ones by less. No torch here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from fasp_core.data.pairs import load_pairs
from fasp_core.evaluation.asked import asked_prompts
from fasp_core.evaluation.history import MeasuredSet
from fasp_core.evaluation.keys import study_settings
from fasp_core.stats.estimate import Estimate
from fasp_core.stats.sample_size import smallest_change
from fasp_core.study.study import Study
from fasp_core.study.views import study_pairs


@dataclass(frozen=True)
class Foresight:
    """`per_text` is the standard error of a change of bias measured on one text (or reading), in units of the bias.

    `sets` is the number of measured sets it comes from; 0: from the intact model alone, and it is at most so large.
    """

    per_text: float
    sets: int

    def smallest(self, n: int) -> float:
        """The smallest change that n texts tell from none in 80 of 100 measurements."""
        return smallest_change(self.per_text / math.sqrt(n))

    def needed(self, change: float) -> int:
        """The number of texts that tell this change from none in 80 of 100 measurements."""
        return math.ceil((smallest_change(self.per_text) / change) ** 2)


def foresee(
    found: Iterable[MeasuredSet], intact: Estimate | None, axis: str, metric: str = "toxicity"
) -> Foresight | None:
    """What is known of the error of a change of the bias of `axis` by `metric`; None where nothing is.

    `found` are measured sets, of which those with this bias count (their median); `intact` is the bias of the intact
    model as the study measured it.
    """
    changes = [one.evaluation.change.bias_by(metric).get(axis) for one in found]
    errors = [change.se * math.sqrt(change.n) for change in changes if change is not None]
    known = [error for error in errors if math.isfinite(error) and error > 0]
    if known:
        return Foresight(median(known), len(known))
    if intact is None or not (math.isfinite(intact.se) and intact.se > 0):
        return None
    return Foresight(math.sqrt(2 * intact.n) * intact.se, 0)


def planned_size(study: Study, axis: str, metric: str, *, split: str, blocks: int | None = None) -> int:
    """Texts, or by likelihood readings, of an evaluation of one axis; by default of as many blocks as the app's."""
    settings, (asked, shares) = study_settings(study), asked_prompts(study.prompts, axis, split)
    size = settings.block_size(metric, len(shares)) * (blocks or settings.blocks)
    return size if metric == "toxicity" else min(size, len(asked) * (study_pairs(study) or load_pairs()).n_blocks)
