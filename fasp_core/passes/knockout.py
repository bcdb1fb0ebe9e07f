"""Log-ratios of every sequence without every head, by gradient or exactly. Most of a run's time is spent here.

`r[i, h] = log p(tokens of sequence i | head h knocked out) − log p(the same tokens)`, in nats, summed over the
scored tokens. Sequences are prompt + continuation (for bias, importance weights `exp(r)`) or text windows
(for perplexity). Two of the three tiers are here:

* `gradient_log_ratios`: first order, all heads from one backward pass with one set of gates per sequence (the gradient
  by gates, or head masks, is that of Michel, Levy and Neubig 2019, arXiv 1905.10650, section 4.1);
  `weighted_log_ratios`: the same with a weight for every token, such as its advantage;
* `knockout_log_ratios`: exact (head knock-out as in FASP, arXiv 2312.15398, section 3), one pass per head, resumed from
  the cached input of the head's layer. Resuming runs the model's own forward: during the call the layers below are
  replaced by a function that returns the cached hidden states, and many heads of a layer share one batch.

In both, the output embedding sees only positions whose next token is scored.
Letters: B sequences, T tokens, S scored tokens, L layers, H heads per layer, N = L·H, K heads in one batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from fasp_core.models.batching import TokenBatch, halving, model_inputs, tokens_per_batch
from fasp_core.models.heads import HeadLayout, HookOf, apply_gates, gate_hook
from fasp_core.models.language_model import LanguageModel
from fasp_core.models.skipping import LayerOutput, layers_replaced
from fasp_core.progress import Stop, check_stop

Batch = TypeVar("Batch", bound=TokenBatch)
Value = Callable[[PreTrainedModel, Batch], Tensor]  # one number per sequence, (B), with the gates as they are


def token_logits(model: PreTrainedModel, batch: TokenBatch) -> Tensor:
    """Logits of each scored token, (B, S, V), float32 or better; meaningless where a position is not scored."""
    n_scored = batch.scored.shape[1]

    def keep_scored(module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (args[0][:, -n_scored - 1 : -1], *args[1:])  # (B, S, width): the positions before scored tokens

    handle = model.get_output_embeddings().register_forward_pre_hook(keep_scored)
    try:
        logits = model(**model_inputs(model, batch)).logits
    finally:
        handle.remove()
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def token_log_probs(model: PreTrainedModel, batch: TokenBatch) -> Tensor:
    """Log-probability of each scored token, (B, S) in nats, float32 or better; 0 where a position is not scored."""
    logits = token_logits(model, batch)
    chosen = logits.gather(-1, batch.targets[..., None])[..., 0]
    return torch.where(batch.scored, chosen - logits.logsumexp(-1), 0.0)


@torch.no_grad()
def base_log_probs(lm: LanguageModel, batch: TokenBatch) -> Tensor:
    """Log-probability of each sequence's scored tokens under the model as it is (gates included), (B) on the CPU."""
    return sequence_log_probs(lm.model, batch).cpu()


def sequence_log_probs(model: PreTrainedModel, batch: TokenBatch) -> Tensor:
    """Log-probability of each sequence's scored tokens, (B) in nats."""
    return token_log_probs(model, batch).sum(-1)


def gradient_log_ratios(
    lm: LanguageModel, batch: Batch, value: Value[Batch] = sequence_log_probs, *, hook_of: HookOf | None = None
) -> tuple[Tensor, Tensor]:
    """First-order log-ratios of all heads, (B, N), and the base log-probabilities, (B), both float32 on the CPU.

    `r ≈ −∂ log p / ∂ gate` at gate = 1. Sequences do not mix, so one backward pass of the summed log-probability
    gives every sequence's own gradient. Costs about two forward passes, whatever N is. `value` may be any other
    quantity of a sequence in the place of log p, and `hook_of` may gate a part of a head's output (see
    `models.residual_gates`), here and below.
    """
    gates = _open_gates(lm, batch)
    with torch.enable_grad(), apply_gates(lm.layout, gates, hook_of):
        log_prob = value(lm.model, batch)
        (gradient,) = torch.autograd.grad(log_prob.sum(), gates)
    return -gradient.flatten(1).float().cpu(), log_prob.detach().float().cpu()


