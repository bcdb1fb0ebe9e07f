"""Gates on what the other heads of a layer cannot supply: scores *under compensation* from one backward pass.

With x_h the output of head h at a token and x̂_h its prediction from the layer's other heads (ridge with intercept on
neutral text, as in `compensation`), e_h = x_h − x̂_h is what is really lost when h goes and its layer is refitted. A
residual gate multiplies that part: x_h becomes x̂_h + g e_h, for every head from the others' intact outputs. At g = 1
the model is intact; with one head at g = 0 the layer's output is that of removing the head and refitting. So
∂ log p / ∂ g at g = 1 is, to first order, what the head's removal with compensation does.

All predictions of a layer come from one inverse: with P = (C + λI)⁻¹, C the covariance of the layer's head outputs,
e_h = (x − x̄) P[:, h] P[h, h]⁻¹, where h stands for the head's D places (block inverse of a partitioned matrix).
Letters: L layers, H heads per layer, D head size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fasp_core.models.calibration import layer_moments
from fasp_core.models.compensation_choice import RIDGE
from fasp_core.models.heads import GateHook
from fasp_core.models.language_model import LanguageModel
from fasp_core.models.projection_bias import bias_place
from fasp_core.progress import ProgressCallback, StageClock, Stop


@dataclass(frozen=True, eq=False)
class HeadResiduals:
    """How to find e of all heads from a layer's head outputs x: e = (x − means[layer]) maps[layer].

    `means` (L, H·D), all 0 where the model has no place for an intercept; `maps` (L, H·D, H·D). Its `hook` goes
    wherever gates do: `apply_gates(layout, gates, residuals.hook)`, `gradient_log_ratios(…, hook_of=residuals.hook)`.
    """

    means: Tensor
    maps: Tensor
    head_dim: int

    def hook(self, layer: int, gate: Tensor) -> GateHook:
        """The gates (H) or (B, H) of a layer on the parts of its heads that the others cannot supply."""
        return residual_gate_hook(gate, self.means[layer], self.maps[layer], self.head_dim)


def fit_residuals(
    lm: LanguageModel,
    windows: Sequence[Sequence[int]],
    *,
    ridge: float = RIDGE,
    progress: ProgressCallback | None = None,
    stop: Stop | None = None,
) -> HeadResiduals:
    """Fit the residuals of all heads on windows of token ids, in the model's precision and on its device.

    `ridge` is that of `fit_compensation`, and must be above 0 where heads write linearly dependent outputs. Raises
    InputError for text without a token, Cancelled once `stop()` is true.
    """
    centred = bias_place(lm.model, lm.layout) is not None
    means, maps = [], []
    clock = StageClock("fitting what heads can supply of each other", lm.layout.n_layers, "layers", progress)
    for _, moments in layer_moments(lm, windows, range(lm.layout.n_layers), stop=stop):
        mean, cross = moments.mean_and_cross(centred=centred)
        means.append(mean)
        maps.append(residual_map(cross, lm.layout.head_dim, ridge))
        clock.step()
    mean, linear = (torch.stack(each).to(lm.device, lm.dtype) for each in (means, maps))
    return HeadResiduals(mean, linear, lm.layout.head_dim)


def residual_map(cross: Tensor, head_dim: int, ridge: float) -> Tensor:
    """M (H·D, H·D) of a layer with covariance `cross`: e of all heads is (x − mean) M."""
    gram = cross.clone()
    gram.diagonal().add_(ridge * cross.diagonal().mean())
    factor, singular = torch.linalg.cholesky_ex(gram)
    inverse = torch.linalg.pinv(gram, hermitian=True) if int(singular) else torch.cholesky_inverse(factor)
    heads = inverse.shape[0] // head_dim
    blocks = inverse.unflatten(0, (heads, head_dim)).unflatten(2, (heads, head_dim))  # (H, D, H, D)
    own = torch.linalg.pinv(blocks.diagonal(dim1=0, dim2=2).permute(2, 0, 1), hermitian=True)  # (H, D, D)
    return torch.einsum("nhd,hde->nhe", inverse.unflatten(1, (heads, head_dim)), own).flatten(1)


def residual_gate_hook(gate: Tensor, mean: Tensor, residual_map: Tensor, head_dim: int) -> GateHook:
    """A forward pre-hook that takes (1 − gate) e_h off each head's slice of the input; `gate` is (H) or (B, H)."""

    def hook(module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        x = args[0]  # (B, T, H·D)
        off = (1 - gate).to(x.device).repeat_interleave(head_dim, dim=-1)  # (H·D) or (B, H·D)
        residual = (x - mean.to(x.device)) @ residual_map.to(x.device)
        return (x - residual * (off if gate.dim() == 1 else off[:, None, :]), *args[1:])

    return hook
