"""The orders that fasp_iterative finds, stage by stage, as a study keeps them: a shard a stage. No torch here.

There is one order for each axis, γ, measure of bias and way to compensate. A stage says what removing all heads up to
its end did to perplexity, as measured, and what bias it was expected to leave; so the longest part of an order that
keeps a budget is known without the model.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from fasp_core.errors import InputError
from fasp_core.models.compensation_choice import Compensate
from fasp_core.study.folder import StudyFolder
from fasp_core.study.shard_names import order_kind, order_name, shard_of
from fasp_core.study.views import measured_axes


@dataclass(frozen=True)
class OrderKey:
    """Which order: of an axis and `gamma` (as `rules.gamma_key` writes it), by a measure, with `compensate`."""

    axis: str
    gamma: str
    metric: str = "toxicity"
    compensate: Compensate = "none"

    @property
    def kind(self) -> str:
        """The kind of its shards."""
        return order_kind(self.metric, self.compensate)


@dataclass(frozen=True)
class OrderStage:
    """The heads that one stage prunes, flat ids in their order, and `z` what each scored at that stage.

    `ppl_rise` is that of the model without all heads up to here, as a share of the intact model's, with `ppl_rise_se`;
    `expected` the bias before and after the stage, as its scores tell. None where an older program did not measure it.
    """

    heads: tuple[int, ...]
    z: tuple[float, ...]
    ppl_rise: float | None = None
    ppl_rise_se: float | None = None
    expected: tuple[float, float] | None = None


@dataclass(frozen=True)
class Order:
    """The `stages` of one order, the heads that γ `protected`, and the `settings` and `scorer` it was found with.

    The scorer is None by likelihood, and where an older program did not say it: then it is the study's first.
    """

    stages: tuple[OrderStage, ...]
    protected: tuple[int, ...] = ()
    settings: dict[str, Any] | None = None
    scorer: str | None = None

    @property
    def heads(self) -> tuple[int, ...]:
        """Flat ids, the first to be pruned first."""
        return heads_of(self.stages)


def heads_of(stages: Sequence[OrderStage]) -> tuple[int, ...]:
    """The heads of stages one after another."""
    return tuple(head for stage in stages for head in stage.heads)


def affordable(stages: Sequence[OrderStage], limit: float) -> tuple[OrderStage, ...]:
    """The first stages: up to one that raises perplexity by more than the share `limit`, or expects no less bias."""
    for number, stage in enumerate(stages):
        beyond = stage.ppl_rise is None or stage.ppl_rise > limit
        if beyond or stage.expected is None or stage.expected[1] >= stage.expected[0]:
            return tuple(stages[:number])
    return tuple(stages)


def stored_order(study: StudyFolder, key: OrderKey) -> Order:
    """What is kept of an order; without stages where there is none."""
    stages: list[OrderStage] = []
    protected, settings, scorer = (), None, None
    for name in study.shard_names(key.kind, key.axis):
        if shard_of(name).gamma == key.gamma:
            table = study.read_shard(name)
            made = json.loads(table.schema.metadata[b"stage"])
            known = {part: made[part] for part in ("ppl_rise", "ppl_rise_se") if part in made}
            expected = tuple(made["expected"]) if "expected" in made else None
            heads, z = (tuple(table[column].to_pylist()) for column in ("head", "z_bias"))
            stages.append(OrderStage(heads, z, **known, expected=expected))
            protected, settings, scorer = tuple(made["protected"]), made["settings"], made.get("scorer")
    return Order(tuple(stages), protected, settings, scorer)


def keep_stage(study: StudyFolder, key: OrderKey, number: int, order: Order) -> None:
    """Write the last stage of `order` to the study as its `number`th, from 0, inside its `writing()`."""
    made = asdict(order.stages[-1])
    table = pa.table({"head": pa.array(made.pop("heads"), pa.int32()), "z_bias": pa.array(made.pop("z"), pa.float64())})
    about = {"gamma": key.gamma, "protected": order.protected, "settings": order.settings, **made}
    if order.scorer is not None:
        about["scorer"] = order.scorer
    name = order_name(key.axis, key.gamma, number, kind=key.kind)
    study.write_shard(name, table.replace_schema_metadata({"stage": json.dumps(about)}))


def iterative_orders(
    study: StudyFolder, metric: str = "toxicity", compensate: Compensate = "none", *, scorer: str | None = None
) -> dict[str, dict[str, tuple[int, ...]]]:
    """The stored orders of fasp_iterative: {axis: {γ: flat ids, the first to be pruned first}}.

    By toxicity those of one `scorer`, by default the study's first.
    """
    orders: dict[str, dict[str, tuple[int, ...]]] = {}
    kind, first = order_kind(metric, compensate), next(iter(study.manifest.scorers), None)
    for axis in measured_axes(study, metric):
        for name in study.shard_names(kind, axis):
            table, gamma = study.read_shard(name), str(shard_of(name).gamma)
            found_by = json.loads((table.schema.metadata or {}).get(b"stage", "{}")).get("scorer", first)
            if metric != "toxicity" or found_by == (scorer or first):
                of_axis = orders.setdefault(axis, {})
                of_axis[gamma] = (*of_axis.get(gamma, ()), *table["head"].to_pylist())
    return orders


def heads_within(study: StudyFolder, key: OrderKey, limit: float) -> tuple[int, ...]:
    """The heads of the longest part of a stored order that keeps a budget of perplexity, a share.

    Raises InputError where no order is stored.
    """
    found = stored_order(study, key)
    if not found.stages:
        how = " --compensate" if key.compensate == "least_squares" else ""
        raise InputError(
            f"study '{study.name}' has no order of fasp_iterative for {key.axis} by {key.metric} at gamma {key.gamma}; "
            f"the model finds it: python -m fasp_core search {study.name} --axis {key.axis} --metric {key.metric} "
            f"--iterative --budget-ppl {limit:g}{how}"
        )
    return heads_of(affordable(found.stages, limit))
