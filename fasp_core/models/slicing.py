"""Which weights of an attention layer belong to which heads, and how to slice them out.

A layer is understood when its attention module holds nothing but query, key and value projections (apart, or fused in
one of the layouts below), the output projection, and norms of single heads. Everything else is refused, never guessed.

Letters: H query heads, G query heads per key/value head, D head size; k/v head = query head // G.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from fasp_core.errors import InputError
from fasp_core.models.heads import HeadLayout, Projection

# Fused projections look alike from outside, so their layout is written down here by the class that splits them:
# "blocks" is [all queries | all keys | all values], "by head" is [q, k, v] of head 0, [q, k, v] of head 1, …
FUSED = {
    "GPT2Attention": ("c_attn", "blocks"),
    "Phi3Attention": ("qkv_proj", "blocks"),
    "GPTNeoXAttention": ("query_key_value", "by head"),
    "BloomAttention": ("query_key_value", "by head"),
}
SEPARATE = ("q_proj", "k_proj", "v_proj")
NORMS = {"q": ("q_norm", "q_layernorm"), "k": ("k_norm", "k_layernorm")}


@dataclass(frozen=True)
class KeptHeads:
    """What stays of a layer: query heads, key/value heads, and how queries find their keys.

    Attention takes queries in even groups, the n-th group with the n-th key/value head. Where the groups have lost
    unequal numbers of queries, the smaller ones are filled up with a query that they have already, whose second answer
    is dropped: `slots` are the query heads as attention sees them, `group` of them for each of `keys`.
    """

    queries: tuple[int, ...]
    keys: tuple[int, ...]
    group: int
    slots: tuple[int, ...]

    @classmethod
    def of(cls, queries: Sequence[int], query_group: int) -> KeptHeads:
        """Keep these query heads; a k/v head goes only with its whole group.

        `KeptHeads.of([0, 1, 2], 2)`: key head 0 serves queries 0 and 1, head 1 only query 2; `slots` is (0, 1, 2, 2).
        """
        queries = tuple(sorted(queries))
        groups = {key: list(served) for key, served in groupby(queries, key=lambda query: query // query_group)}
        group = max(map(len, groups.values()))
        slots = (q for served in groups.values() for q in (*served, *served[-1:] * (group - len(served))))
        return cls(queries, tuple(groups), group, tuple(slots))

    def fillers(self) -> tuple[bool, ...]:
        """Which of `slots` repeat the query before them."""
        return tuple(slot == before for before, slot in zip((None, *self.slots), self.slots, strict=False))


@dataclass(frozen=True)
class AttentionWeights:
    """The attention module of one layer, taken apart; `place` is (its parent module, its name there)."""

    module: nn.Module
    place: tuple[nn.Module, str]
    projection: Projection
    inputs: tuple[Projection, ...]
    fused: str | None
    norms: tuple[tuple[str, str, nn.Module], ...]
    layout: HeadLayout

    @classmethod
    def of(cls, layout: HeadLayout, index: int, name: str) -> AttentionWeights:
        """Take apart layer `index` of the model called `name`; raises InputError where it is not fully understood."""
        layer, projection = layout.layers[index], layout.projections[index]
        module, place = _holder(layer, projection)
        norms = tuple((part, n, getattr(module, n)) for part in "qk" for n in NORMS[part] if hasattr(module, n))
        fused = FUSED.get(type(module).__name__)
        names = (fused[0],) if fused else SEPARATE
        refusal = f"heads of {name} can be knocked out but not removed: "
        if not all(hasattr(module, n) for n in names):
            raise InputError(
                f"{refusal}{type(module).__name__} has no projections of single heads that are known "
                f"({', '.join(SEPARATE)}, or those of {', '.join(FUSED)}); export a masked checkpoint"
            )
        made = cls(
            module,
            place,
            projection,
            tuple(getattr(module, n) for n in names),
            fused[1] if fused else None,
            norms,
            layout,
        )
        if reason := made._not_understood():
            raise InputError(f"{refusal}{reason}; export a masked checkpoint")
        return made

    def _not_understood(self) -> str | None:
        heads, group, size = self.layout.heads_per_layer, self.layout.query_group, self.layout.head_dim
        wide, narrow = heads * size, heads // group * size
        widths = [wide + 2 * narrow] if self.fused else [wide, narrow, narrow]
        for module in (*self.inputs, self.projection):
            if type(module) not in (nn.Linear, Conv1D):
                return f"a projection is a {type(module).__name__}, not plain weights"
        if [_width(module) for module in self.inputs] != widths or heads % group:
            return "its query, key and value projections are not as wide as its heads"
        if self.fused == "by head" and group != 1:
            return "its fused projection shares keys between heads"
        if group != 1 and not hasattr(self.module, "num_key_value_groups"):
            return "its attention shares keys between heads in a way of its own"
        for part, norm_name, norm in self.norms:
            n = heads if part == "q" else heads // group
            per_head = next((len(c) == n for c in norm.children() if isinstance(c, nn.ModuleList)), True)
            shapes = {(size,)} if isinstance(norm, nn.LayerNorm) else {(size,), (n, size)}
            if not per_head or any(tuple(weight.shape) not in shapes for weight in norm.parameters()):
                return f"{norm_name} normalises all heads of a layer together, so each depends on the others"
        known = {id(p) for m in (*self.inputs, self.projection, *(n for *_, n in self.norms)) for p in m.parameters()}
        for weight_name, weight in self.module.named_parameters():
            if id(weight) not in known:
                return f"nothing is known of the weight {weight_name} in its attention"
        return None

    def slice(self, kept: KeptHeads) -> None:
        """Cut the weights down, in place, to those of the kept heads."""
        for module, rows in zip(self.inputs, self.rows(kept), strict=True):
            _keep_outputs(module, rows)
        _keep_inputs(self.projection, head_places(kept.queries, self.layout.head_dim))
        for part, _, norm in self.norms:
            _keep_norms(norm, kept.slots if part == "q" else kept.keys)

    def rows(self, kept: KeptHeads) -> tuple[Tensor, ...]:
        """Which outputs of each of `inputs` belong to the kept heads, in the order they stay in."""
        heads, size = self.layout.heads_per_layer, self.layout.head_dim
        queries, keys = head_places(kept.queries, size), head_places(kept.keys, size)
        if self.fused == "by head":
            return (head_places(kept.queries, 3 * size),)
        if self.fused == "blocks":
            width = heads * size
            narrow = width // self.layout.query_group
            return (torch.cat([queries, width + keys, width + narrow + keys]),)
        return queries, keys, keys

    def magnitude(self, head: int) -> float:
        """L2 norm of one head's weights: its rows of `inputs` with their biases, its slice of the projection."""
        parts = [projection_magnitude(self.layout, self.projection, head)]
        kept = KeptHeads.of([head], self.layout.query_group)
        for module, rows in zip(self.inputs, self.rows(kept), strict=True):
            parts.append(_select(module.weight, 1 - input_dim(module), rows).float().norm().item())
            if module.bias is not None:
                parts.append(_select(module.bias, 0, rows).float().norm().item())
        return math.hypot(*parts)


