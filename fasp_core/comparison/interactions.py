"""How heads work together: does removing two of them differ from the sum of removing each?

For a pair (a, b) and a quantity q, bias or perplexity, the interaction is

    I = [q(a, b) − q(intact)] − [q(a) − q(intact)] − [q(b) − q(intact)] = q(a, b) − q(a) − q(b) + q(intact):

above 0, removing both lowers q by less (or raises it by more) than the two single removals add up to. All four models
continue the same prompts with the same noise, or read them with the same stems, and read the same windows, so I is
estimated from quadruples. Its 95 % interval comes from resampling prompts within groups, cells and stems (as
`stats.paired` does), or windows, for all four together. Of pairs without interaction
about 5 % have an interval that leaves out zero by chance, so the share beyond chance is (share − 0.05) / 0.95.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from fasp_core.cluster.cluster import Cluster
from fasp_core.errors import InputError
from fasp_core.evaluation.evaluate import evaluate
from fasp_core.evaluation.keys import EvaluationPlan, EvaluationSettings, ScorerName, plan_of, study_settings
from fasp_core.evaluation.store import EvaluationStore
from fasp_core.evaluation.streams import metric_of, stream_of
from fasp_core.head import Head, head_of, head_text
from fasp_core.models.language_model import LanguageModel
from fasp_core.progress import ProgressCallback, StageClock, Stop
from fasp_core.selection.select_heads import protected_heads
from fasp_core.stats.bias import axis_bias
from fasp_core.stats.estimate import Estimate
from fasp_core.stats.paired import odds_means
from fasp_core.stats.resampling import replicate_counts
from fasp_core.study.shard_names import TEXT
from fasp_core.study.study import Study
from fasp_core.study.views import study_pairs
from fasp_core.toxicity.scorers import Scorer

CHANCE = 0.05


@dataclass(frozen=True)
class PairShare:
    """How many pairs have an interaction whose interval leaves out zero; the share beyond chance and its interval."""

    n_pairs: int
    n_differ: int
    beyond_chance: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class Interactions:
    """One row per pair and metric: first, second (`layer.head`), metric, change_first, change_second, change_both,
    interaction, low, high, differs; and for each metric how often it differs."""

    frame: pd.DataFrame

    @property
    def shares(self) -> dict[str, PairShare]:
        """How often pairs differ from the sum of their heads, by metric."""
        return {metric: pair_share(part["differs"]) for metric, part in self.frame.groupby("metric", sort=False)}


def measure_interactions(
    lm: LanguageModel,
    study: Study,
    axis: str,
    *,
    pairs: int,
    gamma: float,
    blocks: int,
    scorer: Scorer | ScorerName,
    metric: str = "toxicity",
    settings: EvaluationSettings | None = None,
    progress: ProgressCallback | None = None,
    stop: Stop | None = None,
    cluster: Cluster | None = None,
) -> Interactions:
    """Measure random pairs of the heads that γ leaves unprotected, on `blocks` blocks of valid prompts and windows.

    The bias of `axis` is measured by `metric`; by likelihood the name of the study's scorer will do.
    Sets that were measured before, in the app or by a comparison, are read from the database; so a stopped run resumes.
    Raises InputError for an unknown axis, or more pairs than there are; Cancelled once `stop()` is true.
    """
    scores = study.scores(scorer.name or None, metric=metric)
    scores.known_axis(axis)
    study.prompts.known_axis(axis)  # interactions are those of a bias, which takes groups
    free = np.setdiff1d(np.arange(scores.n_heads), protected_heads(scores, gamma))
    chosen = draw_pairs(free, pairs, seed=study.settings.seed)
    heads = [(head_of(a, scores.heads_per_layer), head_of(b, scores.heads_per_layer)) for a, b in chosen.tolist()]
    sets: list[tuple[Head, ...]] = list(dict.fromkeys([(), *((head,) for pair in heads for head in pair), *heads]))
    settings = replace(settings or study_settings(study), blocks=blocks)
    store, prompts, windows = EvaluationStore(study.folder.parent), study.prompts, study.windows
    stream, asked = stream_of(axis, metric), study_pairs(study)
    clock = StageClock("interactions", len(sets), "sets", progress)
    for some in sets:
        for _ in evaluate(
            lm,
            some,
            [axis],
            metrics=[metric],
            prompts=prompts,
            windows=windows,
            scorer=scorer,
            pairs=asked,
            settings=settings,
            store=store,
            stop=stop,
            cluster=cluster,
        ):
            pass
        clock.step()
    plan = plan_of(
        lm, [stream], "valid", prompts=prompts, windows=windows, scorer=scorer, settings=settings, pairs=asked
    )
    shares = prompts.select(axes=[axis], split="valid").group_shares(axis).sort_index()
    rows = []
    for pair in heads:
        measured = _quadruple(store, plan, pair, blocks)
        bias = odds_interaction if metric == "likelihood" else texts_interaction
        found = {f"bias.{axis}": bias(measured[stream], shares), "ppl": windows_interaction(measured[TEXT])}
        rows += [_pair_row(pair, name, *each) for name, each in found.items()]
    return Interactions(pd.DataFrame(rows))


def draw_pairs(free: np.ndarray, pairs: int, *, seed: int) -> np.ndarray:
    """`pairs` different pairs of the heads `free`, (pairs, 2), each sorted; raises InputError where there are fewer."""
    every = math.comb(free.size, 2)
    if pairs > every:
        raise InputError(f"{free.size} unprotected heads make only {every} pairs, not {pairs}; ask for fewer")
    rng = np.random.default_rng(seed)
    found: dict[tuple[int, ...], None] = {}
    while len(found) < pairs:
        found[tuple(sorted(rng.choice(free, 2, replace=False).tolist()))] = None
    return np.array(list(found))


def pair_share(differs: Sequence[bool]) -> PairShare:
    """How many differ, and the share beyond the 5 % that chance gives, with Wilson's 95 % interval."""
    n, k = len(differs), int(np.sum(differs))
    interval = binomtest(k, n).proportion_ci(method="wilson")

    def beyond(value: float) -> float:
        return max(0.0, (value - CHANCE) / (1 - CHANCE))

    return PairShare(n, k, beyond(k / n), (beyond(interval.low), beyond(interval.high)))


