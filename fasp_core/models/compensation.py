"""Compensation: what heads wrote that are gone is written by the heads that stay. No training.

When heads go, the output projection of each touched layer is refitted in closed form on neutral text. With x_R the
outputs of the removed heads and x_K those of the kept ones at a token,

    x_R ≈ x_K A + c   by ridge regression over all tokens,   W_K ← W_K + A W_R,   b ← b + c W_R,   W_R ← 0.

That is the ridge regression of what the removed heads added to the layer's output, x_R W_R. Layers are refitted in
order, each on what it gets from the layers below after *their* refit. On the calibration text the output is never
further from that with all of the layer's heads than the hole's is, since A = 0, c = 0 is one of the candidates.

    fitted = fit_compensation(lm, heads, calibration_windows(lm.tokenizer))
    with compensated_heads(lm.model, fitted): ...                        # the model without the heads; restored on exit
    remove_heads(compensate_heads(lm.model, fitted), heads)              # in place, to be exported

The catch: what the kept heads can supply of a removed head they supply, a bias included. Measure both.
Sources: reconstruction in K-pruning (Park et al. 2024), bias compensation in FLAP (An et al. 2024).
Letters: H heads per layer, D head size, d width of the model.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from fasp_core.errors import InputError, nearest
from fasp_core.head import Head
from fasp_core.models.calibration import Moments, layer_moments
from fasp_core.models.compensation_choice import COMPENSATIONS, RIDGE, Compensate
from fasp_core.models.heads import HeadLayout, Projection
from fasp_core.models.language_model import LanguageModel
from fasp_core.models.projection_bias import SWITCH, BiasPlace, add_missing_biases, bias_place
from fasp_core.models.removal import by_layer
from fasp_core.models.slicing import head_places, input_dim
from fasp_core.progress import Stop


@dataclass(frozen=True, eq=False)
class LayerRefit:
    """The new output projection of one layer.

    `weight` and `bias` are as the projection keeps them; the removed heads' slices are 0. `lost` is the mean square of
    what the removed heads added to the layer's output, per token of the calibration text; `left` of that what the refit
    does not give back, at most `lost`.
    """

    layer: int
    weight: Tensor
    bias: Tensor | None
    lost: float
    left: float


@dataclass(frozen=True, eq=False)
class Compensation:
    """Refitted projections for a set of heads; `intercept` says where c is kept, None where there is no place for it.

    `"bias"`: the projections have a bias. `"attention_bias"`: the config's switch of this name gives them one.
    """

    how: Compensate
    heads: tuple[Head, ...]
    layers: tuple[LayerRefit, ...]
    intercept: BiasPlace
    ridge: float
    n_tokens: int


def fit_compensation(
    lm: LanguageModel,
    heads: Iterable[Head],
    windows: Sequence[Sequence[int]],
    *,
    how: Compensate = "least_squares",
    ridge: float = RIDGE,
    stop: Stop | None = None,
) -> Compensation:
    """Refit the layers that lose `heads` on windows of token ids; `lm` is as before afterwards, also after an error.

    `how` "mean" puts the removed heads' mean output into the bias (A = 0). `ridge` is a share of the mean square of the
    layer's head outputs. Raises InputError for unknown heads or `how`, a projection that is not plain weights, and text
    without a token; Cancelled once `stop()` is true.
    """
    if how not in COMPENSATIONS[1:]:
        raise InputError(f"unknown compensation '{how}'; {nearest(str(how), COMPENSATIONS[1:])}")
    gone = by_layer(lm.model, heads)
    for layer in gone:
        if type(kind := lm.layout.projections[layer]) not in (nn.Linear, Conv1D):
            raise InputError(f"layer {layer} cannot be refitted: its output projection is a {type(kind).__name__}")
    intercept, n_tokens = bias_place(lm.model, lm.layout), 0
    refits: list[LayerRefit] = []
    with ExitStack() as stack:
        for layer, moments in layer_moments(lm, windows, list(gone), stop=stop):
            projection = lm.layout.projections[layer]
            removed = head_places(sorted(gone[layer]), lm.layout.head_dim)
            linear = how == "least_squares"
            refit = refit_layer(projection, moments, removed, linear=linear, intercept=intercept, ridge=ridge)
            weight, bias, lost, left = refit
            refits.append(LayerRefit(layer, weight, bias, lost, left))
            stack.enter_context(_swapped(projection, weight, bias))  # what the next layers are fitted on
            n_tokens = moments.n
    chosen = tuple(sorted((layer, head) for layer, members in gone.items() for head in members))
    return Compensation(how, chosen, tuple(refits), intercept, ridge, n_tokens)


def refit_layer(
    projection: Projection, moments: Moments, removed: Tensor, *, linear: bool, intercept: BiasPlace, ridge: float
) -> tuple[Tensor, Tensor | None, float, float]:
    """New weight and bias of a projection, and the mean squares lost and left (see `LayerRefit`).

    `removed` (n) are the places of the removed heads' slices in its input, (H·D).
    """
    mean, cross = moments.mean_and_cross(centred=intercept is not None)
    old = projection.weight.detach().cpu().double()
    weight = old.T if input_dim(projection) == 1 else old  # (H·D, d)
    kept = torch.ones(weight.shape[0], dtype=torch.bool)
    kept[removed] = False
    kept = kept.nonzero()[:, 0]
    unexplained = torch.zeros(weight.shape[0], removed.numel(), dtype=torch.double)  # x @ this = x_R − x_K A
    unexplained[removed] = torch.eye(removed.numel(), dtype=torch.double)
    if linear:
        unexplained[kept] = -ridge_regression(cross, kept, removed, ridge)
    written = unexplained @ weight[removed]  # (H·D, d): of the layer's output what the kept heads do not supply
    refitted = weight - written
    refitted[removed] = 0.0  # exactly
    own = projection.bias
    bias = None
    if intercept is not None:
        bias = (torch.zeros(weight.shape[1]) if own is None else own.detach().cpu()).double() + mean @ written
        bias = bias.to(projection.weight)
    _, raw = moments.mean_and_cross(centred=False)
    lost = float(((raw[removed][:, removed] @ weight[removed]) * weight[removed]).sum())
    left = float(((cross @ written) * written).sum())
    new = refitted.T if input_dim(projection) == 1 else refitted
    return new.to(projection.weight).contiguous(), bias, lost, left


def ridge_regression(cross: Tensor, inputs: Tensor, outputs: Tensor, ridge: float) -> Tensor:
    """Coefficients (inputs, outputs) of the regression among variables of covariance `cross`.

    The penalty is `ridge` × the mean variance of *all* variables, so that it does not depend on which ones are
    predicted. Without a penalty, of all best coefficients the smallest.
    """
    gram = cross[inputs][:, inputs].clone()
    gram.diagonal().add_(ridge * cross.diagonal().mean())
    factor, failed = torch.linalg.cholesky_ex(gram)
    pivots = factor.diagonal().square()
    # Whether the factorisation of a singular matrix fails is up to rounding: then a pivot is that small.
    if len(gram) and (int(failed) or pivots.min() <= len(gram) * torch.finfo(gram.dtype).eps * pivots.max()):
        return torch.linalg.lstsq(gram, cross[inputs][:, outputs], driver="gelsd").solution
    return torch.cholesky_solve(cross[inputs][:, outputs], factor)


@contextmanager
def compensated_heads(model: PreTrainedModel, compensation: Compensation) -> Iterator[None]:
    """The model without the compensation's heads while inside; the very weights it had are back on exit."""
    projections = HeadLayout.of(model).projections
    with ExitStack() as stack:
        for refit in compensation.layers:
            stack.enter_context(_swapped(projections[refit.layer], refit.weight, refit.bias))
        yield


def compensate_heads(model: PreTrainedModel, compensation: Compensation) -> PreTrainedModel:
    """Give a model the refitted projections, in place; returns it. `remove_heads` may follow: it changes no output.

    Where the intercepts need the config's `attention_bias`, that is switched on and all biases it brings are 0 but
    these. Weights are replaced, not written to.
    """
    if compensation.intercept == SWITCH:
        add_missing_biases(model)
    projections = HeadLayout.of(model).projections
    for refit in compensation.layers:
        _set(projections[refit.layer], refit.weight, refit.bias)
    return model


@contextmanager
def _swapped(projection: Projection, weight: Tensor, bias: Tensor | None) -> Iterator[None]:
    old = projection.weight, projection.bias
    _set(projection, weight, bias)
    try:
        yield
    finally:
        projection.weight, projection.bias = old


def _set(projection: Projection, weight: Tensor, bias: Tensor | None) -> None:
    trained = projection.weight.requires_grad
    projection.weight = nn.Parameter(weight, requires_grad=trained)
    if bias is not None:
        projection.bias = nn.Parameter(bias, requires_grad=trained)