def projection_magnitude(layout: HeadLayout, projection: Projection, head: int) -> float:
    """L2 norm of one head's slice of an output projection; its bias belongs to no head."""
    return _select(projection.weight, input_dim(projection), head_places([head], layout.head_dim)).float().norm().item()


def zero_heads(layout: HeadLayout, index: int, heads: Sequence[int]) -> None:
    """Set the heads' slices of one output projection to 0; its bias stays."""
    projection = layout.projections[index]
    rows = head_places(heads, layout.head_dim).to(projection.weight.device)
    set_weight(projection, "weight", projection.weight.detach().index_fill(input_dim(projection), rows, 0.0))


def _holder(layer: nn.Module, projection: nn.Module) -> tuple[nn.Module, tuple[nn.Module, str]]:
    """The module that holds the projection, and where it is itself."""
    path = next(path for path, module in layer.named_modules() if module is projection)
    holder = path.rpartition(".")[0]
    parent, _, name = holder.rpartition(".")
    return layer.get_submodule(holder), (layer.get_submodule(parent), name)


def head_places(heads: Sequence[int], size: int) -> Tensor:
    """The places of the heads' slices, (n · size)."""
    return (torch.tensor(heads, dtype=torch.long)[:, None] * size + torch.arange(size)).flatten()


def input_dim(module: nn.Module) -> int:
    """Which dimension of the weight is the input's: GPT-2's Conv1D keeps its weights transposed."""
    return 0 if isinstance(module, Conv1D) else 1


def _width(module: Projection) -> int:
    return module.weight.shape[1 - input_dim(module)]


def _keep_outputs(module: Projection, kept: Tensor) -> None:
    set_weight(module, "weight", _select(module.weight, 1 - input_dim(module), kept))
    if module.bias is not None:
        set_weight(module, "bias", _select(module.bias, 0, kept))
    setattr(module, "nf" if isinstance(module, Conv1D) else "out_features", len(kept))


def _keep_inputs(module: Projection, kept: Tensor) -> None:
    set_weight(module, "weight", _select(module.weight, input_dim(module), kept))
    setattr(module, "nx" if isinstance(module, Conv1D) else "in_features", len(kept))


def _keep_norms(norm: nn.Module, kept: Sequence[int]) -> None:
    """A norm may have one weight for all heads, which stays, a row for each, or a list with a module for each."""
    for name, weight in norm.named_parameters(recurse=False):
        if weight.dim() == 2:
            set_weight(norm, name, _select(weight, 0, torch.tensor(kept)))
    for name, modules in norm.named_children():
        if isinstance(modules, nn.ModuleList):
            setattr(norm, name, nn.ModuleList(modules[i] for i in kept))


def _select(weight: Tensor, dim: int, kept: Tensor) -> Tensor:
    return weight.detach().index_select(dim, kept.to(weight.device)).contiguous()


def set_weight(module: nn.Module, name: str, value: Tensor) -> None:
    setattr(module, name, nn.Parameter(value, requires_grad=getattr(module, name).requires_grad))
