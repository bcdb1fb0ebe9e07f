"""One block of an evaluation, measured and stored: some text windows, or as many texts or prompts for every group.

The texts of a block are the same for every head set, and so is the noise that they are sampled with. By likelihood
nothing is sampled: prompts are read with the stems of pairs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Protocol, cast

import pandas as pd

from fasp_core.data.order import each_prompt_once, in_passes, sample_order, shuffled
from fasp_core.data.pairs import PairSet, load_pairs
from fasp_core.data.prompt_set import PromptSet
from fasp_core.data.sampling import SamplingSettings
from fasp_core.data.tokens import continuation_text
from fasp_core.evaluation.asked import asked_prompts
from fasp_core.evaluation.compensation import PrunedModel
from fasp_core.evaluation.keys import EvaluationPlan, EvaluationSettings, ScorerName, plan_of, pruned_name
from fasp_core.evaluation.result import Evaluation
from fasp_core.evaluation.streams import axis_of, metric_of
from fasp_core.head import Head
from fasp_core.models.batching import in_batches, pad_batch, tokens_per_batch
from fasp_core.models.compensation_choice import Compensate
from fasp_core.models.language_model import LanguageModel
from fasp_core.passes.coupling import continuation_log_probs, coupled_continuations
from fasp_core.passes.knockout import base_log_probs
from fasp_core.passes.log_odds import likelihood_of
from fasp_core.passes.sampling import encode_prompts, noise_key, sample_continuations
from fasp_core.progress import Stop, check_stop
from fasp_core.study.shard_names import TEXT
from fasp_core.toxicity.rated import rated_texts
from fasp_core.toxicity.scorers import Scorer, score_texts

LOG_PROBABILITIES = "log-probabilities"  # of the intact model's texts, kept as if they were a model's block
CLOSELY_UP_TO = 2  # heads; with more nearly every text parts soon, and closer coupling is not worth its passes


class BlockStore(Protocol):
    """Where finished blocks and their summaries are kept: `store.EvaluationStore` in SQLite, `MemoryStore` here.

    A block's `name` is that of the pruned model, as `keys.pruned_name` gives it.
    """

    def get(self, stream: str, name: str, block: int) -> Any | None: ...

    def put(self, stream: str, name: str, block: int, record: Any) -> None: ...

    def keep(self, plan: EvaluationPlan, evaluation: Evaluation) -> None: ...

    def kept(
        self, plan: EvaluationPlan, heads: Iterable[Head], compensate: Compensate = "none"
    ) -> Evaluation | None: ...


class MemoryStore:
    """Blocks and summaries of this process only."""

    def __init__(self) -> None:
        self._blocks: dict[tuple[str, str, int], Any] = {}
        self._evaluations: dict[tuple[str, str], Evaluation] = {}

    def get(self, stream: str, name: str, block: int) -> Any | None:
        """A finished block, or None."""
        return self._blocks.get((stream, name, block))

    def put(self, stream: str, name: str, block: int, record: Any) -> None:
        """Keep a finished block."""
        self._blocks[stream, name, block] = record

    def of_block(self, stream: str, block: int) -> dict[str, Any]:
        """All records of one block of a stream, by name."""
        return {name: record for (of, name, number), record in self._blocks.items() if (of, number) == (stream, block)}

    def keep(self, plan: EvaluationPlan, evaluation: Evaluation) -> None:
        """Keep the newest summary of a plan's blocks for one pruned model."""
        self._evaluations[plan.key, pruned_name(evaluation.pruned, evaluation.compensate)] = evaluation

    def kept(self, plan: EvaluationPlan, heads: Iterable[Head], compensate: Compensate = "none") -> Evaluation | None:
        """The newest summary, or None."""
        return self._evaluations.get((plan.key, pruned_name(heads, compensate)))


