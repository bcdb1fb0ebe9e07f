"""Where the attention heads of a causal language model live, and how to gate them.

A head's only way into the residual stream is its slice of the input of the layer's output projection. So one
forward pre-hook on each projection, multiplying that slice by a *gate* (1 = intact, 0 = knocked out), is all that
scoring needs, for every architecture: no weight is touched, and leaving the context restores the model.
(The paper's "head knock-out", section 3; transformers 5 has neither `prune_heads` nor `head_mask`.)

Letters in shape comments: B sequences, T tokens, L layers, H query heads per layer, D head size, N = L·H heads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from fasp_core.errors import InputError
from fasp_core.head import Head, flat_id, head_of

# The names under which the models of transformers keep the output projection inside their attention module.
PROJECTION_NAMES = ("o_proj", "out_proj", "c_proj", "dense")
# Config entries, those of the decoder first: a config of encoder and decoder means its encoder's by the common names.
LAYER_COUNTS = ("decoder_layers", "num_decoder_layers", "num_hidden_layers")
HEAD_COUNTS = ("decoder_attention_heads", "num_decoder_attention_heads", "num_attention_heads")
GateHook = Callable[[nn.Module, tuple[Tensor, ...]], tuple[Tensor, ...]]  # a forward pre-hook of a projection
Projection = nn.Linear | Conv1D  # or a module that is like one of these
HookOf = Callable[[int, Tensor], GateHook]  # of a layer and its gates, (H) or (B, H)


@dataclass(frozen=True)
class HeadLayout:
    """The geometry of a model's heads and the modules that carry them.

    `query_group` is the number of query heads that share one key/value head (1 without grouping). `layers` are the
    decoder blocks, `projections` their output projections, whose input is (…, H·D), contiguous per head.
    """

    n_layers: int
    heads_per_layer: int
    head_dim: int
    query_group: int
    layers: tuple[nn.Module, ...]
    projections: tuple[Projection, ...]

    def __repr__(self) -> str:
        return f"<HeadLayout: {self.n_layers} layers × {self.heads_per_layer} heads of width {self.head_dim}>"

    @property
    def n_heads(self) -> int:
        """N, the number of query heads of the whole model."""
        return self.n_layers * self.heads_per_layer

    def flat_id(self, layer: int, head: int) -> int:
        """`layer * heads_per_layer + head`; raises InputError for a head that does not exist."""
        if not (0 <= layer < self.n_layers and 0 <= head < self.heads_per_layer):
            raise InputError(
                f"head ({layer}, {head}) does not exist: layers are 0…{self.n_layers - 1}, "
                f"heads 0…{self.heads_per_layer - 1}"
            )
        return flat_id((layer, head), self.heads_per_layer)

    def head(self, flat_id: int) -> Head:
        """The (layer, head) of a flat id."""
        if not 0 <= flat_id < self.n_heads:
            raise InputError(f"flat head id {flat_id} does not exist: ids are 0…{self.n_heads - 1}")
        return head_of(flat_id, self.heads_per_layer)

    @classmethod
    def of(cls, model: PreTrainedModel) -> HeadLayout:
        """Find the heads of a loaded Hugging Face causal language model.

        Raises InputError, naming the architecture, where heads cannot be told apart.
        """
        name = type(model).__name__
        if getattr(model, "removed_heads", ()):
            raise InputError(f"heads were removed from this {name} already; open the intact model again")
        config = model.config.get_text_config()
        n_layers, heads = _first(config, LAYER_COUNTS), _first(config, HEAD_COUNTS)
        if not isinstance(n_layers, int) or not isinstance(heads, int):
            raise InputError(
                f"{name} has no attention heads that can be scored: its config names no numbers of layers and heads "
                "(state-space and recurrent models mix tokens without heads)"
            )
        if any("linear" in kind or "attention" not in kind for kind in getattr(config, "layer_types", None) or ()):
            raise InputError(_mixed(name))
        layers = _decoder_layers(model, n_layers, name)
        projections = tuple(_output_projection(layer, name) for layer in layers)
        widths = {projection_width(p) for p in projections}
        if len(widths) != 1 or (width := widths.pop()) % heads:
            raise InputError(
                f"{name} has layers of different head counts; heads can be scored only where all are alike"
            )
        kv_heads = getattr(config, "num_key_value_heads", None) or heads
        return cls(n_layers, heads, width // heads, heads // kv_heads, layers, projections)


def projection_width(projection: Projection) -> int:
    """Input width H·D of an output projection: `in_features` of a Linear, rows of GPT-2's transposed Conv1D."""
    return int(getattr(projection, "in_features", None) or projection.weight.shape[0])


