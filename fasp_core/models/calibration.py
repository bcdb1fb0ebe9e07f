"""What the heads of a model write on neutral text: the second moments of each layer's head outputs.

Compensation and residual gates need nothing else of the text. Layers come one at a time, lowest first, and each reading
resumes from hidden states that are kept from the one before: all layers together cost about two passes over the text,
and memory holds one hidden state per token and the moments of one layer.

Letters: B sequences, T tokens, n tokens of the whole text, H heads per layer, D head size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from fasp_core.errors import InputError, RunError
from fasp_core.models.batching import in_batches, tokens_per_batch
from fasp_core.models.language_model import LanguageModel
from fasp_core.models.skipping import LayerOutput, layers_replaced
from fasp_core.progress import Stop, check_stop


class Moments:
    """Count, sum and second moments of the rows seen so far, in float64 on their device."""

    def __init__(self) -> None:
        self.n = 0
        self.total = torch.zeros((), dtype=torch.double)  # (H·D) once there are rows
        self.square = torch.zeros((), dtype=torch.double)  # (H·D, H·D)

    def add(self, rows: Tensor) -> None:
        """Take in rows, (n, H·D)."""
        rows = rows.double()
        total, square = rows.sum(0), rows.T @ rows
        self.n, self.total, self.square = self.n + rows.shape[0], total + self.total, square + self.square

    def mean_and_cross(self, *, centred: bool) -> tuple[Tensor, Tensor]:
        """The mean (H·D) and the covariance (H·D, H·D); uncentred: a mean of 0 and the mean of xxᵀ. On the CPU.

        Raises RunError where the numbers are not finite.
        """
        mean, cross = self.total.cpu() / self.n, self.square.cpu() / self.n
        if not bool(cross.isfinite().all()):
            raise RunError("the heads give no finite numbers on the calibration text; open the model in float32")
        return (mean, cross - torch.outer(mean, mean)) if centred else (torch.zeros_like(mean), cross)


def layer_moments(
    lm: LanguageModel, windows: Sequence[Sequence[int]], layers: Sequence[int], *, stop: Stop | None = None
) -> Iterator[tuple[int, Moments]]:
    """(layer, moments of its output projection's input over all tokens) for each of `layers`, lowest first.

    `windows` are token ids. What the caller changes in a layer before it asks for the next one is seen by that one.
    Raises InputError where there is no token, Cancelled between batches once `stop()` is true.
    """
    texts = [ids for ids in ([int(i) for i in window] for window in windows) if ids]
    if not texts:
        raise InputError("there is no calibration text; give a text of at least one window")
    by_length: dict[int, list[int]] = {}  # only windows of one length share a batch, so that nothing is padded
    for i, ids in enumerate(texts):
        by_length.setdefault(len(ids), []).append(i)
    reader = _Reader(lm, texts)
    for layer in sorted(set(layers)):
        moments = Moments()
        for alike in by_length.values():

            def read(rows: list[int], layer: int = layer, moments: Moments = moments, alike: list[int] = alike) -> None:
                check_stop(stop, "calibration")
                moments.add(reader.written(layer, [alike[row] for row in rows]))

            in_batches([len(texts[i]) for i in alike], tokens_per_batch(lm.model, gradient=False), read)
        reader.resume_at(layer)
        yield layer, moments


class _Reader:
    """Reads windows up to one layer, from what the layer below `first` gave before."""

    def __init__(self, lm: LanguageModel, windows: list[list[int]]) -> None:
        self.lm, self.windows, self.first = lm, windows, 0
        self.states: dict[int, Tensor] = {}  # by window: the hidden state below layer `first`, (T, width)
        self.higher: dict[int, Tensor] = {}  # by window: that below the layer being read
        # What layers return beside the hidden state; None: nothing, no tuple either.
        self.rest: tuple[Any, ...] | None = None

    def resume_at(self, layer: int) -> None:
        """Begin at this layer from now on; all windows have been read up to it."""
        self.first, self.states, self.higher = layer, self.higher, {}

    @torch.no_grad()
    def written(self, layer: int, rows: list[int]) -> Tensor:
        """The input of the layer's projection at all tokens of some windows of one length, (n, H·D)."""
        layout, model = self.lm.layout, self.lm.model
        seen: dict[str, Any] = {}
        below = self._restored(rows) if self.first > 0 else ()  # of no layer

        def keep_input(module: nn.Module, args: tuple[Tensor, ...]) -> None:
            seen["written"] = args[0]

        def keep_output(name: str) -> Callable[..., None]:
            return lambda module, args, output: seen.update({name: output})

        with ExitStack() as stack:
            stack.callback(layout.projections[layer].register_forward_pre_hook(keep_input).remove)
            stack.callback(layout.layers[layer].register_forward_hook(keep_output("top")).remove)
            if layer > 0:
                stack.callback(layout.layers[layer - 1].register_forward_hook(keep_output("below")).remove)
            stack.callback(model.get_output_embeddings().register_forward_pre_hook(_last_position).remove)
            stack.enter_context(layers_replaced(layout.layers[: self.first], lambda: below))
            stack.enter_context(layers_replaced(layout.layers[layer + 1 :], lambda: seen["top"]))
            model(input_ids=torch.tensor([self.windows[row] for row in rows], device=self.lm.device), use_cache=False)
        if layer > 0:
            self._keep(rows, seen["below"])
        return seen["written"].flatten(0, 1)

    def _keep(self, rows: list[int], output: LayerOutput) -> None:
        hidden, self.rest = (output, None) if isinstance(output, Tensor) else (output[0], output[1:])
        self.higher |= dict(zip(rows, hidden, strict=True))

    def _restored(self, rows: list[int]) -> LayerOutput:
        hidden = torch.stack([self.states[row] for row in rows])
        return hidden if self.rest is None else (hidden, *self.rest)


def _last_position(module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """A forward pre-hook of the vocabulary projection, whose result is not needed here: one position is enough."""
    return (args[0][:, -1:], *args[1:])
