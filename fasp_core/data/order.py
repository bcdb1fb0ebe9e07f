"""Which prompt each sample continues: an endless, seeded, balanced order per axis.

Bias weighs every group equally, so samples are spread evenly over the axis's groups, within a group over its
descriptors, and within a descriptor over its prompts. A prompt is drawn again only when all prompts of its descriptor
have been drawn. The first n samples are as balanced as n allows, so a study can stop or be extended anywhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import count, islice

import numpy as np
import pandas as pd


def sample_order(prompts: pd.DataFrame, *, seed: int, axis: str, start: int, stop: int) -> pd.DataFrame:
    """Samples start…stop−1 of an axis's order: prompt_id, draw (0-based), one row per sample.

    `prompts` holds one axis's prompts of one split (columns prompt_id, group, descriptor).
    """
    streams = [_group_stream(rows, _rng(seed, axis, group)) for group, rows in prompts.groupby("group", sort=True)]
    interleaved = (next(stream) for _ in count() for stream in streams)
    return pd.DataFrame(islice(interleaved, start, stop), columns=["prompt_id", "draw"])


def each_prompt_once(prompts: pd.DataFrame, *, seed: int, axis: str, n_blocks: int) -> pd.DataFrame:
    """Every prompt of one axis and split once: prompt_id, cell, block, one row per prompt.

    A cell holds one prompt of every group that has as many, all from one template where the groups share templates:
    what a template does to all groups alike then cancels. Blocks 0…n_blocks−1 are spread over templates; where there
    are more blocks than templates, turns begin with different ones. The first n rows are as balanced as n allows.
    """
    rng = _rng(seed, axis, "once")
    rows = prompts.iloc[rng.permutation(len(prompts))]
    templates = rng.permutation(np.sort(rows["template"].unique()))
    turn = rows.groupby(["group", "template"]).cumcount()
    place = rows["template"].map({template: i for i, template in enumerate(templates)})
    stride = 1 if n_blocks <= len(templates) else max(1, round(n_blocks / (turn.max() + 1)))
    block = (turn * stride + place) % n_blocks
    rows = rows.assign(turn=turn, place=place, block=block).sort_values(["group", "turn", "place"])
    rows["cell"] = rows.groupby("group").cumcount()
    return rows.sort_values(["cell", "group"])[["prompt_id", "cell", "block"]].reset_index(drop=True)


def in_passes(once: pd.DataFrame, units: range, *, n_blocks: int) -> pd.DataFrame:
    """Rows `units` of an order in which every prompt comes once in each pass, the next block after each pass.

    `once` is the first pass, from `each_prompt_once`; the index is the unit. After `n_blocks` passes every prompt has
    had every block.
    """
    passes, rows = np.divmod(np.arange(units.start, units.stop), len(once))
    order = once.iloc[rows].set_index(pd.RangeIndex(units.start, units.stop))
    return order.assign(block=(order["block"] + passes) % n_blocks)


def shuffled(n: int, *, seed: int, stream: str) -> np.ndarray:
    """The numbers 0…n−1 in an order that depends on `seed` and `stream` alone."""
    return _rng(seed, stream).permutation(n)


def _group_stream(rows: pd.DataFrame, rng: np.random.Generator) -> Iterator[tuple[int, int]]:
    """Endless (prompt_id, draw): every pass visits each descriptor once, in a new order."""
    queues = [rng.permutation(ids.to_numpy()) for _, ids in rows.groupby("descriptor", sort=True)["prompt_id"]]
    for turn in count():
        for descriptor in rng.permutation(len(queues)):
            queue = queues[descriptor]
            yield int(queue[turn % queue.size]), turn // queue.size


def _rng(*names: object) -> np.random.Generator:
    digest = hashlib.blake2b("\x1f".join(map(str, names)).encode(), digest_size=8).digest()
    return np.random.default_rng(int.from_bytes(digest, "little"))
