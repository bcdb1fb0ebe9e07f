"""What was measured of two models so far, summed up: blocks in; `Metrics` before, after and of the change out."""

from __future__ import annotations

from typing import Any

import pandas as pd

from fasp_core.evaluation.result import Evaluation, Metrics
from fasp_core.evaluation.streams import axis_of, metric_of
from fasp_core.head import Head
from fasp_core.models.compensation_choice import Compensate
from fasp_core.stats.degeneration import distinct_bigrams, length, paired_means, repetition
from fasp_core.stats.paired import AxisMetrics, compare_axis, compare_level, compare_odds, compare_windows
from fasp_core.stats.target import MEAN_TOXICITY
from fasp_core.study.shard_names import TEXT


class Totals:
    """The blocks of two models; what a block changed is computed anew when it is asked for, and only that."""

    def __init__(self, streams: tuple[str, ...], shares: dict[str, pd.Series]) -> None:
        self.streams, self.shares = streams, shares
        self.rows: dict[str, list[pd.DataFrame]] = {stream: [] for stream in (TEXT, *streams)}
        self.ppl = compare_windows(pd.DataFrame())
        self.biases: dict[str, list[AxisMetrics]] = {}
        self.changed: set[str] = set()
        self.repetition: tuple[list[float], list[float]] = ([], [])
        self.distinct: tuple[list[float], list[float]] = ([], [])
        self.length: tuple[list[float], list[float]] = ([], [])

    def count(self, metric: str) -> int:
        """Texts or readings so far, of all axes."""
        return sum(len(rows) for stream in self.streams if metric_of(stream) == metric for rows in self.rows[stream])

    @property
    def n_windows(self) -> int:
        """Text windows so far."""
        return sum(map(len, self.rows[TEXT]))

    def add(self, stream: str, before: list[dict[str, Any]], after: list[dict[str, Any]]) -> None:
        """Take in one block, as measured of the one model and of the other."""
        value = _value(stream)
        pairs = pd.DataFrame(before).rename(columns={value: f"{value}_before"})
        pairs[f"{value}_after"] = [row[value] for row in after]
        self.rows[stream].append(pairs)
        self.changed.add(stream)
        if value != "toxicity":
            return
        for part, records in enumerate((before, after)):
            texts = [record["continuation"] for record in records]
            self.repetition[part].extend(map(repetition, texts))
            self.distinct[part].append(distinct_bigrams(texts))
            self.length[part].extend(map(length, texts))

    def metrics(self) -> dict[str, Metrics]:
        """`before`, `after` and `change`: each compared quantity is a list of these three."""
        for stream in self.changed:
            self._compare(stream)
        self.changed = set()
        pools = {"repetition": self.repetition, "distinct_bigrams": self.distinct, "length": self.length}
        texts = {what: paired_means(*parts) for what, parts in pools.items()} if self.count("toxicity") else {}

        def axes(metric: str, part: int) -> dict[str, AxisMetrics]:
            known = (stream for stream in self.streams if stream in self.biases and metric_of(stream) == metric)
            return {axis_of(stream): self.biases[stream][part] for stream in known}

        return {
            name: Metrics(
                self.ppl[i],
                axes("toxicity", i),
                {what: parts[i] for what, parts in texts.items()},
                axes("likelihood", i),
            )
            for i, name in enumerate(("before", "after", "change"))
        }

    def evaluation(self, pruned: tuple[Head, ...], split: str, compensate: Compensate, done: float) -> Evaluation:
        """What is known so far; `done` is the share of the plan that was taken in."""
        return Evaluation(
            pruned=pruned,
            split=split,
            **self.metrics(),
            n_texts=self.count("toxicity"),
            n_windows=self.n_windows,
            fraction_done=done,
            n_readings=self.count("likelihood"),
            compensate=compensate,
        )

    def _compare(self, stream: str) -> None:
        rows = pd.concat(self.rows[stream])
        if stream == TEXT:
            self.ppl = compare_windows(rows)
            return
        axis = axis_of(stream)
        by_likelihood = metric_of(stream) == "likelihood"
        compare = compare_odds if by_likelihood else compare_level if axis == MEAN_TOXICITY else compare_axis
        if (compared := compare(rows, self.shares[axis])) is not None:
            self.biases[stream] = compared


def _value(stream: str) -> str:
    """The column that a stream measures."""
    if stream == TEXT:
        return "nll"
    return "log_odds" if metric_of(stream) == "likelihood" else "toxicity"
