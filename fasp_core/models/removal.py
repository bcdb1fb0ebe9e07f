"""Physical removal of attention heads: smaller projections, the same function as the gated model.

    remove_heads(lm.model, [(0, 3), (5, 1)])      # in place; generate() and its cache work as before

What transformers' attention modules read besides their weights (numbers of heads, the config, keys from the cache) is
put right per layer here, without a subclass per architecture. `slicing` does the weights.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from fasp_core.errors import InputError
from fasp_core.head import Head
from fasp_core.models.heads import HeadLayout, Projection, gate_heads
from fasp_core.models.self_check import removal_is_exact
from fasp_core.models.slicing import AttentionWeights, KeptHeads, zero_heads

QUERY_COUNTS = ("num_heads", "num_attention_heads")
KEY_COUNTS = ("num_key_value_heads",)
CACHES = ("past_key_values", "layer_past")


def remove_heads(model: PreTrainedModel, heads: Iterable[Head]) -> PreTrainedModel:
    """Slice the heads' weights out of a model, in place; returns the model.

    Its outputs are those of the model with the heads' gates at 0. Under grouped-query attention a key/value head goes
    only with its whole query group. Where all heads of a layer go, its attention adds the bias of its projection only.
    Raises InputError, and changes nothing, for heads that do not exist, an architecture whose weights are not fully
    understood, a model that heads were removed from already, or one that gives other logits without the heads than
    with their gates at 0 (tried on a few tokens, unless the model has no weights yet).
    """
    gone = by_layer(model, heads)
    if gone and not any(weight.is_meta for weight in model.parameters()):
        _try_out(model, gone)
    _cut(model, gone)
    return model


def _cut(model: PreTrainedModel, gone: dict[int, set[int]]) -> PreTrainedModel:
    """Slice the heads of each layer out, in place."""
    layout = HeadLayout.of(model)
    parts = {layer: AttentionWeights.of(layout, layer, type(model).__name__) for layer in gone}
    for layer, members in gone.items():
        _shrink(parts[layer], layer, [h for h in range(layout.heads_per_layer) if h not in members])
    removed = tuple(sorted((layer, head) for layer, hs in gone.items() for head in hs))
    model.removed_heads = removed  # type: ignore[assignment]  # a module declares tensors and modules only
    return model


def _try_out(model: PreTrainedModel, gone: dict[int, set[int]]) -> None:
    """Raise InputError where a copy without the heads is not the model with their gates at 0."""
    smaller = _cut(copy_sharing_weights(model), gone)
    refusal = f"heads of {type(model).__name__} can be knocked out but not removed: without them"
    try:
        exact = removal_is_exact(model, smaller, gate_heads(model, [(i, h) for i, hs in gone.items() for h in hs]))
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # an attention that reads its sizes from where they are not known here
        told = " ".join(str(error).split())[:120]
        raise InputError(f"{refusal} it fails ({type(error).__name__}: {told}); export a masked checkpoint") from error
    if not exact:
        raise InputError(f"{refusal} it gives other logits than with them gated; export a masked checkpoint")


def mask_heads(model: PreTrainedModel, heads: Iterable[Head]) -> PreTrainedModel:
    """Zero the heads' slices of the output projections, in place; returns the model, of the same shapes as before.

    Raises InputError, and changes nothing, for heads that do not exist.
    """
    layout = HeadLayout.of(model)
    for layer, masked in by_layer(model, heads).items():
        zero_heads(layout, layer, sorted(masked))
    return model


def copy_sharing_weights(model: PreTrainedModel, dtype: torch.dtype | None = None) -> PreTrainedModel:
    """A copy whose weights are the same tensors; the functions above replace weights, so the model stays intact.

    With `dtype` weights of another number format are copied into this one; buffers stay as they are.
    """
    kept = {id(buffer): buffer for buffer in model.buffers()}
    for weight in model.parameters():
        if dtype is None or weight.dtype == dtype or not weight.is_floating_point():
            kept[id(weight)] = weight
        else:
            kept[id(weight)] = nn.Parameter(weight.detach().to(dtype), requires_grad=weight.requires_grad)
    return copy.deepcopy(model, kept)


def by_layer(model: PreTrainedModel, heads: Iterable[Head]) -> dict[int, set[int]]:
    """The heads of each layer that has any; raises InputError for heads that do not exist."""
    layout = HeadLayout.of(model)
    layers: dict[int, set[int]] = {}
    for layer, head in heads:
        layout.flat_id(layer, head)
        layers.setdefault(layer, set()).add(head)
    return layers


def _shrink(parts: AttentionWeights, layer: int, queries: list[int]) -> None:
    module = parts.module
    if not queries:
        parent, name = parts.place
        setattr(parent, name, NoAttention(module, parts.projection, layer))
        return
    kept = KeptHeads.of(queries, parts.layout.query_group)
    parts.slice(kept)
    if kept.slots != kept.queries:
        _fill_groups(parts, kept)
    counts = dict.fromkeys(QUERY_COUNTS, len(kept.slots)) | dict.fromkeys(KEY_COUNTS, len(kept.keys))
    sizes = {"split_size": len(kept.slots) * parts.layout.head_dim, "num_key_value_groups": kept.group}
    for name, value in (counts | sizes).items():
        if hasattr(module, name):
            setattr(module, name, value)
    if hasattr(module, "config"):
        module.config = LayerConfig(module.config, counts)  # type: ignore[assignment]  # as in `_cut`
    if "alibi" in inspect.signature(module.forward).parameters:
        module.register_forward_pre_hook(KeepSlopes(kept.slots, parts.layout.heads_per_layer), with_kwargs=True)


def _fill_groups(parts: AttentionWeights, kept: KeptHeads) -> None:
    """Have attention see the slots of `kept`: queries are repeated behind their projection, answers dropped again."""
    slots = [kept.queries.index(query) for query in kept.slots]
    if parts.fused:
        slots += range(len(kept.queries), len(kept.queries) + 2 * len(kept.keys))
    queries, answers = parts.inputs[0], parts.projection
    RepeatHeads.turn(queries, slots, parts.layout.head_dim)
    DropHeads.turn(answers, [n for n, filler in enumerate(kept.fillers()) if not filler], parts.layout.head_dim)


class LayerConfig:
    """A model's config as one of its layers sees it: the layer's own numbers of heads, all else from the model's."""

    def __init__(self, config: Any, counts: dict[str, int]) -> None:
        self._config, self._counts = config, counts

    @property
    def _attn_implementation(self) -> str:  # read for every token; quicker than by way of __getattr__
        return self._config._attn_implementation

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in ("_config", "_counts"):  # asked for by copy, before they are there
            raise AttributeError(name)
        return self._counts[name] if name in self._counts else getattr(self._config, name)


