"""Why an agreement cannot be told, in words, and which pairs that mutes."""

from __future__ import annotations

import numpy as np

from fasp_core.stats.rank_agreement import rank_agreement
from fasp_core.words.agreement import cannot_tell, describe_muted

NAMES = ("bias by toxicity", "bias by likelihood", "facts")


def test_noise_and_too_few_things_mute_a_pair_and_are_said():
    values = np.arange(18.0).reshape(6, 3)
    values[:3, 2] = np.nan
    found, reliability = rank_agreement(values), (0.14, 0.6, None)
    muted = cannot_tell(found, reliability)
    assert muted.tolist() == [[True, True, True], [True, False, True], [True, True, True]]
    assert describe_muted(NAMES, found, reliability, "sets") == [
        "bias by toxicity: reliability 0.14 is too low to tell; noise alone keeps it from agreeing.",
        "2 pairs of measures have fewer than 5 sets in common: too few to tell.",
    ]
    whole = rank_agreement(np.arange(18.0).reshape(6, 3))
    assert not cannot_tell(whole, (0.5, None, 0.9)).any()
    assert describe_muted(NAMES, whole, (0.5, None, 0.9), "heads") == []


def test_a_measure_that_tells_no_difference_is_named():
    values = np.arange(18.0).reshape(6, 3)
    values[:, 1] = 0
    notes = describe_muted(NAMES, rank_agreement(values), (None,) * 3, "sets")
    assert notes == ["bias by likelihood: the same for all sets, so there is nothing to compare."]
