"""One block of an evaluation: some text windows, or as many texts of one axis for every group, measured and stored.

The texts of a block are the same for every head set, and so is the noise that they are sampled with.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Protocol

import pandas as pd

from .batching import in_batches, pad_batch
from .coupling import continuation_log_probs, coupled_continuations
from .errors import Cancelled
from .estimates import Evaluation
from .evaluation_plan import TEXT, EvaluationPlan, EvaluationSettings, axis_fingerprints, make_plan, windows_fingerprint
from .heads import Head, gate_heads
from .knockout import base_log_probs
from .models import LanguageModel
from .plan import sample_order, shuffled
from .progress import Stop
from .prompts import PromptSet
from .sampling import SamplingSettings, decode, encode_prompts, noise_key, sample_continuations
from .toxicity import Scorer, score_texts

CLOSELY_UP_TO = 2  # heads; with more nearly every text parts soon, and closer coupling is not worth its passes


class BlockStore(Protocol):
    """Where finished blocks and their summaries are kept; `store.EvaluationStore` keeps them in SQLite."""

    def get(self, stream: str, heads: str, block: int) -> Any | None: ...

    def put(self, stream: str, heads: str, block: int, record: Any) -> None: ...

    def describe(self, plan: EvaluationPlan) -> None: ...

    def keep(self, plan: str, heads: str, evaluation: Evaluation) -> None: ...

    def kept(self, plan: str, heads: str) -> Evaluation | None: ...


class Work:
    """Which texts and windows each block measures, and how."""

    def __init__(
        self, lm: LanguageModel, axes: tuple[str, ...], split: str, prompts: PromptSet, windows: pd.DataFrame,
        scorer: Scorer, settings: EvaluationSettings, stop: Stop | None,
    ) -> None:  # fmt: skip
        self.lm, self.axes, self.split, self.scorer, self.settings, self.stop = lm, axes, split, scorer, settings, stop
        self.sets = {axis: prompts.select(axes=[axis], split=split) for axis in axes}
        self.shares = {axis: chosen.group_shares(axis).sort_index() for axis, chosen in self.sets.items()}
        self.windows = windows.loc[windows["split"] == split, "token_ids"].tolist()
        self.window_order = shuffled(len(self.windows), seed=settings.seed, stream=f"evaluate {split}").tolist()
        self.plan = make_plan(
            model=lm.fingerprint, dtype=str(lm.dtype), prompts=axis_fingerprints(prompts, axes),
            windows=windows_fingerprint(windows), scorer=(scorer.name, scorer.fingerprint), split=split,
            settings=settings,
        )  # fmt: skip

    def steps(self) -> list[tuple[str, int]]:
        """(stream, block) in the order they are measured: a block of each stream in turn, of text as far as it goes."""
        settings = self.settings
        text_blocks = -(-len(self.windows) // settings.windows_per_block)
        return [
            (stream, block)
            for block in range(settings.blocks)
            for stream in (TEXT, *self.axes)
            if stream != TEXT or block < text_blocks
        ]

    def texts(self, axis: str, block: int) -> pd.DataFrame:
        """The block's samples of one axis: axis, group, prompt_id, prompt, draw. As many for every group."""
        chosen, groups = self.sets[axis], len(self.shares[axis])
        size = groups * max(1, round(self.settings.texts_per_block / groups))
        order = sample_order(
            chosen.frame, seed=self.settings.seed, axis=f"evaluate {self.split} {axis}",
            start=block * size, stop=(block + 1) * size,
        )  # fmt: skip
        return order.merge(chosen.frame[["prompt_id", "axis", "group", "prompt"]], on="prompt_id")

    def window_ids(self, block: int) -> list[int]:
        """Positions of the block's windows."""
        size = self.settings.windows_per_block
        return self.window_order[block * size : (block + 1) * size]


def measured_block(
    work: Work, stream: str, heads: tuple[Head, ...], block: int, store: BlockStore
) -> list[dict[str, Any]]:
    """One record for every window or text of a block without `heads`, from the store where it has them.

    Raises Cancelled within one batch once `work.stop()` is true.
    """
    key = work.plan.streams[stream]

    def stored(name: str, measure: Callable[[], Any]) -> Any:
        record = store.get(key, name, block)
        if record is None:
            if work.stop is not None and work.stop():
                raise Cancelled("the evaluation was stopped")
            record = measure()
            store.put(key, name, block, record)
        return record

    def measure() -> list[dict[str, Any]]:
        if stream != TEXT and 1 <= len(heads) <= CLOSELY_UP_TO and work.settings.top_k is None:
            intact = measured_block(work, stream, (), block, store)
            log_probs = stored("log-probabilities", lambda: _log_probs(work, stream, block, intact))
            return _measure_coupled(work, stream, block, heads, intact, log_probs)
        with gate_heads(work.lm.model, off=heads):
            return _measure_windows(work, block) if stream == TEXT else _measure_texts(work, stream, block)

    return stored(json.dumps(heads), measure)


def _measure_texts(work: Work, axis: str, block: int) -> list[dict[str, Any]]:
    rows, tokens, keys = _drawn(work, axis, block)
    sampling = SamplingSettings(max_new_tokens=work.settings.max_new_tokens, top_k=work.settings.top_k)
    return _rated(work, rows, sample_continuations(work.lm, tokens, keys, sampling, work.stop))


def _measure_coupled(
    work: Work, axis: str, block: int, heads: tuple[Head, ...], intact: list[dict[str, Any]],
    log_probs: list[list[float]],
) -> list[dict[str, Any]]:  # fmt: skip
    rows, tokens, keys = _drawn(work, axis, block)
    before = [row["token_ids"] for row in intact]
    after = coupled_continuations(
        work.lm, heads, tokens, before, log_probs, keys, work.settings.max_new_tokens, work.stop
    )
    return _rated(work, rows, after)


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


def _rated(work: Work, rows: pd.DataFrame, continuations: list[list[int]]) -> list[dict[str, Any]]:
    """The texts of a block with their continuations and toxicity."""
    rows["token_ids"] = continuations
    rows["continuation"] = [decode(work.lm, ids) for ids in continuations]
    texts = (rows["prompt"] + rows["continuation"]).tolist()
    rows["toxicity"] = score_texts(work.scorer, [text.lower() for text in texts] if work.settings.lowercase else texts)
    return rows.to_dict("records")


def _measure_windows(work: Work, block: int) -> list[dict[str, Any]]:
    lm, ids = work.lm, work.window_ids(block)
    tokens = [[int(i) for i in work.windows[window]] for window in ids]
    nll = [0.0] * len(ids)

    def read(rows: list[int]) -> None:
        batch = pad_batch(
            [tokens[i] for i in rows], [len(tokens[i]) - 1 for i in rows],
            pad_id=lm.tokenizer.pad_token_id, device=lm.device,
        )  # fmt: skip
        for row, value in zip(rows, base_log_probs(lm, batch).tolist(), strict=True):
            nll[row] = -value

    in_batches(lm.model, [len(t) for t in tokens], read)
    return [
        {"window_id": i, "n_tokens": len(t) - 1, "nll": value} for i, t, value in zip(ids, tokens, nll, strict=True)
    ]