class PickingLinear(nn.Linear):
    """A projection beside which heads are picked by place. A class, not a hook: hooks cost more than picking does."""

    picked: Tensor
    head_dim: int

    @classmethod
    def turn(cls, module: Projection, picked: Sequence[int], head_dim: int) -> None:
        """Make a plain projection one of these, in place; its weights stay what they are."""
        module.__class__ = cls
        module.head_dim = head_dim  # type: ignore[assignment]  # as in `_cut`
        device = "cpu" if module.weight.is_meta else module.weight.device  # a model without weights gets them later
        module.register_buffer("picked", torch.tensor(picked, device=device), persistent=False)

    def pick(self, x: Tensor) -> Tensor:
        """(…, heads · D) to (…, picked heads · D)."""
        return x.view(*x.shape[:-1], -1, self.head_dim).index_select(-2, self.picked).flatten(-2)


class RepeatHeads(PickingLinear):
    """A projection to heads, of which some are given several times."""

    def forward(self, x: Tensor) -> Tensor:
        """(…, hidden) to (…, picked heads · D)."""
        return self.pick(nn.functional.linear(x, self.weight, self.bias))


class DropHeads(PickingLinear):
    """A projection of heads, of which some are not taken."""

    def forward(self, x: Tensor) -> Tensor:
        """(…, heads · D) to (…, hidden)."""
        return nn.functional.linear(self.pick(x), self.weight, self.bias)


class KeepSlopes:
    """A forward pre-hook: of ALiBi's biases, (B·H, 1, T), those of the kept heads."""

    def __init__(self, queries: tuple[int, ...], heads: int) -> None:
        self.queries, self.heads = queries, heads

    def __call__(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        alibi = kwargs["alibi"].unflatten(0, (-1, self.heads))  # (B, H, 1, T)
        return args, {**kwargs, "alibi": alibi[:, list(self.queries)].flatten(0, 1)}


class NoAttention(nn.Module):
    """What is left of an attention module without heads: the bias of its output projection, if it has one.

    It still counts tokens in the cache, from whose layers transformers takes the length of what was read.
    """

    def __init__(self, attention: nn.Module, projection: Projection, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.bias = projection.bias
        self.signature = inspect.signature(attention.forward)

    def forward(self, *args: Any, **kwargs: Any) -> tuple[Tensor, None]:
        """Same arguments as the attention it replaces; (B, T, hidden) and no attention weights."""
        given = self.signature.bind(*args, **kwargs).arguments
        hidden = given["hidden_states"]
        cache = next((given[name] for name in CACHES if given.get(name) is not None), None)
        if cache is not None:
            tokens = hidden.new_zeros(hidden.shape[0], 1, hidden.shape[1], 1)
            cache.update(tokens, tokens, self.layer)
        out = given.get("residual", torch.zeros_like(hidden))
        return out if self.bias is None else out + self.bias, None
