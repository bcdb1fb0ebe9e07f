"""File names of a study's shards: put together and taken apart here, and nowhere else.

    samples.<axis>.00000.parquet                          continuations of the intact model
    toxicity.<scorer>.<axis>.00000.parquet                their toxicity
    echo.<scorer>.<axis>.00000.parquet                    toxicity of bare prompts
    regenerated.<axis>.00000.<heads>.parquet              continuations without one head or another
    retoxicity.<scorer>.<axis>.00000.<heads>.parquet      their toxicity
    gradient.<stream>.00000.parquet                       first-order log-ratios of all heads
    prefixes.<scorer>.<axis>.00000.parquet                toxicity of the continuations after each few tokens
    critic.<scorer>.<axis>.00000.parquet                  what values these prefixes
    advantage.<scorer>.<axis>.00000.parquet               what each text adds to a head's effect on toxicity
    sums.<scorer>.<axis>.00000.parquet                    the same summed over each prompt, of all shards up to this one
    knockout.<stream>.00000.<heads>.parquet               exact log-ratios of some heads
    likelihood.<axis>.00000.parquet                       log-odds, and their first-order changes without each head
    likelihood-knockout.<axis>.00000.<heads>.parquet      their exact changes without some heads
    order.<axis>.g<gamma>.000.parquet                     a stage of the order of fasp_iterative, see ORDERS
    activation.<axis>.00000.parquet                       how differently heads write for groups, see `activation`
    residual-<kind>.….parquet                             a gradient, knockout or likelihood shard under compensation

A stream is `text` or an axis. `<heads>` is a digest of the flat ids, so that other heads are another file.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from fasp_core.models.compensation_choice import COMPENSATIONS, Compensate

TEXT = "text"
PAIRS = "pairs.parquet"
MAGNITUDE = "magnitude.00000.parquet"  # see `magnitude`

SAMPLES, REGENERATED = "samples", "regenerated"
TOXICITY, RETOXICITY = "toxicity", "retoxicity"
ECHO = "echo"
ACTIVATION = "activation"
GRADIENT, KNOCKOUT = "gradient", "knockout"
PREFIXES, CRITIC, ADVANTAGE, SUMS = "prefixes", "critic", "advantage", "sums"
ODDS, ODDS_KNOCKOUT = "likelihood", "likelihood-knockout"
ORDER = "order"
# The same of what is lost where the layer's other heads take over (see `models.residual_gates`).
COMPENSATED = {kind: f"residual-{kind}" for kind in (GRADIENT, KNOCKOUT, ODDS, ODDS_KNOCKOUT)}
# Orders by measure of bias, and by what takes the pruned heads' place; the first is `order`.
ORDERS: dict[tuple[str, Compensate], str] = {
    (metric, how): f"{before}{ORDER}{'' if how == 'none' else f'-{how}'}"
    for metric, before in (("toxicity", ""), ("likelihood", "likelihood-"))
    for how in COMPENSATIONS
}
RATING_OF = {SAMPLES: TOXICITY, REGENERATED: RETOXICITY}  # kinds of texts, and of the shards that hold their toxicity

# What follows the kind in a name, part by part.
_PARTS = {
    SAMPLES: ("stream", "shard"),
    GRADIENT: ("stream", "shard"),
    ODDS: ("stream", "shard"),
    ACTIVATION: ("stream", "shard"),
    TOXICITY: ("scorer", "stream", "shard"),
    ECHO: ("scorer", "stream", "shard"),
    PREFIXES: ("scorer", "stream", "shard"),
    CRITIC: ("scorer", "stream", "shard"),
    ADVANTAGE: ("scorer", "stream", "shard"),
    SUMS: ("scorer", "stream", "shard"),
    REGENERATED: ("stream", "shard", "digest"),
    KNOCKOUT: ("stream", "shard", "digest"),
    ODDS_KNOCKOUT: ("stream", "shard", "digest"),
    RETOXICITY: ("scorer", "stream", "shard", "digest"),
}
_PARTS |= dict.fromkeys(ORDERS.values(), ("stream", "gamma", "shard"))
_PARTS |= {compensated: _PARTS[kind] for kind, compensated in COMPENSATED.items()}
_PATTERN_OF = {
    "stream": r"(?P<stream>[A-Za-z0-9_-]+)",
    "scorer": r"(?P<scorer>[A-Za-z0-9_-]+)",
    "shard": r"(?P<shard>[0-9]{3,})",
    "digest": r"(?P<digest>[0-9a-f]+)",
    "gamma": r"g(?P<gamma>[0-9.e-]+)",
}
_PATTERNS = {
    kind: re.compile(r"\.".join([kind, *(_PATTERN_OF[part] for part in parts), "parquet"]))
    for kind, parts in _PARTS.items()
}


@dataclass(frozen=True)
class ShardName:
    """What the name of a shard says; `str(name)` is the file name, `parse` the way back.

    `scorer` is that of a rating, `digest` stands for the heads of shards that hold some heads only, `gamma` is the γ of
    an order.
    """

    kind: str
    stream: str
    shard: int
    scorer: str | None = None
    digest: str | None = None
    gamma: str | None = None

    def __str__(self) -> str:
        written = {
            "stream": self.stream,
            "shard": f"{self.shard:03d}" if self.gamma is not None else f"{self.shard:05d}",
            "scorer": str(self.scorer),
            "digest": str(self.digest),
            "gamma": f"g{self.gamma}",
        }
        return ".".join([self.kind, *(written[part] for part in _PARTS[self.kind]), "parquet"])


def shard_name(
    kind: str, stream: str, shard: int, *, heads: Sequence[int] | None = None, scorer: str | None = None
) -> str:
    """File name of a shard; one that holds some heads only is named for their flat ids, a rating for its scorer."""
    return str(ShardName(kind, stream, shard, scorer, None if heads is None else heads_digest(heads)))


def measured_kind(kind: str, *, compensated: bool) -> str:
    """The kind of shard that holds what `kind` does or, `compensated`, the same under compensation."""
    return COMPENSATED[kind] if compensated else kind


def order_kind(metric: str, compensate: Compensate) -> str:
    """The kind of the orders of fasp_iterative by a measure of bias, with something in the pruned heads' place."""
    return ORDERS[metric, compensate]


