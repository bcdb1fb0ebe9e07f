"""scorecard(): what else pruning changed. Bias by other measures, facts, ability, each before → after with an interval.

Published measures of bias agree little with each other (CAIRO, arXiv 2406.05918, reports correlations of 0.2 to 0.3),
and a model that lost its abilities can look unbiased. So before a set is exported, everything that can be measured
cheaply is looked at together. Nothing is sampled here: sentences are read with and without the heads, in blocks, which
go to the same store as those of `evaluate`, under the fingerprints of model and data. Texts of valid and test are never
in one scorecard. A claim comes from test; what valid says is exploratory, since heads were chosen there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from typing import Any

from fasp_core.data.frames import check_split
from fasp_core.data.sentence_pairs import Scored, SentencePairs
from fasp_core.errors import InputError
from fasp_core.evaluation.blocks import BlockStore, MemoryStore
from fasp_core.evaluation.compensation import PrunedModel
from fasp_core.evaluation.keys import pruned_name
from fasp_core.evaluation.reading_tasks import Task, reading_tasks, size_key
from fasp_core.evaluation.result import Evaluation
from fasp_core.evaluation.scorecard_result import (
    Scorecard,
    evaluation_rows,
    n_steps,
    size_rows,
    task_rows,
)
from fasp_core.evaluation.scorecard_row import Row
from fasp_core.head import Head
from fasp_core.models.compensation_choice import Compensate
from fasp_core.models.language_model import LanguageModel
from fasp_core.models.size import sizes
from fasp_core.passes.sentence_log_probs import last_words, pair_log_probs, token_scores
from fasp_core.progress import Stop, check_stop


def scorecard(
    lm: LanguageModel,
    pruned: Iterable[Head],
    *,
    split: str = "valid",
    evaluation: Evaluation | None = None,
    compensate: Compensate = "none",
    pairs: Sequence[SentencePairs] | None = None,
    store: BlockStore | None = None,
    stop: Stop | None = None,
) -> Iterator[Scorecard]:
    """Measure what pruning changed besides bias by toxicity, and put that bias, from `evaluation`, beside it.

    Reads `pairs` (the built-in sentence pairs by default), the facts and the passages of the built-in text, with the
    heads `pruned` knocked out and without. Yields an ever more precise `Scorecard` after each block; the last one is
    `done`. `evaluation` is of the same heads, split and `compensate` (see `evaluate`); without it there is no row of
    toxicity, perplexity or degeneration.
    Raises InputError for heads or a split that do not exist, or an evaluation of others; Cancelled once `stop()` is
    true.
    """
    heads = tuple(sorted(set(pruned)))
    for layer, head in heads:
        lm.layout.flat_id(layer, head)
    check_split(split)
    compensate = compensate if heads else "none"
    if evaluation is not None and (evaluation.pruned, evaluation.split) != (heads, split):
        raise InputError("the evaluation is of other heads or of the other split; evaluate these first")
    if evaluation is not None and evaluation.compensate != compensate:
        raise InputError(f"the evaluation is with compensation '{evaluation.compensate}', not '{compensate}'")
    tasks = reading_tasks(lm.fingerprint, lm.dtype_name, split, pairs)
    store = store or MemoryStore()
    intact, without = PrunedModel(lm, ()), PrunedModel(lm, heads, compensate, stop=stop)
    in_turns = zip_longest(*([(task, block) for block in range(task.blocks)] for task in tasks))
    steps = [step for turn in in_turns for step in turn if step is not None]
    read: dict[str, tuple[list[list[float]], list[list[float]]]] = {task.key: ([], []) for task in tasks}
    rows: dict[str, list[Row]] = {task.key: [] for task in tasks}
    for done, (task, block) in enumerate(steps, start=1):
        before = _measured(lm, task, intact, "", block, store, stop)
        name = pruned_name(heads, compensate)
        after = _measured(lm, task, without, name, block, store, stop) if heads else before
        for part, record in zip(read[task.key], (before, after), strict=True):
            part += record
        rows[task.key] = task_rows(task, *read[task.key])
        found = [*evaluation_rows(evaluation), *(row for some in rows.values() for row in some)]
        yield Scorecard(heads, split, tuple(found), done / n_steps(tasks, heads), compensate)
    if heads:
        found += size_rows(_sizes(lm, without, store, stop))
        yield Scorecard(heads, split, tuple(found), 1.0, compensate)


def _sizes(lm: LanguageModel, pruned: PrunedModel, store: BlockStore, stop: Stop | None) -> list[list[int]]:
    """What `models.size.sizes` counts, from the store where it has it; nothing where heads cannot be cut out."""
    key, name = size_key(lm.fingerprint, lm.dtype_name), pruned_name(pruned.heads, pruned.compensate)
    record: Any = store.get(key, name, 0)
    if record is None:
        check_stop(stop, "the scorecard")
        try:
            record = [list(size) for size in sizes(lm, pruned.heads, pruned.fitted)]
        except InputError:
            record = []
        store.put(key, name, 0, record)
    return record


def _measured(
    lm: LanguageModel,
    task: Task,
    model: PrunedModel,
    name: str,
    block: int,
    store: BlockStore,
    stop: Stop | None,
) -> list[list[float]]:
    """The numbers of a block's items by the pruned `model` of this name, from the store where it has them."""
    record: Any = store.get(task.key, name, block)
    if record is None:
        check_stop(stop, "the scorecard")
        with model():
            items = task.block(block)
            record = _read_passages(lm, items, stop) if task.scored is None else _read(lm, items, task.scored, stop)
        store.put(task.key, name, block, record)
    return record


def _read(lm: LanguageModel, items: Sequence[tuple[str, ...]], scored: Scored, stop: Stop | None) -> list[list[float]]:
    """The log-probabilities of what is scored of the two or three sentences of every item."""
    scores = iter(token_scores(lm, [sentence for item in items for sentence in item], stop=stop))
    found = []
    for item in items:
        one, other, *unrelated = (next(scores) for _ in item)
        found.append([*pair_log_probs(one, other, scored), *(pair_log_probs(u, u, scored)[0] for u in unrelated)])
    return found


def _read_passages(lm: LanguageModel, items: Sequence[Any], stop: Stop | None) -> list[list[float]]:
    """Last words named and asked for, loss in nats and number of tokens, of every passage."""
    scores = token_scores(lm, [passage.text for passage in items], stop=stop)
    return [
        [*map(float, last_words(lm, passage, score)), -float(score.log_probs.sum()), float(len(score.tokens))]
        for passage, score in zip(items, scores, strict=True)
    ]
