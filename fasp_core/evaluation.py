"""evaluate(): what pruning a *set* of heads does, measured block by block. Progressive, cancellable, cached.

A set of heads moves the model too far for importance weights, so texts are sampled again from the pruned model, but
*coupled*: the same noise per prompt and step as for the intact model (see `sampling`). A block holds as many texts
for every group of every axis and a few text windows, so results after any number of blocks are unbiased. Each
finished block goes to the store under (plan, head set, block): nothing is measured twice, the intact model included.
The texts are fresh draws, not those that heads were scored on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import pandas as pd

from .batching import batches_by_length, pad_batch, tokens_per_batch
from .errors import Cancelled, InputError, nearest
from .estimates import Evaluation, compare
from .heads import Head, gate_heads
from .knockout import base_log_probs
from .models import LanguageModel
from .perplexity import token_windows
from .plan import sample_order, shuffled
from .progress import Stop
from .prompts import PromptSet, load_prompts
from .sampling import SamplingSettings, decode, encode_prompts, noise_key, sample_continuations
from .text import TextSet, load_text
from .toxicity import Scorer, open_scorer, score_texts


@dataclass(frozen=True)
class EvaluationSettings:
    """Size of an evaluation; a block is what one step of progress measures."""

    seed: int = 0
    max_new_tokens: int = 20
    blocks: int = 25
    texts_per_block: int = 20  # about; at least one for every group of every axis
    windows_per_block: int = 2
    window_tokens: int = 128


class BlockStore(Protocol):
    """Where finished blocks are kept; `jobs.EvaluationStore` keeps them in SQLite."""

    def get(self, plan: str, heads: str, block: int) -> dict[str, Any] | None: ...

    def put(self, plan: str, heads: str, block: int, record: dict[str, Any]) -> None: ...


class MemoryStore:
    """Blocks of this process only."""

    def __init__(self) -> None:
        self._blocks: dict[tuple[str, str, int], dict[str, Any]] = {}

    def get(self, plan: str, heads: str, block: int) -> dict[str, Any] | None:
        """The stored block, or None."""
        return self._blocks.get((plan, heads, block))

    def put(self, plan: str, heads: str, block: int, record: dict[str, Any]) -> None:
        """Keep a finished block."""
        self._blocks[plan, heads, block] = record


def evaluate(
    lm: LanguageModel,
    pruned: Iterable[Head],
    axes: Sequence[str],
    *,
    split: str = "valid",
    prompts: PromptSet | None = None,
    text: TextSet | None = None,
    scorer: Scorer | None = None,
    settings: EvaluationSettings | None = None,
    store: BlockStore | None = None,
    stop: Stop | None = None,
) -> Iterator[Evaluation]:
    """Measure perplexity and the bias of `axes` with the heads `pruned` knocked out, against the intact model.

    Yields an ever more precise `Evaluation` after each block; the last one is `done`. Explore on split "valid", make
    claims on "test". Raises InputError for heads, axes or splits that do not exist; Cancelled once `stop()` is true.
    """
    settings, store = settings or EvaluationSettings(), store or MemoryStore()
    prompts, text, scorer = prompts or load_prompts(), text or load_text(), scorer or open_scorer()
    heads = tuple(sorted(set(pruned)))
    for layer, head in heads:
        lm.layout.flat_id(layer, head)
    for axis in axes:
        if axis not in prompts.axes:
            raise InputError(f"unknown axis '{axis}'; {nearest(axis, prompts.axes)}")
    if not axes:
        raise InputError(f"no axis to evaluate; choose one or more of: {', '.join(prompts.axes)}")
    if split not in ("valid", "test"):
        raise InputError(f"unknown split '{split}'; known: test, valid")
    plan = _Plan(lm, tuple(axes), split, prompts, text, scorer, settings)
    texts, windows = [], []
    for block in range(settings.blocks):
        before = _block(plan, (), block, store, stop)
        after = _block(plan, heads, block, store, stop) if heads else before
        texts.append(_pair(before["texts"], after["texts"], "toxicity"))
        if before["windows"]:
            windows.append(_pair(before["windows"], after["windows"], "nll"))
        pairs, text_pairs = pd.concat(texts), pd.concat(windows)
        yield Evaluation(
            pruned=heads, split=split, **compare(pairs, text_pairs, plan.shares),
            n_texts=len(pairs), n_windows=len(text_pairs), fraction_done=(block + 1) / settings.blocks,
        )  # fmt: skip


class _Plan:
    """Which texts and windows each block measures, and a key that names all that its numbers depend on."""

    def __init__(
        self, lm: LanguageModel, axes: tuple[str, ...], split: str, prompts: PromptSet, text: TextSet, scorer: Scorer,
        settings: EvaluationSettings,
    ) -> None:  # fmt: skip
        self.lm, self.axes, self.scorer, self.settings = lm, axes, scorer, settings
        self.sets = {axis: prompts.select(axes=[axis], split=split) for axis in axes}
        self.shares = {axis: chosen.group_shares(axis).sort_index() for axis, chosen in self.sets.items()}
        windows = token_windows(lm.tokenizer, text.select(split).frame, length=settings.window_tokens)
        self.windows = windows["token_ids"].tolist()
        self.window_order = shuffled(len(self.windows), seed=settings.seed, stream=f"evaluate {split}")
        self.split = split
        made_by = [
            lm.fingerprint, str(lm.dtype), prompts.fingerprint, text.fingerprint, scorer.name, scorer.fingerprint,
            list(axes), split, asdict(settings),
        ]  # fmt: skip
        self.key = hashlib.sha256(json.dumps(made_by).encode()).hexdigest()[:16]
        n_groups = sum(len(share) for share in self.shares.values())
        self.per_group = max(1, round(settings.texts_per_block / n_groups)) if n_groups else 0

    def texts(self, block: int) -> pd.DataFrame:
        """The block's samples: axis, group, prompt_id, prompt, draw."""
        frames = []
        for axis, chosen in self.sets.items():
            size = self.per_group * len(self.shares[axis])
            stream = f"evaluate {self.split} {axis}"
            order = sample_order(
                chosen.frame, seed=self.settings.seed, axis=stream, start=block * size, stop=(block + 1) * size
            )
            frames.append(order.merge(chosen.frame[["prompt_id", "axis", "group", "prompt"]], on="prompt_id"))
        return pd.concat(frames, ignore_index=True)

    def block_windows(self, block: int) -> list[int]:
        """Ids of the block's text windows; none once the text is used up."""
        size = self.settings.windows_per_block
        return self.window_order[block * size : (block + 1) * size].tolist()