def order_name(axis: str, gamma: str, stage: int, *, kind: str = ORDER) -> str:
    """File name of a stage of fasp_iterative; `gamma` as `rules.gamma_key` writes it."""
    return str(ShardName(kind, axis, stage, gamma=gamma))


def rating_name(texts: str, scorer: str) -> str:
    """File name of the toxicities of a shard of texts."""
    made = shard_of(texts)
    return str(ShardName(RATING_OF[made.kind], made.stream, made.shard, scorer, made.digest))


@lru_cache(maxsize=2**16)
def parse(name: str) -> ShardName | None:
    """What a file name says; None for a file that is no shard of a stream (prompts, windows, pairs, magnitudes)."""
    kind = name.split(".", 1)[0]
    found = _PATTERNS[kind].fullmatch(name) if kind in _PATTERNS else None
    if not found:
        return None
    said = found.groupdict()
    return ShardName(
        kind, said["stream"], int(said["shard"]), said.get("scorer"), said.get("digest"), said.get("gamma")
    )


def shard_of(name: str) -> ShardName:
    """What the file name of a shard of a stream says; raises ValueError for any other."""
    made = parse(name)
    if made is None:
        raise ValueError(f"{name} is no shard of a stream")
    return made


def heads_digest(heads: Sequence[int]) -> str:
    """8 hex digits over flat ids, in their order."""
    return hashlib.sha256(json.dumps([int(h) for h in heads]).encode()).hexdigest()[:8]
