"""The hot path: log-ratios of every sequence under every head's knock-out, by gradient or exactly.

`r[i, h] = log p(tokens of sequence i | head h knocked out) − log p(the same tokens)`, in nats, summed over the
scored tokens. Sequences are prompt + continuation (for bias, importance weights `exp(r)`) or text windows
(for perplexity). Two of the three tiers live here:

* `gradient_log_ratios`: first order, all heads from one backward pass with one set of gates per sequence;
* `knockout_log_ratios`: exact, one pass per head, resumed from the cached input of the head's layer. Resuming runs
  the model's own forward: layers below are replaced, for the time of the call, by a function that hands over the
  cached hidden states, and many heads of a layer ride in one batch.

In both, the vocabulary projection sees only positions whose next token is scored.
Letters: B sequences, T tokens, S scored tokens, L layers, H heads per layer, N = L·H, K heads in one batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from .batching import TokenBatch, model_inputs, tokens_per_batch
from .errors import Cancelled
from .heads import HeadLayout, apply_gates, gate_hook
from .models import LanguageModel
from .progress import Stop

Value = Callable[[nn.Module, TokenBatch], Tensor]  # one number per sequence, (B), with the gates as they are


def token_logits(model: nn.Module, batch: TokenBatch) -> Tensor:
    """What predicts each scored token, (B, S, V), float32 or better; not to be used where a position is not scored."""
    n_scored = batch.scored.shape[1]

    def keep_scored(module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (args[0][:, -n_scored - 1 : -1], *args[1:])  # (B, S, width): the positions before scored tokens

    handle = model.get_output_embeddings().register_forward_pre_hook(keep_scored)
    try:
        logits = model(**model_inputs(model, batch)).logits
    finally:
        handle.remove()
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def token_log_probs(model: nn.Module, batch: TokenBatch) -> Tensor:
    """Log-probability of each scored token, (B, S) in nats, float32 or better; 0 where a position is not scored."""
    logits = token_logits(model, batch)
    chosen = logits.gather(-1, batch.targets[..., None])[..., 0]
    return torch.where(batch.scored, chosen - logits.logsumexp(-1), 0.0)


@torch.no_grad()
def base_log_probs(lm: LanguageModel, batch: TokenBatch) -> Tensor:
    """Log-probability of each sequence's scored tokens under the model as it is (gates included), (B) on the CPU."""
    return sequence_log_probs(lm.model, batch).cpu()


def sequence_log_probs(model: nn.Module, batch: TokenBatch) -> Tensor:
    """Log-probability of each sequence's scored tokens, (B) in nats."""
    return token_log_probs(model, batch).sum(-1)


def gradient_log_ratios(
    lm: LanguageModel, batch: TokenBatch, value: Value = sequence_log_probs
) -> tuple[Tensor, Tensor]:
    """First-order log-ratios of all heads, (B, N), and the base log-probabilities, (B), both float32 on the CPU.

    `r ≈ −∂ log p / ∂ gate` at gate = 1. Sequences do not mix, so one backward pass of the summed log-probability
    gives every sequence's own gradient. Costs about two forward passes, whatever N is. `value` may be any other
    quantity of a sequence in the place of log p, here and below.
    """
    layout = lm.layout
    gates = torch.ones(
        (batch.ids.shape[0], layout.n_layers, layout.heads_per_layer),
        device=lm.device, dtype=lm.dtype, requires_grad=True,
    )  # fmt: skip
    with torch.enable_grad(), apply_gates(layout, gates):
        log_prob = value(lm.model, batch)
        (gradient,) = torch.autograd.grad(log_prob.sum(), gates)
    return -gradient.flatten(1).float().cpu(), log_prob.detach().float().cpu()