def _decoder_layers(model: PreTrainedModel, n_layers: int, name: str) -> tuple[nn.Module, ...]:
    text = model if model.config is model.config.get_text_config() else model.get_decoder()
    for module in text.modules():
        if isinstance(module, nn.ModuleList) and len(module) == n_layers and any(map(_find_projection, module)):
            return tuple(module)
    raise InputError(
        f"{name} has no attention heads that can be scored: none of its {n_layers} layers has an attention with an "
        f"output projection ({', '.join(PROJECTION_NAMES)}); state-space and recurrent models mix tokens without heads"
    )


def _find_projection(layer: nn.Module) -> Projection | None:
    for path, module in layer.named_modules():
        *parents, last = path.split(".")
        if last in PROJECTION_NAMES and any("attn" in p or "attention" in p for p in parents):
            return cast(Projection, module)
    return None


def _output_projection(layer: nn.Module, name: str) -> Projection:
    projection = _find_projection(layer)
    if projection is None:
        raise InputError(_mixed(name))
    if not hasattr(projection, "in_features") and not isinstance(getattr(projection, "weight", None), torch.Tensor):
        raise InputError(
            f"{name} has no attention heads that can be scored: the output projection of its attention is a "
            f"{type(projection).__name__}, whose weight is not known"
        )
    return projection


def _mixed(name: str) -> str:
    return (
        f"{name} mixes attention with layers that have no heads (state-space, recurrent, linear-attention or "
        "convolution layers); heads can be scored only where every layer has them"
    )


def _first(config: PreTrainedConfig, names: tuple[str, ...]) -> int | None:
    """The first of these entries that a config has."""
    return next((getattr(config, name) for name in names if getattr(config, name, None) is not None), None)


@contextmanager
def gate_heads(model: PreTrainedModel, off: Iterable[Head]) -> Iterator[None]:
    """Knock out the heads `off` while inside; the model is as it was on exit, also after an error.

    Raises InputError for a head that does not exist.
    """
    layout = HeadLayout.of(model)
    gates = torch.ones(layout.n_layers, layout.heads_per_layer)
    for layer, head in off:
        layout.flat_id(layer, head)
        gates[layer, head] = 0.0
    weight = next(model.parameters())
    with apply_gates(layout, gates.to(weight.device, weight.dtype)):
        yield


@contextmanager
def apply_gates(layout: HeadLayout, gates: Tensor, hook_of: HookOf | None = None) -> Iterator[None]:
    """Multiply every head's output by its gate while inside, or do with it what `hook_of(layer, gate)` does.

    `gates` is (L, H), the same for all sequences, or (B, L, H), one set per sequence; it may require a gradient.
    Layers whose (L, H) gates are all 1 and need no gradient get no hook, so that they run untouched.
    """
    with ExitStack() as stack:
        for layer, projection in enumerate(layout.projections):
            gate = gates[..., layer, :]  # (H) or (B, H)
            if gates.requires_grad or gates.dim() == 3 or bool((gate != 1).any()):
                hook = gate_hook(gate, layout.head_dim) if hook_of is None else hook_of(layer, gate)
                handle = projection.register_forward_pre_hook(hook)
                stack.callback(handle.remove)
        yield


def gate_hook(gate: Tensor, head_dim: int) -> GateHook:
    """A forward pre-hook that multiplies each head's slice of a projection's input by `gate`, (H) or (B, H)."""

    def hook(module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        x = args[0]  # (B, T, H·D)
        wide = gate.to(x.device).repeat_interleave(head_dim, dim=-1)  # (H·D) or (B, H·D)
        return (x * (wide if gate.dim() == 1 else wide[:, None, :]), *args[1:])

    return hook
