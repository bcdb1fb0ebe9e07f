"""evaluate(): what pruning a *set* of heads does, measured block by block. Progressive, cancellable, cached.

A set of heads moves the model too far for importance weights, so texts are sampled again from the pruned model, but
*coupled*: the same noise per prompt and step as for the intact model (see `sampling`), and where so few heads go that
many texts can stay what they were, as closely as can be (see `coupling`). A block is a few text windows, or some texts
of one axis, as many for every group: groups are strata, so their means after any number of blocks are unbiased. Each
finished block goes to the store under (stream, head set, block): nothing is measured twice, the intact model included.
The texts are fresh draws, not those that heads were scored on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from .data import check_split
from .degeneration import distinct_bigrams, paired_means, repetition
from .errors import InputError, nearest
from .estimates import AxisMetrics, Evaluation, Metrics, compare_axis, compare_windows, joined
from .evaluation_blocks import BlockStore, Work, measured_block
from .evaluation_plan import TEXT, EvaluationPlan, EvaluationSettings, study_settings
from .heads import Head
from .models import LanguageModel
from .perplexity import token_windows
from .progress import Stop
from .prompts import PromptSet, load_prompts
from .text import TextSet, load_text
from .toxicity import Scorer, open_scorer, open_study_scorer

if TYPE_CHECKING:
    from .study import Study


class MemoryStore:
    """Blocks and summaries of this process only."""

    def __init__(self) -> None:
        self._blocks: dict[tuple[str, str, int], Any] = {}
        self._evaluations: dict[tuple[str, str], Evaluation] = {}

    def get(self, stream: str, heads: str, block: int) -> Any | None:
        """The stored block, or None."""
        return self._blocks.get((stream, heads, block))

    def put(self, stream: str, heads: str, block: int, record: Any) -> None:
        """Keep a finished block."""
        self._blocks[stream, heads, block] = record

    def describe(self, plan: EvaluationPlan) -> None:
        """Nobody looks for plans in here."""

    def keep(self, plan: str, heads: str, evaluation: Evaluation) -> None:
        """Keep the newest summary."""
        self._evaluations[plan, heads] = evaluation

    def kept(self, plan: str, heads: str) -> Evaluation | None:
        """The newest summary, or None."""
        return self._evaluations.get((plan, heads))


def evaluate(
    lm: LanguageModel,
    pruned: Iterable[Head],
    axes: Sequence[str],
    *,
    split: str = "valid",
    prompts: PromptSet | None = None,
    text: TextSet | None = None,
    windows: pd.DataFrame | None = None,
    scorer: Scorer | None = None,
    settings: EvaluationSettings | None = None,
    store: BlockStore | None = None,
    stop: Stop | None = None,
) -> Iterator[Evaluation]:
    """Measure perplexity and the bias of `axes` with the heads `pruned` knocked out, against the intact model.

    Yields an ever more precise `Evaluation` after each step, a block of the text windows or of one axis, in turns, the
    axes in the order given; the last one is `done`. What the store has measured whole is given at once. Perplexity is
    that of `windows` (columns split, token_ids), else of `text`. Explore on split "valid", make claims on "test".
    Raises InputError for heads, axes or splits that do not exist; Cancelled once `stop()` is true.
    """
    settings, store = settings or EvaluationSettings(), store or MemoryStore()
    prompts, scorer = prompts or load_prompts(), scorer or open_scorer()
    heads = tuple(sorted(set(pruned)))
    for layer, head in heads:
        lm.layout.flat_id(layer, head)
    for axis in axes:
        if axis not in prompts.axes:
            raise InputError(f"unknown axis '{axis}'; {nearest(axis, prompts.axes)}")
    if not axes:
        raise InputError(f"no axis to evaluate; choose one or more of: {', '.join(prompts.axes)}")
    check_split(split)
    if windows is None:
        windows = token_windows(lm.tokenizer, (text or load_text()).frame, length=settings.window_tokens)
    work = Work(lm, tuple(axes), split, prompts, windows, scorer, settings, stop)
    store.describe(work.plan)
    name = json.dumps(heads)
    if (whole := store.kept(work.plan.key, name)) is not None and whole.done:
        yield whole
        return
    totals = _Totals(work.shares)
    steps = work.steps()
    for done, (stream, block) in enumerate(steps, start=1):
        before = measured_block(work, stream, (), block, store)
        totals.add(stream, before, measured_block(work, stream, heads, block, store) if heads else before)
        evaluation = Evaluation(
            pruned=heads, split=split, **totals.metrics(), n_texts=totals.n_texts, n_windows=totals.n_windows,
            fraction_done=done / len(steps),
        )  # fmt: skip
        store.keep(work.plan.key, name, evaluation)
        yield evaluation


def evaluate_study(
    study: Study, lm: LanguageModel, pruned: Iterable[Head], axes: Sequence[str] | None = None, *,
    split: str = "valid", store: BlockStore | None = None, stop: Stop | None = None,
) -> Iterator[Evaluation]:  # fmt: skip
    """`evaluate` on a study's own prompts, text windows and scorer, sampling as it does; by default on all its axes.

    `lm` is `open_study_model(study)`. The command line, the app and comparisons call this, and so share every block.
    """
    return evaluate(
        lm, pruned, axes or study.axes, split=split, prompts=study.prompts, windows=study.windows,
        scorer=open_study_scorer(study), settings=study_settings(study), store=store, stop=stop,
    )  # fmt: skip


class _Totals:
    """What was measured so far, summed up; only what a step changed is computed anew."""

    def __init__(self, shares: dict[str, pd.Series]) -> None:
        self.shares = shares
        self.rows: dict[str, list[pd.DataFrame]] = {stream: [] for stream in (TEXT, *shares)}
        self.ppl = compare_windows(pd.DataFrame())
        self.axes: dict[str, list[AxisMetrics]] = {}
        self.repetition: tuple[list[float], list[float]] = ([], [])
        self.distinct: tuple[list[float], list[float]] = ([], [])

    @property
    def n_texts(self) -> int:
        return sum(len(rows) for axis in self.shares for rows in self.rows[axis])

    @property
    def n_windows(self) -> int:
        return sum(map(len, self.rows[TEXT]))

    def add(self, stream: str, before: list[dict[str, Any]], after: list[dict[str, Any]]) -> None:
        """Take in one block, as measured before and after pruning."""
        value = "nll" if stream == TEXT else "toxicity"
        pairs = pd.DataFrame(before).rename(columns={value: f"{value}_before"})
        pairs[f"{value}_after"] = [row[value] for row in after]
        self.rows[stream].append(pairs)
        rows = pd.concat(self.rows[stream])
        if stream == TEXT:
            self.ppl = compare_windows(rows)
            return
        for part, records in enumerate((before, after)):
            texts = [record["continuation"] for record in records]
            self.repetition[part].extend(map(repetition, texts))
            self.distinct[part].append(distinct_bigrams(texts))
        if (compared := compare_axis(rows, self.shares[stream])) is not None:
            self.axes[stream] = compared

    def metrics(self) -> dict[str, Metrics]:
        """`before`, `after` and `change`."""
        pools = {"repetition": self.repetition, "distinct_bigrams": self.distinct}
        degeneration = {what: paired_means(*parts) for what, parts in pools.items()} if self.n_texts else {}
        return joined(self.ppl, {axis: self.axes[axis] for axis in self.shares if axis in self.axes}, degeneration)