@torch.no_grad()
def knockout_log_ratios(
    lm: LanguageModel,
    batch: TokenBatch,
    heads: Sequence[int],
    *,
    value: Value = sequence_log_probs,
    max_tokens: int | None = None,
    stop: Stop | None = None,
) -> tuple[Tensor, Tensor]:
    """Exact log-ratios, (B, len(heads)), and base log-probabilities, (B), both float32 on the CPU.

    `heads` are flat ids in any order. `max_tokens` bounds the K·B·T tokens of one resumed batch.
    A head whose knock-out gives NaN logits gets NaN, the others are not affected. Where the device runs out of
    memory the resumed batch is halved for the rest of the call. Raises Cancelled between batches once `stop()`.
    """
    layout = lm.layout
    max_tokens = max_tokens or tokens_per_batch(lm.model, gradient=False)
    by_layer: dict[int, list[int]] = {}
    for column, flat_id in enumerate(heads):
        by_layer.setdefault(layout.head(flat_id)[0], []).append(column)
    with _recorded_layers(layout, by_layer) as recorded:
        base = value(lm.model, batch)  # (B)
    ratios = torch.empty((batch.ids.shape[0], len(heads)))
    size = max(1, max_tokens // batch.ids.numel())
    for layer, columns in by_layer.items():
        while columns:
            if stop is not None and stop():
                raise Cancelled("measuring was stopped")
            chunk = columns[:size]
            gated = [layout.head(heads[column])[1] for column in chunk]
            try:
                ratios[:, chunk] = (_resumed_values(lm, batch, layer, gated, recorded, value) - base).T.cpu()
            except torch.OutOfMemoryError:
                if len(chunk) == 1:
                    raise
                torch.cuda.empty_cache()
                size = len(chunk) // 2
                continue
            columns = columns[size:]
    return ratios, base.cpu()


def _resumed_values(
    lm: LanguageModel, batch: TokenBatch, layer: int, heads: list[int], recorded: dict[int, Tensor | tuple],
    value: Value,
) -> Tensor:  # fmt: skip
    """The value with each of K `heads` of one layer knocked out, (K, B), from the layer's cached input."""
    layout, k = lm.layout, len(heads)
    gates = torch.ones((k, layout.heads_per_layer), device=lm.device, dtype=lm.dtype)
    gates[torch.arange(k), torch.tensor(heads)] = 0.0
    gates = gates.repeat_interleave(batch.ids.shape[0], dim=0)  # (K·B, H), copy after copy like batch.repeat
    with ExitStack() as stack:
        hook = gate_hook(gates, layout.head_dim)
        stack.callback(layout.projections[layer].register_forward_pre_hook(hook).remove)
        if layer > 0:
            stack.enter_context(_layers_skipped(layout, layer, recorded[layer - 1], k))
        values = value(lm.model, batch.repeat(k))
    return values.view(k, -1)


@contextmanager
def _recorded_layers(layout: HeadLayout, wanted: Sequence[int]) -> Iterator[dict[int, Tensor | tuple]]:
    """While inside, a forward pass leaves here what the layer below each wanted layer returned."""
    recorded: dict[int, Tensor | tuple] = {}
    with ExitStack() as stack:
        for below in {layer - 1 for layer in wanted if layer > 0}:

            def keep(module: nn.Module, args: tuple, output: Tensor | tuple, below: int = below) -> None:
                recorded[below] = output

            stack.callback(layout.layers[below].register_forward_hook(keep).remove)
        yield recorded


@contextmanager
def _layers_skipped(layout: HeadLayout, layer: int, output_below: Tensor | tuple, times: int) -> Iterator[None]:
    """While inside, the layers below `layer` do nothing but hand on `times` copies of a recorded output.

    An instance attribute `forward` shadows the class's method, so the model's own loop, masks and positions stay
    as they are, and everything else about the layer (an `attention_type`, say) stays readable.
    """
    bare = isinstance(output_below, Tensor)  # blocks return the hidden states, alone or first in a tuple
    hidden = (output_below if bare else output_below[0]).repeat(times, 1, 1)  # (K·B, T, width)
    output = hidden if bare else (hidden, *output_below[1:])
    skipped = layout.layers[:layer]
    try:
        for module in skipped:
            module.forward = lambda *args, **kwargs: output
        yield
    finally:
        for module in skipped:
            module.__dict__.pop("forward", None)