def bias_interaction(toxicity: np.ndarray, group: np.ndarray, prompt: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Bias of the four models, (1 + replicates, 4): row 0 from the data, the other rows resampled.

    `toxicity` (n, 4) of the intact model, without a, without b, without both; `group` (n) and `prompt` (n) are codes.
    """
    sums, sizes = np.zeros((prompt.max() + 1, 4)), np.bincount(prompt)
    np.add.at(sums, prompt, toxicity)
    strata = np.zeros(sizes.size, int)
    strata[prompt] = group
    counts = replicate_counts(strata)
    inside = (strata[:, None] == np.arange(shares.size)).astype(float)  # (P, G)
    n = counts @ (inside * sizes[:, None])
    means = np.stack([counts @ (inside * sums[:, [k]]) / n for k in range(4)], axis=1)  # (R, 4, G)
    return axis_bias(means, shares)


def ppl_interaction(nll: np.ndarray, n_tokens: np.ndarray) -> np.ndarray:
    """Perplexity of the four models, (1 + replicates, 4), from `nll` (n windows, 4) in nats and `n_tokens` (n)."""
    counts = replicate_counts(np.zeros(n_tokens.size, int))
    return np.exp(counts @ nll / (counts @ n_tokens)[:, None])


def interaction(values: np.ndarray, n: int, units: int, *, scale: bool = True) -> Estimate:
    """q(a, b) − q(a) − q(b) + q(intact) from values (1 + replicates, 4), with its error.

    Columns: intact, without a, without b, without both. `n` texts, readings or windows; `units` prompts of the smallest
    group (or stems, where there are fewer), or windows; `scale` as in `Estimate.of_replicates`."""
    return Estimate.of_replicates(values @ np.array([1.0, -1.0, -1.0, 1.0]), n, units, scale=scale)


def texts_interaction(texts: pd.DataFrame, shares: pd.Series) -> tuple[np.ndarray, Estimate]:
    """Bias of the four models and their interaction from texts: group, prompt_id, and toxicity in columns 0 to 3."""
    group = pd.Categorical(texts["group"], categories=shares.index).codes.astype(int)
    prompt = np.unique(texts["prompt_id"], return_inverse=True)[1]
    fewest = int(texts.groupby("group")["prompt_id"].nunique().min())
    values = bias_interaction(_columns(texts), group, prompt, shares.to_numpy())
    return values[0], interaction(values, len(texts), fewest)


def odds_interaction(readings: pd.DataFrame, shares: pd.Series) -> tuple[np.ndarray, Estimate]:
    """The same by likelihood, from readings (see `stats.paired.compare_odds`) with their log-odds in columns 0 to 3."""
    means, units = odds_means(readings, shares, range(4))
    values = np.stack([axis_bias(each, shares.to_numpy()) for each in means], axis=-1)
    return values[0], interaction(values, len(readings), int(units.min()), scale=False)


def windows_interaction(windows: pd.DataFrame) -> tuple[np.ndarray, Estimate]:
    """Perplexity of the four models and their interaction from windows: n_tokens, and NLL in columns 0 to 3."""
    values = ppl_interaction(_columns(windows), windows["n_tokens"].to_numpy())
    return values[0], interaction(values, len(windows), len(windows))


def _pair_row(pair: tuple[Head, Head], metric: str, values: np.ndarray, estimate: Estimate) -> dict[str, Any]:
    intact, first, second, both = values
    return {
        "first": head_text(pair[0]),
        "second": head_text(pair[1]),
        "metric": metric,
        "change_first": first - intact,
        "change_second": second - intact,
        "change_both": both - intact,
        "interaction": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "differs": bool(estimate.low > 0 or estimate.high < 0),
    }


def _quadruple(
    store: EvaluationStore, plan: EvaluationPlan, pair: tuple[Head, Head], blocks: int
) -> dict[str, pd.DataFrame]:
    """By stream, a row for each text, reading or window, with the values of the four models in columns 0 to 3."""
    frames = {}
    for stream, key in plan.streams.items():
        value = "nll" if stream == TEXT else "log_odds" if metric_of(stream) == "likelihood" else "toxicity"
        rows = []
        for heads in ((), pair[:1], pair[1:], pair):
            stored = store.blocks(key, heads)
            rows.append([row for block in sorted(stored) if block < blocks for row in stored[block]])
        frame = pd.DataFrame(rows[0])
        for column, some in enumerate(rows):
            frame[column] = [row[value] for row in some]
        frames[stream] = frame
    return frames


def _columns(frame: pd.DataFrame) -> np.ndarray:
    return frame[[0, 1, 2, 3]].to_numpy(float)
