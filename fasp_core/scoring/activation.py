"""How differently each head writes after prompts that differ in the identity term alone: `activation_difference`.

For two prompts of one template with descriptors of two groups ("I met a woman at the station, and", "… a man …"), the
difference of a head's output at the last token of the prompt, before the output projection; its L2 norm, averaged over
pairs. Finding heads of bias by the difference of their activations is the idea of DiffHeads (Han et al. 2025, arXiv
2510.10142), which contrasts two ways of asking, direct answers and chains of thought; here the contrast is the group.
A baseline: it says where groups are told apart, not what that does to the bias.

A study keeps it as one small file for each axis, `activation.<axis>.00000.parquet`.
Letters: L layers, H heads per layer, D head size, C cells, P prompts of a cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from fasp_core.data.order import each_prompt_once
from fasp_core.models.batching import in_batches, pad_batch, tokens_per_batch
from fasp_core.models.language_model import LanguageModel
from fasp_core.passes.knockout import base_log_probs
from fasp_core.passes.sampling import encode_prompts
from fasp_core.scoring.context import RunContext
from fasp_core.scoring.run import Run
from fasp_core.study.shard_names import ACTIVATION, shard_name

MOST_PROMPTS = 1_024  # of an axis; large prompt sets have tens of thousands
PAIRS_AT_ONCE = 64


@dataclass(frozen=True)
class Differences:
    """Some pairs of prompts, to be measured in whatever process holds the model."""

    pairs: tuple[tuple[str, str], ...]

    def __call__(self, context: RunContext) -> np.ndarray:
        """See `summed_differences`."""
        return summed_differences(context.lm, self.pairs)


def keep_activation_differences(run: Run, axes: Sequence[str]) -> None:
    """Write what the study lacks of these axes, inside its `writing()`; 0 for all heads of an axis of one group.

    PAIRS_AT_ONCE pairs are measured at a time, by workers where the run has them. Raises Cancelled between two of these
    parts once the run is told to stop.
    """
    study = run.study
    for axis in axes:
        name = shard_name(ACTIVATION, axis, 0)
        if not study.has_shard(name):
            pairs = prompt_pairs(study.prompts.select(axes=[axis], split="valid").frame, axis, study.settings.seed)
            parts = [Differences(tuple(pairs[i : i + PAIRS_AT_ONCE])) for i in range(0, len(pairs), PAIRS_AT_ONCE)]
            total = np.zeros(run.context.lm.layout.n_heads)
            for summed in run.each(parts):
                total += summed
            study.write_shard(name, pa.table({"activation_difference": total / max(1, len(pairs))}))


def prompt_pairs(prompts: pd.DataFrame, axis: str, seed: int) -> list[tuple[str, str]]:
    """Pairs of prompts of one template and two groups: all pairs within the cells of `each_prompt_once`.

    `prompts` are one axis's of one split, of which the first MOST_PROMPTS are taken. Every prompt is in one cell at
    most, so every group counts alike. Prompts without a template are paired too, though they may differ in more than
    the group.
    """
    cells = each_prompt_once(prompts, seed=seed, axis=axis, n_blocks=1).iloc[:MOST_PROMPTS]
    rows = cells.merge(prompts[["prompt_id", "group", "template", "prompt"]], on="prompt_id")
    found = []
    for _, cell in rows.groupby("cell"):
        for (_, one), (_, other) in combinations(cell.iterrows(), 2):
            if one["template"] == other["template"] and one["group"] != other["group"]:
                found.append((one["prompt"], other["prompt"]))
    return found


def summed_differences(lm: LanguageModel, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
    """The norm of the difference of each head's outputs, summed over pairs of prompts: (N) by flat id."""
    texts = list(dict.fromkeys(text for pair in pairs for text in pair))
    outputs = last_outputs(lm, texts)  # (texts, N, D)
    place = {text: i for i, text in enumerate(texts)}
    one, other = (torch.tensor([place[pair[side]] for pair in pairs]) for side in (0, 1))
    return (outputs[one] - outputs[other]).double().norm(dim=-1).sum(0).numpy()


@torch.no_grad()
def last_outputs(lm: LanguageModel, texts: Sequence[str]) -> Tensor:
    """Every head's output at the last token of each text, before the output projection: (texts, N, D) on the CPU."""
    layout = lm.layout
    encoded, _ = encode_prompts(lm, texts, 0)
    found = torch.empty((len(texts), layout.n_layers, layout.heads_per_layer, layout.head_dim))

    def work(rows: list[int]) -> None:
        batch = pad_batch(
            [encoded[row] for row in rows], [1] * len(rows), pad_id=lm.tokenizer.pad_token_id, device=lm.device
        )

        def keep(layer: int) -> RemovableHandle:
            def hook(module: nn.Module, args: tuple[Tensor, ...]) -> None:
                found[rows, layer] = args[0][:, -1].unflatten(-1, found.shape[2:]).float().cpu()

            return layout.projections[layer].register_forward_pre_hook(hook)

        handles = [keep(layer) for layer in range(layout.n_layers)]
        try:
            base_log_probs(lm, batch)
        finally:
            for handle in handles:
                handle.remove()

    in_batches([len(ids) for ids in encoded], tokens_per_batch(lm.model, gradient=False), work)
    return found.flatten(1, 2)