def _block(plan: _Plan, heads: tuple[Head, ...], block: int, store: BlockStore, stop: Stop | None) -> dict[str, Any]:
    name = json.dumps(heads)
    record = store.get(plan.key, name, block)
    if record is None:
        if stop is not None and stop():
            raise Cancelled("the evaluation was stopped")
        with gate_heads(plan.lm.model, off=heads):
            record = {"texts": _measure_texts(plan, block, stop), "windows": _measure_windows(plan, block)}
        store.put(plan.key, name, block, record)
    return record


def _measure_texts(plan: _Plan, block: int, stop: Stop | None) -> list[dict[str, Any]]:
    lm, settings, rows = plan.lm, plan.settings, plan.texts(block)
    tokens, _ = encode_prompts(lm, rows["prompt"].tolist(), settings.max_new_tokens)
    keys = [
        noise_key(settings.seed, "evaluate", prompt, draw)
        for prompt, draw in zip(rows["prompt"], rows["draw"].tolist(), strict=True)
    ]
    sampling = SamplingSettings(max_new_tokens=settings.max_new_tokens)
    rows["continuation"] = [decode(lm, ids) for ids in sample_continuations(lm, tokens, keys, sampling, stop)]
    rows["toxicity"] = score_texts(plan.scorer, (rows["prompt"] + rows["continuation"]).tolist())
    return rows.drop(columns="prompt").to_dict("records")


def _measure_windows(plan: _Plan, block: int) -> list[dict[str, Any]]:
    lm, ids = plan.lm, plan.block_windows(block)
    tokens = [plan.windows[i] for i in ids]
    nll = [0.0] * len(ids)
    for rows in batches_by_length([len(t) for t in tokens], tokens_per_batch(lm.model, gradient=False)):
        batch = pad_batch(
            [tokens[i] for i in rows], [len(tokens[i]) - 1 for i in rows],
            pad_id=lm.tokenizer.pad_token_id, device=lm.device,
        )  # fmt: skip
        for row, value in zip(rows, base_log_probs(lm, batch).tolist(), strict=True):
            nll[row] = -value
    return [
        {"window_id": i, "n_tokens": len(t) - 1, "nll": value} for i, t, value in zip(ids, tokens, nll, strict=True)
    ]


def _pair(before: list[dict[str, Any]], after: list[dict[str, Any]], value: str) -> pd.DataFrame:
    """Rows of `before`, with `value` there and in `after` as two columns."""
    frame = pd.DataFrame(before).rename(columns={value: f"{value}_before"})
    frame[f"{value}_after"] = [row[value] for row in after]
    return frame
