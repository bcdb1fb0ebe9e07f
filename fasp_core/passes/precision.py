"""How much rounding in a reduced precision adds to the scores, as a share of their standard errors.

Rounding acts like noise on each log-ratio. A score is a mean over samples of log-ratios times toxicity. So its standard
error from rounding is √(mean square rounding error / mean square log-ratio) times its own standard error.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import torch

from fasp_core.models.batching import Sequences, pad_batch
from fasp_core.models.heads import HeadLayout
from fasp_core.models.language_model import LanguageModel
from fasp_core.passes.knockout import gradient_log_ratios

TEXTS = 16  # only the size of the error is needed


@dataclass(frozen=True)
class PrecisionError:
    """Rounding errors of log-ratios: their root mean square in nats, and the median head's in its standard errors."""

    nats: float
    standard_errors: float


def precision_error(lm: LanguageModel, sequences: Sequences) -> PrecisionError:
    """Compare gradient log-ratios of a few sequences in the model's precision with those in float32.

    Holds a second copy of the model, in float32, while it runs. Zero for a float32 model.
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
