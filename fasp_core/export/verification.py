"""Proof that a checkpoint is the model that was measured: compared, reloaded, with the gated base model.

report = verify_checkpoint("no-gender-bias")      # raises nothing if they differ: see report.equal
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel

from .checkpoints import Form, checkpoint_form, load_checkpoint, load_configuration, weight_files
from .errors import InputError
from .heads import gate_heads
from .loading import quiet_loading
from .models import DTYPES, LanguageModel, open_model

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
    """How a checkpoint compares with its base model with the same heads gated.

    `difference` is the largest difference of logits relative to the largest logit; `same_tokens` of `n_tokens` greedily
    generated tokens agree (not asked of half precision). `weight_bytes` are those of the weights as stored.
    """

    folder: str
    form: Form
    n_pruned: int
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


def verify_checkpoint(folder: str | os.PathLike, *, base: str | None = None, device: str = "auto") -> Verification:
    """Load a checkpoint and its base model, `base` or the one its configuration names, and compare them.

    Raises InputError for a folder that is no whole checkpoint, or a base model that is not the one it was made from.
    """
    folder = Path(folder)
    config = load_configuration(folder)
    ref = base or config.model.ref
    if ref is None:
        raise InputError(f"{folder} does not name the model it was made from; give it with --base")
    pruned = load_checkpoint(folder)
    lm = open_model(ref, device=device, dtype=next(name for name, dtype in DTYPES.items() if dtype == pruned.dtype))
    config.check_layout(lm.layout)
    if config.model.fingerprint not in (None, lm.fingerprint):
        raise InputError(
            f"'{ref}' is not the model that {folder} was made from (fingerprint {lm.fingerprint}, not "
            f"{config.model.fingerprint}); give that one with --base"
        )
    pruned = pruned.requires_grad_(False).to(lm.device)
    ids = _sequences(lm)
    with quiet_loading():
        with gate_heads(lm.model, config.pruned):
            logits, tokens = lm.model(ids).logits, _generate(lm, lm.model, ids)
        difference = (pruned(ids).logits - logits).abs().max() / logits.abs().max()
        same = (_generate(lm, pruned, ids) == tokens)[:, -NEW_TOKENS:]
        speed = _speeds(lm, pruned, ids[:1])
    return Verification(
        folder=str(folder), form=checkpoint_form(folder), n_pruned=len(config.pruned),
        difference=float(difference), tolerance=TOLERANCE[lm.dtype],
        same_tokens=int(same.sum()), n_tokens=same.numel(),
        weight_bytes=BeforeAfter(_bytes(lm.model), sum(path.stat().st_size for path in weight_files(folder))),
        parameters=BeforeAfter(lm.model.num_parameters(), pruned.num_parameters()),
        tokens_per_second=speed,
    )  # fmt: skip


def _sequences(lm: LanguageModel) -> Tensor:
    """Token ids that look like nothing in particular, always the same, (SEQUENCES, TOKENS)."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, lm.tokenizer.vocab_size, (SEQUENCES, TOKENS), generator=generator).to(lm.device)


def _generate(lm: LanguageModel, model: PreTrainedModel, ids: Tensor) -> Tensor:
    return model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=NEW_TOKENS, min_new_tokens=NEW_TOKENS,
        do_sample=False, pad_token_id=lm.tokenizer.pad_token_id,
    )  # fmt: skip


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
