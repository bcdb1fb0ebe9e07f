"""Proof that a checkpoint is the model that was measured: it is loaded again and compared with the gated base model.

Where the configuration asks for compensation, the base model's layers are refitted once more, and compared with that.

report = verify_checkpoint("no-gender-bias")      # report.equal: whether they agree
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor
from transformers import PreTrainedModel

from fasp_core.errors import InputError
from fasp_core.export.checkpoints import (
    Form,
    checkpoint_form,
    load_checkpoint,
    load_configuration,
    open_base_model,
    weight_files,
)
from fasp_core.export.compensated import refit
from fasp_core.models.compensation import compensate_heads
from fasp_core.models.compensation_choice import Compensate
from fasp_core.models.generation import without_own_settings
from fasp_core.models.heads import gate_heads
from fasp_core.models.language_model import LanguageModel
from fasp_core.models.loading import converted, quiet_loading

# Largest difference of logits, relative to the largest logit. Half precision rounds sums of other lengths differently.
TOLERANCE = {torch.float32: 1e-5, torch.float16: 2e-2, torch.bfloat16: 5e-2}
SEQUENCES, TOKENS, NEW_TOKENS, TIMED_RUNS = 4, 24, 20, 3


@dataclass(frozen=True)
class BeforeAfter:
    """A quantity of the base model and of the checkpoint."""

    before: float
    after: float


@dataclass(frozen=True)
class Verification:
    """How a checkpoint compares with its base model with the same heads gated and the layers refitted as it says.

    `difference` is the largest difference of logits relative to the largest logit; `same_tokens` of `n_tokens` greedily
    generated tokens agree (not asked of half precision). `weight_bytes` are those of the weights as stored.
    """

    folder: str
    form: Form
    n_pruned: int
    compensate: Compensate
    difference: float
    tolerance: float
    same_tokens: int
    n_tokens: int
    weight_bytes: BeforeAfter
    parameters: BeforeAfter
    tokens_per_second: BeforeAfter

    @property
    def equal(self) -> bool:
        """Whether the checkpoint is the gated model, up to rounding."""
        exact = self.tolerance > TOLERANCE[torch.float32] or self.same_tokens == self.n_tokens
        return exact and self.difference <= self.tolerance


def verify_checkpoint(folder: str | os.PathLike[str], *, base: str | None = None, device: str = "auto") -> Verification:
    """Load a checkpoint and its base model, `base` or the one its configuration names, and compare them.

    Raises InputError for a folder that is no whole checkpoint, or a base model that is not the one it was made from.
    """
    folder = Path(folder)
    config = load_configuration(folder)
    ref = base or config.model.ref
    if ref is None:
        raise InputError(f"{folder} does not name the model it was made from; give it with --base")
    pruned = load_checkpoint(folder)
    lm = open_base_model(config, ref, device=device)
    fitted = refit(lm, config)
    n_bytes, n_parameters = _bytes(converted(lm.model, pruned.dtype)), lm.model.num_parameters()
    if fitted is not None:
        converted(compensate_heads(lm.model, fitted), pruned.dtype)
    pruned = converted(pruned.requires_grad_(False), lm.device)
    ids = _sequences(lm)
    with quiet_loading(), without_own_settings(lm.model), without_own_settings(pruned):
        with gate_heads(lm.model, config.pruned):
            logits, tokens = lm.model(ids).logits, _generate(lm, lm.model, ids)
        difference = (pruned(ids).logits - logits).abs().max() / logits.abs().max()
        same = (_generate(lm, pruned, ids) == tokens)[:, -NEW_TOKENS:]
        speed = _speeds(lm, pruned, ids[:1])
    return Verification(
        folder=str(folder),
        form=checkpoint_form(folder),
        n_pruned=len(config.pruned),
        compensate="none" if fitted is None else fitted.how,
        difference=float(difference),
        tolerance=TOLERANCE[pruned.dtype],
        same_tokens=int(same.sum()),
        n_tokens=same.numel(),
        weight_bytes=BeforeAfter(n_bytes, sum(path.stat().st_size for path in weight_files(folder))),
        parameters=BeforeAfter(n_parameters, pruned.num_parameters()),
        tokens_per_second=speed,
    )


def _sequences(lm: LanguageModel) -> Tensor:
    """Token ids that look like nothing in particular, always the same, (SEQUENCES, TOKENS)."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, lm.tokenizer.vocab_size, (SEQUENCES, TOKENS), generator=generator).to(lm.device)


def _generate(lm: LanguageModel, model: PreTrainedModel, ids: Tensor) -> Tensor:
    generate = cast(Callable[..., Tensor], model.generate)
    return generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=NEW_TOKENS,
        min_new_tokens=NEW_TOKENS,
        do_sample=False,
        pad_token_id=lm.tokenizer.pad_token_id,
    )


def _speeds(lm: LanguageModel, pruned: PreTrainedModel, ids: Tensor) -> BeforeAfter:
    """Tokens generated per second, each model's best of some runs in turns: a busy machine spoils single runs."""
    seconds: dict[str, list[float]] = {"before": [], "after": []}
    for _ in range(TIMED_RUNS):
        for when, model in (("before", lm.model), ("after", pruned)):
            start = time.perf_counter()
            _generate(lm, model, ids)
            seconds[when].append(time.perf_counter() - start)
    return BeforeAfter(**{when: NEW_TOKENS / min(runs) for when, runs in seconds.items()})


def _bytes(model: PreTrainedModel) -> int:
    """What a model's weights take, each counted once."""
    return sum(weight.numel() * weight.element_size() for weight in model.parameters())
