"""What the remaining heads do once some are gone: the scores of a stage of fasp_iterative, and its perplexity.

A stage reads the model without the heads pruned so far, their layers refitted where that is asked for:

* by likelihood: the log-odds of the study's first readings, by gradient; nothing is sampled. Where least squares takes
  the heads' place, the gates are residual ones (see `models.residual_gates`), fitted in the pruned model;
* by toxicity: the study's first prompts continued with the same noise, so that texts differ only where pruning changed
  them, and weighed by their advantages, whose critic is learned from these texts.

A stage's scores come from fewer texts than the study's. What the choice of texts adds by chance is taken off by the
intact model's scores z₀ from the same texts: z_S + β (z − z₀), with β the slope of z_S on z₀ over the remaining heads
(a control variate); gaps likewise, over the groups. With all of the study's texts these are those of the stage.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pyarrow as pa

from fasp_core.data.calibration import calibration_windows
from fasp_core.errors import InputError
from fasp_core.head import Head
from fasp_core.models.batching import in_batches, pad_batch, tokens_per_batch
from fasp_core.models.compensation import Compensation, compensated_heads, fit_compensation
from fasp_core.models.compensation_choice import Compensate
from fasp_core.models.heads import gate_heads
from fasp_core.passes.knockout import base_log_probs
from fasp_core.progress import check_stop
from fasp_core.scoring.advantages import Prefixes, contributions, halves, prefix_ratings
from fasp_core.scoring.context import RunContext
from fasp_core.scoring.log_ratios import sample_sequences
from fasp_core.scoring.odds import Odds
from fasp_core.scoring.stage import shards_of
from fasp_core.scoring.texts import Rating, Sampling
from fasp_core.selection.group_effects import GroupEffects
from fasp_core.stats.advantages import LAMBDA, advantages
from fasp_core.stats.bias import HeadEffects, head_effects
from fasp_core.stats.critic import cross_fitted_critics, prefix_values
from fasp_core.stats.estimate import Estimate
from fasp_core.stats.log_odds import OddsSamples, likelihood_effects
from fasp_core.stats.paired import compare_windows
from fasp_core.stats.prompt_sums import PromptSums
from fasp_core.study.effects import advantage_shards
from fasp_core.study.shard_names import SAMPLES, TOXICITY, shard_name, shard_of
from fasp_core.study.shard_tables import table_changes, table_contributions, table_odds
from fasp_core.study.study import Study
from fasp_core.study.views import axis_groups, odds_samples, window_samples
from fasp_core.toxicity.scorers import prefix_step

REPLICATES = 100  # bootstrap, for the errors of a stage


@dataclass(frozen=True, eq=False)
class StageScores:
    """z_bias of all heads, (N), and what each does to every group, in the model without the heads pruned so far."""

    z: np.ndarray
    groups: GroupEffects


class PrunedModels:
    """The study's model without some heads, their layers refitted by `compensate`; one fit is kept."""

    def __init__(self, context: RunContext, compensate: Compensate) -> None:
        self.context, self.compensate = context, compensate
        self._last: tuple[tuple[Head, ...], Compensation] | None = None

    @contextmanager
    def without(self, pruned: Sequence[int]) -> Iterator[RunContext]:
        """A context in which the model is that without `pruned` (flat ids), while inside."""
        lm = self.context.lm
        heads = tuple(lm.layout.head(flat_id) for flat_id in pruned)
        with ExitStack() as stack:
            if self.compensate != "none" and heads:
                stack.enter_context(compensated_heads(lm.model, self._fitted(heads)))
            stack.enter_context(gate_heads(lm.model, off=heads))  # also of refitted layers: residuals are of what stays
            yield replace(self.context)

    def _fitted(self, heads: tuple[Head, ...]) -> Compensation:
        if self._last is None or self._last[0] != heads:
            lm, stop = self.context.lm, self.context.stop
            windows = calibration_windows(lm.tokenizer, lm.max_length)
            self._last = heads, fit_compensation(lm, heads, windows, how=self.compensate, stop=stop)
        return self._last[1]


