"""The neutral text that pruned models are refitted on (see `models.compensation`); no perplexity is measured on it.

It is always the packaged one, whatever text a study measures, so that a refit can be repeated wherever the model is.
"""

from __future__ import annotations

from functools import lru_cache

from fasp_core.data.articles import TextSet, load_text
from fasp_core.data.frames import PACKAGED_CALIBRATION
from fasp_core.data.tokens import Tokenizer
from fasp_core.data.windows import token_windows

WINDOW_TOKENS = 256


@lru_cache(maxsize=1)
def calibration_text() -> TextSet:
    """The articles; their splits mean nothing here, all of them are read."""
    return TextSet("calibration", load_text(PACKAGED_CALIBRATION).frame)


def calibration_windows(tokenizer: Tokenizer, longest: int | None = None) -> list[list[int]]:
    """Token ids of the whole text in windows of WINDOW_TOKENS, or of `longest` where a model reads fewer at once."""
    length = min(WINDOW_TOKENS, longest or WINDOW_TOKENS)
    return token_windows(tokenizer, calibration_text().frame, length=length)["token_ids"].tolist()
