"""A head is (layer, head), both 0-based: its flat id, and the one way that heads are written as text and by layer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from fasp_core.errors import InputError

Head = tuple[int, int]
HEAD_PATTERN = re.compile(r"([0-9]{1,6})\.([0-9]{1,6})")


def flat_id(head: Head, heads_per_layer: int) -> int:
    """`layer * heads_per_layer + head`; raises InputError for a head that no layer of this width has."""
    layer, number = head
    if layer < 0 or not 0 <= number < heads_per_layer:
        raise InputError(f"head ({layer}, {number}) does not exist: a layer has the heads 0…{heads_per_layer - 1}")
    return layer * heads_per_layer + number


def head_of(flat_id: int, heads_per_layer: int) -> Head:
    """The (layer, head) of a flat id, the inverse of `flat_id`."""
    return divmod(int(flat_id), heads_per_layer)


def all_heads(n_layers: int, heads_per_layer: int) -> list[Head]:
    """Every head of a model, in the order of flat ids."""
    return [(layer, head) for layer in range(n_layers) for head in range(heads_per_layer)]


def head_text(head: Head) -> str:
    """`3.5` for layer 3, head 5."""
    return f"{head[0]}.{head[1]}"


def parse_head(text: str) -> Head:
    """The inverse of `head_text`; raises InputError for a text that names no head."""
    found = HEAD_PATTERN.fullmatch(text.strip())
    if found is None:
        raise InputError(f"'{text[:40]}' is no head; write layer.head, as in 3.5")
    return int(found[1]), int(found[2])


def heads_text(heads: Iterable[Head], between: str = "-") -> str:
    """A set of heads in one word, sorted: `0.3-5.1` in addresses, file names and keys; "" for no head."""
    return between.join(map(head_text, sorted(set(heads))))


def parse_heads(text: str, between: str = "-") -> tuple[Head, ...]:
    """The inverse of `heads_text`: heads sorted, each once; raises InputError for a part that is no head.

    The command line takes commas: `parse_heads("5.1, 0.3", ",")` is ((0, 3), (5, 1)).
    """
    return tuple(sorted({parse_head(part) for part in text.split(between) if part.strip()}))


def heads_by_layer(heads: Iterable[Head]) -> dict[int, list[int]]:
    """The heads of each layer, both ascending: {0: [3], 5: [1, 4]}."""
    layers: dict[int, list[int]] = {}
    for layer, head in sorted(heads):
        layers.setdefault(layer, []).append(head)
    return layers


def heads_of_layers(by_layer: Mapping[int, Iterable[int]] | Mapping[str, Iterable[int]]) -> tuple[Head, ...]:
    """The inverse of `heads_by_layer`, sorted; layers may be written as text, as in JSON. A head given twice stays."""
    return tuple(sorted((int(layer), head) for layer, heads in by_layer.items() for head in heads))