class StageScorer(ABC):
    """Calls give the scores of a stage: the study's own where nothing is pruned, else those of the pruned model.

    Raises Cancelled between batches once the context's `stop()` is true.
    """

    def __init__(self, models: PrunedModels, study: Study, axis: str, known: StageScores) -> None:
        self.models, self.study, self.axis, self.known = models, study, axis, known
        self.shares = axis_groups(study, axis).shares

    def __call__(self, pruned: Sequence[int]) -> StageScores:
        if not pruned:
            return self.known
        here, intact = self.scored(pruned), self.intact()
        left = np.setdiff1d(np.arange(here.z.size), pruned)
        groups, known = here.groups, self.known.groups
        return StageScores(
            _controlled(here.z, intact.z, self.known.z, left),
            replace(
                groups,
                gaps=_controlled(groups.gaps, intact.groups.gaps, known.gaps, np.arange(known.gaps.size)),
                effects=_controlled(groups.effects, intact.groups.effects, known.effects, left),
            ),
        )

    @abstractmethod
    def scored(self, pruned: Sequence[int]) -> StageScores:
        """The scores in the model without `pruned`, by the stage's texts alone."""

    @abstractmethod
    def intact(self) -> StageScores:
        """The scores of the intact model by the same texts."""

    def _scores(self, effects: HeadEffects) -> StageScores:
        moves = effects.gap_moves, effects.gap_moves_se
        return StageScores(effects.z, GroupEffects(tuple(self.shares.index), effects.gaps, effects.gaps_se, *moves))


class LikelihoodScorer(StageScorer):
    """By the log-odds of the study's first `n` readings."""

    def __init__(self, models: PrunedModels, study: Study, axis: str, known: StageScores, n: int) -> None:
        super().__init__(models, study, axis, known)
        self.compensated = models.compensate == "least_squares"
        samples = odds_samples(study, axis, compensated=self.compensated)
        self.first = replace(_first(samples, n), knockout=None)

    def scored(self, pruned: Sequence[int]) -> StageScores:
        n, size = len(self.first.group), self.models.context.settings.odds_per_shard
        with self.models.without(pruned) as context:
            stage = Odds(self.axis, shards_of(n, size, end=n), self.compensated)
            tables = [stage.table(shard, context, {}) for shard in stage.shards]
            by_block = context.pairs.kept_by_block
        log_odds = np.concatenate([table_odds(table, by_block=by_block) for table in tables])
        gradient = np.concatenate([table_changes(table, by_block=by_block)[1] for table in tables])
        return self._of(replace(self.first, log_odds=log_odds, gradient=gradient))

    def intact(self) -> StageScores:
        return self._of(self.first)

    def _of(self, samples: OddsSamples) -> StageScores:
        return self._scores(likelihood_effects(samples, replicates=REPLICATES, splits=1))


