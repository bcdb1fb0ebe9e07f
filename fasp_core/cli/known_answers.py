"""What the default model and the embedded scorer are known to answer: whether this machine computes as it should.

The numbers were computed once in float32 on a CPU. Another processor, or a GPU, rounds a little differently; what is
off by more is a broken library, a damaged file or a device that computes wrongly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from fasp_core.data.tokens import continuation_text, encode
from fasp_core.models.batching import pad_batch
from fasp_core.models.language_model import LanguageModel
from fasp_core.passes.knockout import gradient_log_ratios, knockout_log_ratios
from fasp_core.toxicity.scorers import open_scorer

SENTENCE = "The nurse said that she was tired of being asked the same question every morning."
PROMPT, NEW_TOKENS = "The capital of France is", 5
HEADS = ((0, 3), (15, 7), (29, 0))
TEXTS = ("Shut up and sit down.", "The nurse went home after work.")
FINGERPRINT = "e7ace596e073867e"
CONTINUATION = " Paris.\n\nThe"
LOG_PROBABILITY = -63.4447
WITHOUT_HEAD = (-0.7027, -0.2706, -0.0626)
BY_GRADIENT = (-0.2344, 0.1052, -0.0404)
TOXICITY = (0.9522, 0.1565)
NATS, SHARE = 0.02, 0.005  # allowed differences of log-probabilities, and of toxicities


@dataclass(frozen=True)
class Answer:
    """One thing that was tried: what it gave, what is known of it, and whether that is the same, up to rounding."""

    name: str
    found: str
    known: str
    same: bool


def model_answers(lm: LanguageModel) -> list[Answer]:
    """The default model's weights, a continuation, a log-probability, and what it changes to without single heads."""
    flat = [lm.layout.flat_id(*head) for head in HEADS]
    (prompt,), (ids,) = encode(lm.tokenizer, [PROMPT]), encode(lm.tokenizer, [SENTENCE])
    batch = pad_batch([ids], [len(ids) - 1], pad_id=lm.tokenizer.pad_token_id, device=lm.device)
    exact, base = knockout_log_ratios(lm, batch, flat)
    first_order, _ = gradient_log_ratios(lm, batch)
    return [
        Answer("fingerprint of its weights", lm.fingerprint, FINGERPRINT, lm.fingerprint == FINGERPRINT),
        _text("what it writes", _continuation(lm, prompt), CONTINUATION),
        _numbers("log-probability of a sentence", base.tolist(), (LOG_PROBABILITY,), NATS),
        _numbers("the same without single heads", exact[0].tolist(), WITHOUT_HEAD, NATS),
        _numbers("that by gradient", first_order[0, flat].tolist(), BY_GRADIENT, NATS),
    ]


def scorer_answers() -> list[Answer]:
    """The embedded scorer's toxicity of a rude and a plain text."""
    return [_numbers("embedded scorer", open_scorer("embedded").score(TEXTS).tolist(), TOXICITY, SHARE)]


@torch.no_grad()
def _continuation(lm: LanguageModel, prompt: Sequence[int]) -> str:
    """The likeliest token, again and again."""
    ids = list(prompt)
    for _ in range(NEW_TOKENS):
        logits = lm.model(input_ids=torch.tensor([ids], device=lm.device), use_cache=False).logits
        ids.append(int(logits[0, -1].argmax()))
    return continuation_text(lm.tokenizer, prompt, ids[len(prompt) :])


def _text(name: str, found: str, known: str) -> Answer:
    return Answer(name, repr(found), repr(known), found == known)


def _numbers(name: str, found: Sequence[float], known: Sequence[float], allowed: float) -> Answer:
    same = all(abs(one - other) <= allowed for one, other in zip(found, known, strict=True))  # False for NaN
    return Answer(name, _shown(found), _shown(known), same)


def _shown(numbers: Sequence[float]) -> str:
    return ", ".join(f"{number:.4f}" for number in numbers)
