"""The outputs of attention heads where transformers computes them: a second view, independent of the layout.

Most models of transformers call one function per layer that returns the heads' outputs, (B, T, H, D), before they are
put side by side for the output projection. Here that function is watched and changed, so that what gates do can be
compared with an attention whose heads really give zero.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS


@contextmanager
def heads_zeroed(
    model: PreTrainedModel, layers: Sequence[nn.Module], off: Mapping[int, Sequence[int]]
) -> Iterator[dict[int, list[tuple[int, int]]]]:
    """While inside, attention gives zero for the heads `off` (by layer); yields (H, D) of each call by layer.

    A model whose attention does not go through transformers' attention functions is neither seen nor changed.
    """
    layer_of = {id(module): i for i, layer in enumerate(layers) for module in layer.modules()}
    seen: dict[int, list[tuple[int, int]]] = {}
    name = str(model.config._attn_implementation)
    before = dict(ALL_ATTENTION_FUNCTIONS._local_mapping)

    def attention(module: nn.Module, *args: Any, **kwargs: Any) -> tuple[Tensor, Any]:
        function = before.get(name) or ALL_ATTENTION_FUNCTIONS._global_mapping.get(name)
        if function is None:  # "eager" is each model's own
            function = sys.modules[type(module).__module__].eager_attention_forward
        out, weights = function(module, *args, **kwargs)
        layer = layer_of.get(id(module))
        if layer is not None:
            seen.setdefault(layer, []).append((out.shape[2], out.shape[3]))
            out = out.clone()
            out[:, :, list(off.get(layer, ()))] = 0
        return out, weights

    ALL_ATTENTION_FUNCTIONS[name] = attention
    try:
        yield seen
    finally:
        ALL_ATTENTION_FUNCTIONS._local_mapping.clear()
        ALL_ATTENTION_FUNCTIONS._local_mapping.update(before)