class ToxicityScorer(StageScorer):
    """By the advantages of the study's first `n` continuations; the last shard of them may be a part."""

    def __init__(self, models: PrunedModels, study: Study, axis: str, known: StageScores, n: int) -> None:
        super().__init__(models, study, axis, known)
        scorer = models.context.scorer.name
        rated = sum(study.manifest.shards[name].rows for name in study.shard_names(TOXICITY, axis, scorer=scorer))
        self.n = min(n, rated)
        if not (advantage_shards(study, axis, scorer) or study.n_folded(axis, scorer)):
            raise InputError(
                f"fasp_iterative scores heads by advantages, and study '{study.name}' has none for {axis}; run the "
                "same `score` again to add them (there are none with --budget paper), or measure by likelihood"
            )
        self._intact: StageScores | None = None

    def intact(self) -> StageScores:
        if self._intact is None:
            stored = self._stored()
            self._intact = self.scored(()) if stored is None else self._of([stored])
        return self._intact

    def scored(self, pruned: Sequence[int]) -> StageScores:
        scorer, size = self.models.context.scorer.name, self.models.context.settings.samples_per_shard
        with self.models.without(pruned) as context:
            sampling = Sampling(self.axis, shards_of(self.n, size, end=self.n))
            rating, rated = Rating.of(sampling, scorer), Prefixes(self.axis, sampling.shards, scorer)
            parts = []
            for shard, texts in zip(sampling.shards, rating.shards, strict=True):
                check_stop(context.stop, "fasp_iterative", resumes=True)
                samples = sampling.table(shard, context, {})
                needed = {shard_name(SAMPLES, self.axis, shard.number): samples}
                parts.append((samples, rating.table(texts, context, needed), rated.table(shard, context, needed)))
            return self._of(self._contributions(context, parts))

    def _contributions(
        self, context: RunContext, parts: Sequence[tuple[pa.Table, pa.Table, pa.Table]]
    ) -> list[tuple[pa.Table, pa.Table, np.ndarray]]:
        """Samples, toxicity and contributions (n, N) of shards of samples, toxicity and rated prefixes."""
        samples, toxicity, prefixes = zip(*parts, strict=True)
        ratings = prefix_ratings(prefixes, toxicity, context)
        critics = cross_fitted_critics(ratings, halves(samples, self.axis, context))
        found = []
        for of_shard in parts:
            weights = critics[halves(of_shard[:1], self.axis, context)]
            values = prefix_values(prefix_ratings(of_shard[2:], of_shard[1:2], context), weights)
            by_block = advantages(values, lam=LAMBDA)[None]
            columns = (of_shard[0][name].to_pylist() for name in ("unit", "prompt_id", "token_ids"))
            sequences = sample_sequences(context, self.axis, *columns)
            (added,) = contributions(context, sequences, by_block, prefix_step(context.scorer))
            found.append((of_shard[0], of_shard[1], added))
        return found

    def _stored(self) -> tuple[pa.Table, pa.Table, np.ndarray] | None:
        """The same of the intact model, as the study holds it; None where it was folded into sums."""
        scorer, parts, added = self.models.context.scorer.name, [], []
        if self.study.n_folded(self.axis, scorer):
            return None
        for name in advantage_shards(self.study, self.axis, scorer):
            number = shard_of(name).shard
            samples = self.study.read_shard(shard_name(SAMPLES, self.axis, number)).select(["prompt_id"])
            toxicity = self.study.read_shard(shard_name(TOXICITY, self.axis, number, scorer=scorer))
            parts.append((samples.replace_schema_metadata(), toxicity.replace_schema_metadata()))
            added.append(table_contributions(self.study.read_shard(name))[1])
        samples, toxicity = (pa.concat_tables(each).slice(0, self.n) for each in zip(*parts, strict=True))
        return (samples, toxicity, np.concatenate(added)[: self.n]) if samples.num_rows == self.n else None

    def _of(self, parts: Sequence[tuple[pa.Table, pa.Table, np.ndarray]]) -> StageScores:
        ids = np.concatenate([samples["prompt_id"].to_numpy() for samples, _, _ in parts])
        toxicity = np.concatenate([table["toxicity"].to_numpy() for _, table, _ in parts])
        known = axis_groups(self.study, self.axis)
        group = known.codes(known.prompts.set_index("prompt_id")["group"].loc[ids])
        added = {"discounted": np.concatenate([values for _, _, values in parts])}
        sums = PromptSums.of_texts(ids, group, toxicity, added)
        of_axis = sums.axis_sums("discounted", self.shares.to_numpy(), tuple(self.shares.index))
        return self._scores(head_effects(of_axis, replicates=REPLICATES, splits=1))


class StagePerplexity:
    """Calls give the rise of perplexity without some heads, measured on the windows that the study has scores of."""

    def __init__(self, models: PrunedModels, study: Study) -> None:
        self.models, self.before = models, window_samples(study)

    def __call__(self, pruned: Sequence[int]) -> Estimate:
        """As a share of the intact model's."""
        n = len(self.before.log_prob)
        windows, after = self.models.context.windows[:n], np.empty(n)
        with self.models.without(pruned) as context:
            lm = context.lm

            def work(rows: list[int]) -> None:
                check_stop(context.stop, "fasp_iterative", resumes=True)
                tokens = [windows[row] for row in rows]
                scored, pad_id = [len(ids) - 1 for ids in tokens], lm.tokenizer.pad_token_id
                after[rows] = base_log_probs(lm, pad_batch(tokens, scored, pad_id=pad_id, device=lm.device)).numpy()

            in_batches([len(ids) for ids in windows], tokens_per_batch(lm.model, gradient=False), work)
        rows = {"n_tokens": self.before.n_tokens, "nll_before": -self.before.log_prob, "nll_after": -after}
        before, _, change = compare_windows(pd.DataFrame(rows))
        return Estimate(change.value / before.value, change.se / before.value, n)


def _first(samples: OddsSamples, n: int) -> OddsSamples:
    """The first `n` rows."""
    rows = ("log_odds", "group", "cell", "block", "stem", "gradient")
    return replace(samples, **{name: getattr(samples, name)[:n] for name in rows})


def _controlled(here: np.ndarray, intact: np.ndarray, known: np.ndarray, left: np.ndarray) -> np.ndarray:
    """`here` + β (`known` − `intact`), with β the slope of here on intact over the rows `left`, from 0 to 1."""
    x, y = intact[left].ravel(), here[left].ravel()
    spread = x.var()
    slope = np.cov(y, x, ddof=0)[0, 1] / spread if spread > 0 else 0.0
    return here + min(max(slope, 0.0), 1.0) * (known - intact)
