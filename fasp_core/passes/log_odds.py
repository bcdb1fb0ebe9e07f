"""Log-odds of toxic against benign continuations, and how each head changes them: what the likelihood metric measures.

For a prompt x and a pair of continuations, the log-odds is log p(toxic | x) − log p(benign | x), in nats. Nothing is
sampled, so there is no sampling noise. (Comparing the likelihoods of two sentences is the idea of CrowS-Pairs, Nangia
et al. 2020, arXiv 2010.00133.) Tokens that the two continuations share cancel, so only those after the first difference
are read. The model reads each *context* (prompt, stem, and all but the last token of the word) once, for all pairs that
share it.

The unit that is stored is the mean over a stem's pairs: `log_odds` (n, m), and its change without each head, for the m
stems that each prompt reads.
Letters: n prompts, K stems, N heads; B rows of a batch, T tokens, S positions read, R reads of a row, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from fasp_core.data.pairs import PairSet
from fasp_core.data.tokens import plain_tokens, start_tokens
from fasp_core.head import Head
from fasp_core.models.batching import TokenBatch, in_batches, model_inputs, pad_batch, tokens_per_batch
from fasp_core.models.heads import HookOf, gate_heads
from fasp_core.models.language_model import LanguageModel
from fasp_core.passes.knockout import gradient_log_ratios, knockout_log_ratios
from fasp_core.progress import Stop, check_stop


@dataclass(frozen=True)
class Context:
    """A row of tokens for the model, of `place` (prompt i, its j-th stem).

    `reads` are (positions from the end, token, weight): the log-probabilities that are read from it.
    """

    place: tuple[int, int]
    tokens: list[int]
    reads: list[tuple[int, int, float]]


@dataclass(frozen=True)
class ReadBatch(TokenBatch):
    """Contexts, padded on the left; `place`, `token`, `weight` (B, R) say what is read at the last S positions."""

    place: Tensor
    token: Tensor
    weight: Tensor


def likelihood_of(
    lm: LanguageModel,
    prompts: Sequence[str],
    pairs: PairSet,
    *,
    stems: np.ndarray | None = None,
    off: Iterable[Head] = (),
    stop: Stop | None = None,
) -> np.ndarray:
    """Log-odds of prompts and stems, (n, m) float64 nats, with the heads `off` knocked out; > 0: toxic is likelier.

    `stems` (n, m) are indices into `pairs.stems`; None means all stems for every prompt, here and below.
    Raises Cancelled between batches once `stop()` is true, here and below.
    """

    @torch.no_grad()
    def work(batch: ReadBatch) -> tuple[Tensor, Tensor]:
        value = read_log_odds(lm.model, batch)
        return value.new_empty((len(value), 0)).cpu(), value.cpu()

    with gate_heads(lm.model, off=list(off)):
        return _measure(lm, prompts, pairs, stems, 0, work, False, stop)[0]


def likelihood_gradient(
    lm: LanguageModel,
    prompts: Sequence[str],
    pairs: PairSet,
    *,
    stems: np.ndarray | None = None,
    hook_of: HookOf | None = None,
    stop: Stop | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Log-odds (n, m), and their change without each head to first order, (n, m, N): −∂ log-odds / ∂ gate.

    `hook_of` may gate a part of a head's output, here and below (see `models.residual_gates`).
    """

    def work(batch: ReadBatch) -> tuple[Tensor, Tensor]:
        return gradient_log_ratios(lm, batch, read_log_odds, hook_of=hook_of)

    return _measure(lm, prompts, pairs, stems, lm.layout.n_heads, work, True, stop)


