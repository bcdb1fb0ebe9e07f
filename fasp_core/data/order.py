"""Which prompt each sample continues: an endless, seeded, balanced order per axis.

Bias weighs every group equally, so samples are spread evenly over the axis's groups, within a group over its
descriptors, and within a descriptor over its prompts; only when all prompts of a descriptor are used does the next
draw of each begin. Any first n of the order are as balanced as n allows, so a study can be cut off or extended
anywhere.
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

    A cell holds one prompt of every group (of those that have as many), all from one template where the groups share
    templates: what a template does to all groups alike then cancels between them. Blocks 0…n_blocks−1 are spread over
    templates. Any first n rows are as balanced as n allows.
    """
    rng = _rng(seed, axis, "once")
    rows = prompts.iloc[rng.permutation(len(prompts))]
    templates = rng.permutation(np.sort(rows["template"].unique()))
    turn = rows.groupby(["group", "template"]).cumcount()
    place = rows["template"].map({template: i for i, template in enumerate(templates)})
    rows = rows.assign(turn=turn, place=place, block=(turn + place) % n_blocks).sort_values(["group", "turn", "place"])
    rows["cell"] = rows.groupby("group").cumcount()
    return rows.sort_values(["cell", "group"])[["prompt_id", "cell", "block"]].reset_index(drop=True)


def shuffled(n: int, *, seed: int, stream: str) -> np.ndarray:
    """The numbers 0…n−1 in an order that `seed` and `stream` fix."""
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