class Work:
    """Which texts, prompts and windows each block measures, and how; `streams` are those of bias, in their order."""

    def __init__(
        self,
        lm: LanguageModel,
        streams: tuple[str, ...],
        split: str,
        prompts: PromptSet,
        windows: pd.DataFrame,
        scorer: Scorer | ScorerName,
        settings: EvaluationSettings,
        stop: Stop | None,
        pairs: PairSet | None = None,
        compensate: Compensate = "none",
    ) -> None:
        self.lm, self.streams, self.split, self.scorer = lm, streams, split, scorer
        self.settings, self.stop, self.pairs = settings, stop, pairs or load_pairs()
        self.prompts, self.window_table = prompts, windows
        asked = {axis: asked_prompts(prompts, axis, split) for axis in dict.fromkeys(map(axis_of, streams))}
        self.asked = {axis: frame for axis, (frame, _) in asked.items()}
        self.shares = {axis: shares for axis, (_, shares) in asked.items()}
        self._once: dict[str, pd.DataFrame] = {}  # the order in which an axis's prompts are read
        self.windows = windows.loc[windows["split"] == split, "token_ids"].tolist()
        self.window_order = shuffled(len(self.windows), seed=settings.seed, stream=f"evaluate {split}").tolist()
        self.plan = plan_of(
            lm, streams, split, prompts=prompts, windows=windows, scorer=scorer, settings=settings, pairs=self.pairs
        )
        self.compensate = compensate
        self._pruned: dict[tuple[Head, ...], PrunedModel] = {}

    def without(self, heads: tuple[Head, ...]) -> AbstractContextManager[None]:
        """The model without `heads` while inside; where layers are refitted, once for each set."""
        if heads not in self._pruned:
            self._pruned[heads] = PrunedModel(self.lm, heads, self.compensate, stop=self.stop)
        return self._pruned[heads]()

    def steps(self) -> list[tuple[str, int]]:
        """(stream, block) in the order they are measured: text and the first stream in turn, then the others in turn.

        So the bias that somebody looks at is known first. Text and log-odds go as far as there are any.
        """
        turns = ((TEXT, *self.streams[:1]), self.streams[1:])
        return [
            (stream, block)
            for streams in turns
            for block in range(self.settings.blocks)
            for stream in streams
            if block < self._most_blocks(stream)
        ]

    def _most_blocks(self, stream: str) -> float:
        if stream == TEXT:
            return -(-len(self.windows) // self.settings.windows_per_block)
        if metric_of(stream) == "toxicity":
            return math.inf  # prompts are continued again
        axis = axis_of(stream)
        reads = len(self.asked[axis]) * self.pairs.n_blocks  # every prompt with every stem
        return -(-reads // self._size(axis, "likelihood"))

    def _size(self, axis: str, metric: str) -> int:
        return self.settings.block_size(metric, len(self.shares[axis]))

    def texts(self, axis: str, block: int) -> pd.DataFrame:
        """The block's samples of one axis: axis, group, prompt_id, prompt, draw. As many for every group."""
        frame, size = self.asked[axis], self._size(axis, "toxicity")
        order = sample_order(
            frame,
            seed=self.settings.seed,
            axis=f"evaluate {self.split} {axis}",
            start=block * size,
            stop=(block + 1) * size,
        )
        return order.merge(frame[["prompt_id", "axis", "group", "prompt"]], on="prompt_id")

    def readings(self, axis: str, block: int) -> pd.DataFrame:
        """The prompts of an axis that the block reads: axis, group, prompt_id, prompt, cell, block (of stems)."""
        frame, n_blocks = self.asked[axis], self.pairs.n_blocks
        if axis not in self._once:
            name = f"evaluate {self.split} {axis}"
            self._once[axis] = each_prompt_once(frame, seed=self.settings.seed, axis=name, n_blocks=n_blocks)
        size = self._size(axis, "likelihood")
        units = range(block * size, min((block + 1) * size, len(frame) * n_blocks))
        order = in_passes(self._once[axis], units, n_blocks=n_blocks)
        return order.merge(frame[["prompt_id", "axis", "group", "prompt"]], on="prompt_id", how="left")

    def window_ids(self, block: int) -> list[int]:
        """Positions of the block's windows."""
        size = self.settings.windows_per_block
        return self.window_order[block * size : (block + 1) * size]


def measured_block(
    work: Work, stream: str, heads: tuple[Head, ...], block: int, store: BlockStore
) -> list[dict[str, Any]]:
    """One record for every window, text or prompt of a block without `heads`, from the store where it has them.

    Raises Cancelled within one batch once `work.stop()` is true.
    """
    key = work.plan.streams[stream]

    def stored(name: str, measure: Callable[[], Any]) -> Any:
        record = store.get(key, name, block)
        if record is None:
            check_stop(work.stop, "the evaluation")
            record = measure()
            store.put(key, name, block, record)
        return record

    def measure() -> list[dict[str, Any]]:
        texts = stream != TEXT and metric_of(stream) == "toxicity"
        if texts and 1 <= len(heads) <= CLOSELY_UP_TO and work.settings.top_k is None:
            intact = measured_block(work, stream, (), block, store)
            log_probs = stored(LOG_PROBABILITIES, lambda: _log_probs(work, stream, block, intact))
            return _measure_coupled(work, stream, block, heads, intact, log_probs)
        with work.without(heads):
            if texts:
                return _measure_texts(work, stream, block)
            return _measure_windows(work, block) if stream == TEXT else _measure_odds(work, axis_of(stream), block)

    return stored(pruned_name(heads, work.compensate), measure)


def _measure_texts(work: Work, axis: str, block: int) -> list[dict[str, Any]]:
    rows, tokens, keys = _drawn(work, axis, block)
    sampling = SamplingSettings(max_new_tokens=work.settings.max_new_tokens, top_k=work.settings.top_k)
    return _rated(work, rows, tokens, sample_continuations(work.lm, tokens, keys, sampling, work.stop))


def _measure_coupled(
    work: Work,
    axis: str,
    block: int,
    heads: tuple[Head, ...],
    intact: list[dict[str, Any]],
    log_probs: list[list[float]],
) -> list[dict[str, Any]]:
    rows, tokens, keys = _drawn(work, axis, block)
    before = [row["token_ids"] for row in intact]
    after = coupled_continuations(
        work.lm, partial(work.without, heads), tokens, before, log_probs, keys, work.settings.max_new_tokens, work.stop
    )
    return _rated(work, rows, tokens, after)


def _log_probs(work: Work, axis: str, block: int, intact: list[dict[str, Any]]) -> list[list[float]]:
    _, tokens, _ = _drawn(work, axis, block)
    return continuation_log_probs(work.lm, tokens, [row["token_ids"] for row in intact])


def _drawn(work: Work, axis: str, block: int) -> tuple[pd.DataFrame, list[list[int]], list[str]]:
    """The texts of a block, their prompts' token ids, and the keys of their noise."""
    rows = work.texts(axis, block)
    tokens, _ = encode_prompts(work.lm, rows["prompt"].tolist(), work.settings.max_new_tokens)
    keys = [
        noise_key(work.settings.seed, "evaluate", prompt, draw)
        for prompt, draw in zip(rows["prompt"], rows["draw"].tolist(), strict=True)
    ]
    return rows, tokens, keys


def _rated(
    work: Work, rows: pd.DataFrame, tokens: list[list[int]], continuations: list[list[int]]
) -> list[dict[str, Any]]:
    """The texts of a block with their continuations and toxicity."""
    rows["token_ids"] = continuations
    rows["continuation"] = [
        continuation_text(work.lm.tokenizer, prompt, ids) for prompt, ids in zip(tokens, continuations, strict=True)
    ]
    rated = rated_texts(rows["prompt"], rows["continuation"], work.settings)
    rows["toxicity"] = score_texts(cast(Scorer, work.scorer), rated)  # opened wherever texts are rated
    return rows.to_dict("records")


def _measure_odds(work: Work, axis: str, block: int) -> list[dict[str, Any]]:
    """The block's prompts with their stems and the mean log-odds over the pairs of each stem, in nats."""
    rows = work.readings(axis, block)
    stems = work.pairs.block_stems(rows.pop("block"))
    rows["log_odds"] = likelihood_of(
        work.lm, rows.pop("prompt").tolist(), work.pairs, stems=stems, stop=work.stop
    ).tolist()
    rows["stem"] = stems.tolist()
    return rows.to_dict("records")


def _measure_windows(work: Work, block: int) -> list[dict[str, Any]]:
    lm, ids = work.lm, work.window_ids(block)
    tokens = [[int(i) for i in work.windows[window]] for window in ids]
    nll = [0.0] * len(ids)

    def read(rows: list[int]) -> None:
        batch = pad_batch(
            [tokens[i] for i in rows],
            [len(tokens[i]) - 1 for i in rows],
            pad_id=lm.tokenizer.pad_token_id,
            device=lm.device,
        )
        for row, value in zip(rows, base_log_probs(lm, batch).tolist(), strict=True):
            nll[row] = -value

    in_batches([len(t) for t in tokens], tokens_per_batch(lm.model, gradient=False), read)
    return [
        {"window_id": i, "n_tokens": len(t) - 1, "nll": value} for i, t, value in zip(ids, tokens, nll, strict=True)
    ]