def likelihood_knockout(
    lm: LanguageModel,
    prompts: Sequence[str],
    pairs: PairSet,
    heads: Sequence[int],
    *,
    stems: np.ndarray | None = None,
    hook_of: HookOf | None = None,
    stop: Stop | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Log-odds (n, m), and their exact change without each of `heads` (flat ids), (n, m, len(heads))."""

    def work(batch: ReadBatch) -> tuple[Tensor, Tensor]:
        return knockout_log_ratios(lm, batch, heads, value=read_log_odds, hook_of=hook_of, stop=stop)

    return _measure(lm, prompts, pairs, stems, len(heads), work, False, stop)


def read_log_odds(model: PreTrainedModel, batch: ReadBatch) -> Tensor:
    """The weighted sum of each row's reads, (B) in nats."""
    n_read = batch.scored.shape[1]
    handle = model.get_output_embeddings().register_forward_pre_hook(
        lambda module, args: (args[0][:, -n_read:], *args[1:])  # (B, S, width)
    )
    try:
        logits = model(**model_inputs(model, batch)).logits  # (B, S, V)
    finally:
        handle.remove()
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    rows = torch.arange(len(logits), device=logits.device)[:, None]
    chosen = logits[rows, n_read - 1 - batch.place, batch.token]  # (B, R)
    norm = logits.logsumexp(-1).gather(1, n_read - 1 - batch.place)
    return (batch.weight * (chosen - norm)).sum(-1)


def contexts(lm: LanguageModel, prompts: Sequence[str], pairs: PairSet, stems: np.ndarray) -> list[Context]:
    """The rows of tokens that the model must read for these prompts: mostly one for each prompt and stem.

    Prompt, stem and word are tokenized together, as the whole text would be. A prompt that is too long for the model is
    cut on the left.
    """
    words = [group[["toxic", "benign"]].to_numpy().ravel() for _, group in pairs.frame.groupby("stem", sort=False)]
    start, found = start_tokens(lm.tokenizer), []
    for i, prompt in enumerate(prompts):
        for j, k in enumerate(stems[i].tolist()):
            texts = plain_tokens(lm.tokenizer, [f"{prompt}{pairs.stems[k]} {word}" for word in words[k]])
            ids = [[*start, *text] for text in texts]
            reads: dict[tuple[int, ...], dict[int, float]] = {}
            for toxic, benign in zip(ids[::2], ids[1::2], strict=True):
                shared = sum(1 for _ in takewhile(lambda two: two[0] == two[1], zip(toxic, benign, strict=False)))
                for tokens, sign in ((toxic, 1), (benign, -1)):
                    for t in range(shared, len(tokens)):
                        at = reads.setdefault(tuple(tokens[:t]), {})
                        at[tokens[t]] = at.get(tokens[t], 0.0) + 2 * sign / len(words[k])
            found += _rows((i, j), reads, len(start), lm.max_length)
    return found


def _rows(
    place: tuple[int, int], reads: dict[tuple[int, ...], dict[int, float]], n_start: int, max_length: int | None
) -> list[Context]:
    """Rows that hold all contexts; a context that begins another one is read within its row."""
    rows: list[Context] = []
    for context in sorted(reads, key=len, reverse=True):
        row = next((row for row in rows if tuple(row.tokens[: len(context)]) == context), None)
        if row is None:
            row = Context(place, list(context), [])
            rows.append(row)
        back = len(row.tokens) - len(context)
        row.reads.extend((back, token, weight) for token, weight in reads[context].items())
    if max_length is not None:
        cut = max(0, max(len(row.tokens) for row in rows) - max_length)
        rows = [Context(place, row.tokens[:n_start] + row.tokens[n_start + cut :], row.reads) for row in rows]
    return rows


def _measure(
    lm: LanguageModel,
    prompts: Sequence[str],
    pairs: PairSet,
    stems: np.ndarray | None,
    n_heads: int,
    work: Callable[[ReadBatch], tuple[Tensor, Tensor]],
    gradient: bool,
    stop: Stop | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Sum what `work` gives for batches of contexts, (B, heads) and (B), into (n, m, heads) and (n, m)."""
    if stems is None:
        stems = np.tile(np.arange(len(pairs.stems)), (len(prompts), 1))
    rows, shape = contexts(lm, prompts, pairs, stems), np.shape(stems)
    log_odds, changes = np.zeros(shape), np.zeros((*shape, n_heads), np.float32)

    def add(chosen: list[int]) -> None:
        check_stop(stop, "measuring")
        some = [rows[i] for i in chosen]
        change, value = work(_batch(lm, some))
        index = tuple(zip(*(row.place for row in some), strict=True))
        np.add.at(log_odds, index, value.double().numpy())
        np.add.at(changes, index, change.numpy())

    in_batches([len(row.tokens) for row in rows], tokens_per_batch(lm.model, gradient=gradient), add)
    return log_odds, changes


def _batch(lm: LanguageModel, rows: Sequence[Context]) -> ReadBatch:
    depth = 1 + max(place for row in rows for place, _, _ in row.reads)
    base = pad_batch(
        [row.tokens for row in rows], [depth] * len(rows), pad_id=lm.tokenizer.pad_token_id, device=lm.device
    )
    width = max(len(row.reads) for row in rows)
    padded = [row.reads + [(0, 0, 0.0)] * (width - len(row.reads)) for row in rows]
    place, token, weight = (torch.tensor([[read[j] for read in row] for row in padded]) for j in range(3))
    return ReadBatch(base.ids, base.mask, base.scored, place.to(lm.device), token.to(lm.device), weight.to(lm.device))
