"""How large each head's weights are: the baseline `magnitude_l2`, ‖(W_q, W_k, W_v, b_q, b_k, b_v, W_o) of the head‖₂.

As the authors' code sums it up (its `magnitude_l2_structured`): a head's slices of the query, key and value projections
with their biases, and its slice of the output projection without its bias. Query heads that share a key/value head each
count it whole. Where an attention module is not understood (see `slicing`), the output projection alone stands for the
head. Only the order of the heads matters: the smallest are pruned first.

A study keeps it as one small file, `magnitude.00000.parquet`.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from fasp_core.errors import InputError
from fasp_core.models.heads import HeadLayout
from fasp_core.models.language_model import LanguageModel
from fasp_core.models.slicing import AttentionWeights, projection_magnitude
from fasp_core.study.shard_names import MAGNITUDE
from fasp_core.study.study import Study


def head_magnitudes(layout: HeadLayout, name: str) -> np.ndarray:
    """L2 norm of every head's weights, (N) by flat id, of the model called `name`."""
    norms = np.empty((layout.n_layers, layout.heads_per_layer))
    for layer in range(layout.n_layers):
        try:
            weights = AttentionWeights.of(layout, layer, name)
        except InputError:
            weights = None
        for head in range(layout.heads_per_layer):
            norms[layer, head] = (
                weights.magnitude(head) if weights else projection_magnitude(layout, layout.projections[layer], head)
            )
    return norms.ravel()


def keep_magnitudes(study: Study, lm: LanguageModel) -> None:
    """Write the magnitudes to the study, inside its `writing()`, unless they are there."""
    if not study.has_shard(MAGNITUDE):
        study.write_shard(MAGNITUDE, pa.table({"magnitude_l2": head_magnitudes(lm.layout, type(lm.model).__name__)}))
