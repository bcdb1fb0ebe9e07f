"""Which tokens of an evaluation's texts pruning made likelier or less likely: every text read by both models.

The texts are those that the evaluation sampled, of the intact and of the pruned model. Blocks of log-ratios go to the
store beside the blocks of texts, where `history.marked_texts` finds them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fasp_core.evaluation.compensation import PrunedModel
from fasp_core.evaluation.history import MeasuredSet, marked_key
from fasp_core.evaluation.store import EvaluationStore
from fasp_core.models.language_model import LanguageModel
from fasp_core.passes.evidence import token_log_ratios, token_texts
from fasp_core.passes.sampling import encode_prompts
from fasp_core.progress import Stop, check_stop


def mark_texts(
    lm: LanguageModel,
    found: MeasuredSet,
    axis: str,
    store: EvaluationStore,
    *,
    max_new_tokens: int,
    stop: Stop | None = None,
) -> Iterator[float]:
    """Mark the texts of `axis` of a measured set, block by block; yields the share that is done.

    Nothing is read twice. Raises Cancelled once `stop()` is true.
    """
    target, key = found.target, found.streams[axis]
    pruned = PrunedModel(lm, target.heads, target.compensate, stop=stop)
    before, after = (store.blocks(key, off, target.compensate) for off in ((), target.heads))
    kept, blocks = store.blocks(marked_key(key), target.heads, target.compensate), sorted(before.keys() & after.keys())
    for done, block in enumerate(blocks, start=1):
        if block not in kept:
            check_stop(stop, "marking")
            record = _marked(lm, pruned, before[block], after[block], max_new_tokens)
            store.put(marked_key(key), target.name, block, record)
        yield done / len(blocks)


def _marked(
    lm: LanguageModel,
    pruned: PrunedModel,
    before: list[dict[str, Any]],
    after: list[dict[str, Any]],
    max_new_tokens: int,
) -> list[list[dict[str, Any]]]:
    """Tokens and log-ratios of both texts of every pair of a block."""
    prompts, _ = encode_prompts(lm, [row["prompt"] for row in before], max_new_tokens)
    texts = [(prompt, part[i]["token_ids"]) for i, prompt in enumerate(prompts) for part in (before, after)]
    ratios = token_log_ratios(lm, pruned, *map(list, zip(*texts, strict=True)))
    marked = [
        {"tokens": token_texts(lm, [*prompt, *ids])[len(prompt) :], "log_ratios": ratio.tolist()}
        for (prompt, ids), ratio in zip(texts, ratios, strict=True)
    ]
    return [marked[i : i + 2] for i in range(0, len(marked), 2)]