def weighted_log_ratios(lm: LanguageModel, batch: TokenBatch, weights: Tensor) -> Tensor:
    """−Σ_t weight_t ∂ log p(token t) / ∂ gate at gate = 1, of all heads: (W, B, N) for W `weights`, (W, B, S).

    float32 on the CPU. With all weights 1 these are the first-order log-ratios. One forward pass, W backward passes.
    """
    gates = _open_gates(lm, batch)
    with torch.enable_grad(), apply_gates(lm.layout, gates):
        log_probs = token_log_probs(lm.model, batch)  # (B, S)
        totals = (weights.to(log_probs) * log_probs).sum((1, 2))  # (W)
        gradients = [torch.autograd.grad(total, gates, retain_graph=True)[0] for total in totals]
    return -torch.stack(gradients).flatten(2).float().cpu()


def _open_gates(lm: LanguageModel, batch: TokenBatch) -> Tensor:
    """Gates of 1, (B, L, H), one set per sequence, by which a gradient can be taken."""
    shape = (batch.ids.shape[0], lm.layout.n_layers, lm.layout.heads_per_layer)
    return torch.ones(shape, device=lm.device, dtype=lm.dtype, requires_grad=True)


@torch.no_grad()
def knockout_log_ratios(
    lm: LanguageModel,
    batch: Batch,
    heads: Sequence[int],
    *,
    value: Value[Batch] = sequence_log_probs,
    hook_of: HookOf | None = None,
    max_tokens: int | None = None,
    stop: Stop | None = None,
) -> tuple[Tensor, Tensor]:
    """Exact log-ratios, (B, len(heads)), and base log-probabilities, (B), both float32 on the CPU.

    `heads` are flat ids in any order. `max_tokens` bounds the K·B·T tokens of one resumed batch.
    A head whose knock-out gives NaN logits gets NaN; the others are not affected. Where the device runs out of
    memory, the resumed batch is halved for the rest of the call. Raises Cancelled between batches once `stop()`
    is true.
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

        def work(some: list[int], layer: int = layer) -> None:
            check_stop(stop, "measuring")
            gated = [layout.head(heads[column])[1] for column in some]
            ratios[:, some] = (
                (_resumed_values(lm, batch, layer, gated, recorded, value, hook_of) - base).T.float().cpu()
            )

        size = halving(work, columns, size)
    return ratios, base.float().cpu()


def _resumed_values(
    lm: LanguageModel,
    batch: Batch,
    layer: int,
    heads: list[int],
    recorded: dict[int, LayerOutput],
    value: Value[Batch],
    hook_of: HookOf | None,
) -> Tensor:
    """The value with each of K `heads` of one layer knocked out, (K, B), from the layer's cached input."""
    layout, k = lm.layout, len(heads)
    gates = torch.ones((k, layout.heads_per_layer), device=lm.device, dtype=lm.dtype)
    gates[torch.arange(k), torch.tensor(heads)] = 0.0
    gates = gates.repeat_interleave(batch.ids.shape[0], dim=0)  # (K·B, H), copy after copy like batch.repeat
    with ExitStack() as stack:
        hook = gate_hook(gates, layout.head_dim) if hook_of is None else hook_of(layer, gates)
        stack.callback(layout.projections[layer].register_forward_pre_hook(hook).remove)
        if layer > 0:
            stack.enter_context(_layers_skipped(layout, layer, recorded[layer - 1], k))
        values = value(lm.model, batch.repeat(k))
    return values.view(k, -1)


@contextmanager
def _recorded_layers(layout: HeadLayout, wanted: Iterable[int]) -> Iterator[dict[int, LayerOutput]]:
    """While inside, forward passes record what the layer below each wanted one returns, by the lower layer's number."""
    recorded: dict[int, LayerOutput] = {}
    with ExitStack() as stack:
        for below in {layer - 1 for layer in wanted if layer > 0}:

            def keep(module: nn.Module, args: tuple[Any, ...], output: LayerOutput, below: int = below) -> None:
                recorded[below] = output

            stack.callback(layout.layers[below].register_forward_hook(keep).remove)
        yield recorded


@contextmanager
def _layers_skipped(layout: HeadLayout, layer: int, output_below: LayerOutput, times: int) -> Iterator[None]:
    """While inside, each layer below `layer` only returns `times` copies of the recorded output.

    An instance attribute `forward` hides the class's method. So the model's own loop, masks and positions stay as they
    are, and the layer's other attributes (such as `attention_type`) can still be read.
    """
    hidden, *rest = (output_below,) if isinstance(output_below, Tensor) else output_below
    hidden = hidden.repeat(times, 1, 1)  # (K·B, T, width)
    output = hidden if isinstance(output_below, Tensor) else (hidden, *rest)
    with layers_replaced(layout.layers[:layer], lambda: output):
        yield
