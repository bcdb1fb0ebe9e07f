"""What a reduced precision does to the scores, measured against float32 and told in their own standard errors.

Rounding acts like noise on each log-ratio. A score is a mean over samples of log-ratios times toxicity, so that noise
adds to its error as √(mean square rounding / mean square log-ratio) times the error it has anyway.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import torch

from .batching import pad_batch
from .heads import HeadLayout
from .knockout import gradient_log_ratios
from .measure import Sequences
from .models import LanguageModel

TEXTS = 16  # enough for the size of an error, which is all that is wanted


@dataclass(frozen=True)
class PrecisionError:
    """Rounding of log-ratios: its root mean square in nats, and the median head's share of its standard error."""

    nats: float
    standard_errors: float


def precision_error(lm: LanguageModel, sequences: Sequences) -> PrecisionError:
    """Compare gradient log-ratios of a few sequences in the model's precision with float32.

    Needs the memory of a second, float32, copy of the model while it runs. Zero for a float32 model.
    """
    if lm.dtype == torch.float32:
        return PrecisionError(0.0, 0.0)
    batch = pad_batch(
        sequences.tokens[:TEXTS], sequences.scored[:TEXTS], pad_id=lm.tokenizer.pad_token_id, device=lm.device
    )
    rounded, _ = gradient_log_ratios(lm, batch)
    model = copy.deepcopy(lm.model).float()
    exact, _ = gradient_log_ratios(replace(lm, model=model, layout=HeadLayout.of(model), dtype=torch.float32), batch)
    difference = (rounded - exact).square().mean(0)  # (N)
    share = (difference / exact.square().mean(0)).sqrt()
    return PrecisionError(float(difference.mean().sqrt()), float(share.nanmedian()))
