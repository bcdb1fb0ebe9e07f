"""How heads work together: does removing two of them differ from the sum of removing each?

For a pair (a, b) and a quantity q, bias or perplexity, the interaction is

    I = [q(a, b) − q(intact)] − [q(a) − q(intact)] − [q(b) − q(intact)] = q(a, b) − q(a) − q(b) + q(intact):

above 0, the pair removes less of q (or adds more) than its heads do one by one. All four models continue the same
prompts with the same noise and read the same windows, so I is estimated from quadruples; its 95 % interval comes from
resampling prompts within groups, or windows, for all four together. Of pairs without any interaction about 5 % would
have an interval that leaves out zero, so the share beyond chance is (share − 0.05) / 0.95.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from .bias import axis_bias, bootstrap_counts
from .errors import InputError
from .estimates import REPLICATES, Estimate
from .evaluation import evaluate
from .evaluation_plan import (
    TEXT,
    EvaluationPlan,
    EvaluationSettings,
    axis_fingerprints,
    make_plan,
    study_settings,
    windows_fingerprint,
)
from .files import write_atomic
from .models import LanguageModel
from .numbers import Z95
from .progress import ProgressCallback, StageClock, Stop
from .selection import Head, protected_heads
from .store import EvaluationStore
from .study import Study
from .toxicity import Scorer

CHANCE = 0.05


@dataclass(frozen=True)
class PairShare:
    """In how many pairs the interval of the interaction leaves out zero, and the share beyond chance, with interval."""

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
        """How often the pairs differ from the sum of their heads, by metric."""
        return {metric: pair_share(part["differs"]) for metric, part in self.frame.groupby("metric", sort=False)}

    def export(self, to: str | os.PathLike) -> None:
        """Write the rows to a .csv or .parquet file, whole or not at all."""
        path = Path(to)
        write = self.frame.to_csv if path.suffix == ".csv" else self.frame.to_parquet
        write_atomic(path, lambda temporary: write(temporary, index=False))


def measure_interactions(
    lm: LanguageModel, study: Study, axis: str, *, pairs: int, gamma: float, blocks: int, scorer: Scorer,
    settings: EvaluationSettings | None = None, progress: ProgressCallback | None = None, stop: Stop | None = None,
) -> Interactions:  # fmt: skip
    """Measure random pairs of the heads that γ leaves unprotected, on `blocks` blocks of valid; every set once.

    What was measured before, in the app or by a comparison, is taken from the database; a stopped run goes on.
    """
    scores = study.scores(scorer.name)
    scores.known_axis(axis)
    free = np.setdiff1d(np.arange(scores.n_heads), protected_heads(scores, gamma))
    chosen = draw_pairs(free, pairs, seed=study.manifest.settings["seed"])
    heads = [tuple(divmod(int(flat_id), scores.heads_per_layer) for flat_id in pair) for pair in chosen]
    sets = list(dict.fromkeys([(), *((head,) for pair in heads for head in pair), *heads]))
    settings = replace(settings or study_settings(study), blocks=blocks)
    store, prompts, windows = EvaluationStore(study.folder.parent), study.prompts, study.windows
    clock = StageClock("interactions", len(sets), "sets", progress)
    for some in sets:
        for _ in evaluate(
            lm, some, [axis], prompts=prompts, windows=windows, scorer=scorer, settings=settings, store=store, stop=stop
        ):
            pass
        clock.step()
    plan = make_plan(
        model=lm.fingerprint, dtype=str(lm.dtype), prompts=axis_fingerprints(prompts, [axis]),
        windows=windows_fingerprint(windows), scorer=(scorer.name, scorer.fingerprint), split="valid",
        settings=settings,
    )  # fmt: skip
    shares = prompts.select(axes=[axis], split="valid").group_shares(axis).sort_index()
    rows = [row for pair in heads for row in _pair_rows(_quadruple(store, plan, pair, blocks), pair, axis, shares)]
    return Interactions(pd.DataFrame(rows))


def draw_pairs(free: np.ndarray, pairs: int, *, seed: int) -> np.ndarray:
    """`pairs` different pairs of the heads `free`, (pairs, 2), each sorted; raises InputError where there are fewer."""
    every = math.comb(free.size, 2)
    if pairs > every:
        raise InputError(f"{free.size} unprotected heads make only {every} pairs, not {pairs}; ask for fewer")
    rng, found = np.random.default_rng(seed), {}
    while len(found) < pairs:
        found[tuple(sorted(rng.choice(free, 2, replace=False).tolist()))] = None
    return np.array(list(found))


def pair_share(differs: Sequence[bool]) -> PairShare:
    """How many differ, and the share beyond the 5 % that chance gives, with Wilson's 95 % interval."""
    n, k = len(differs), int(np.sum(differs))
    share, z2 = k / n, Z95**2
    centre, half = share + z2 / (2 * n), Z95 * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    low, high = ((centre + sign * half) / (1 + z2 / n) for sign in (-1, 1))

    def beyond(value: float) -> float:
        return max(0.0, (value - CHANCE) / (1 - CHANCE))

    return PairShare(n, k, beyond(share), (beyond(low), beyond(high)))


def bias_interaction(toxicity: np.ndarray, group: np.ndarray, prompt: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Bias of the four models, (1 + replicates, 4): row 0 the values, the others resampled.

    `toxicity` (n, 4) of the intact model, without a, without b, without both; `group` (n) and `prompt` (n) are codes.
    """
    sums, sizes = np.zeros((prompt.max() + 1, 4)), np.bincount(prompt)
    np.add.at(sums, prompt, toxicity)
    strata = np.zeros(sizes.size, int)
    strata[prompt] = group
    counts = _counts(strata)
    inside = (strata[:, None] == np.arange(shares.size)).astype(float)  # (P, G)
    n = counts @ (inside * sizes[:, None])
    means = np.stack([counts @ (inside * sums[:, [k]]) / n for k in range(4)], axis=1)  # (R, 4, G)
    return axis_bias(means, shares)


def ppl_interaction(nll: np.ndarray, n_tokens: np.ndarray) -> np.ndarray:
    """Perplexity of the four models, (1 + replicates, 4), from `nll` (n windows, 4) in nats."""
    counts = _counts(np.zeros(n_tokens.size, int))
    return np.exp(counts @ nll / (counts @ n_tokens)[:, None])


def interaction(values: np.ndarray, n: int, units: int) -> Estimate:
    """q(a, b) − q(a) − q(b) + q(intact) of rows (…, 4), with its error; `units` is the smallest stratum."""
    found = values @ np.array([1.0, -1.0, -1.0, 1.0])
    scale = math.sqrt(units / (units - 1)) if units > 1 else math.nan
    return Estimate(float(found[0]), float(found[1:].std(ddof=1)) * scale, n, units - 1 if units > 1 else None)


def _pair_rows(
    measured: dict[str, pd.DataFrame], pair: tuple[Head, Head], axis: str, shares: pd.Series
) -> Iterator[dict]:
    texts, windows = measured[axis], measured[TEXT]
    group = pd.Categorical(texts["group"], categories=shares.index).codes.astype(int)
    prompt = np.unique(texts["prompt_id"], return_inverse=True)[1]
    fewest = int(texts.groupby("group")["prompt_id"].nunique().min())
    found = {
        f"bias.{axis}": (bias_interaction(_columns(texts), group, prompt, shares.to_numpy()), len(texts), fewest),
        "ppl": (ppl_interaction(_columns(windows), windows["n_tokens"].to_numpy()), len(windows), len(windows)),
    }
    for metric, (values, n, units) in found.items():
        estimate, (intact, first, second, both) = interaction(values, n, units), values[0]
        yield {
            "first": "{}.{}".format(*pair[0]), "second": "{}.{}".format(*pair[1]), "metric": metric,
            "change_first": first - intact, "change_second": second - intact, "change_both": both - intact,
            "interaction": estimate.value, "low": estimate.low, "high": estimate.high,
            "differs": bool(estimate.low > 0 or estimate.high < 0),
        }  # fmt: skip


def _quadruple(
    store: EvaluationStore, plan: EvaluationPlan, pair: tuple[Head, Head], blocks: int
) -> dict[str, pd.DataFrame]:
    """By stream, what was measured of each text or window, with the values of the four models in columns 0 to 3."""
    frames = {}
    for stream, key in plan.streams.items():
        value = "nll" if stream == TEXT else "toxicity"
        rows = []
        for heads in ((), pair[:1], pair[1:], pair):
            stored = store.blocks(key, json.dumps(heads))
            rows.append([row for block in sorted(stored) if block < blocks for row in stored[block]])
        frame = pd.DataFrame(rows[0])
        for column, some in enumerate(rows):
            frame[column] = [row[value] for row in some]
        frames[stream] = frame
    return frames


def _columns(frame: pd.DataFrame) -> np.ndarray:
    return frame[[0, 1, 2, 3]].to_numpy(float)


def _counts(strata: np.ndarray) -> np.ndarray:
    resampled = bootstrap_counts(strata, REPLICATES, np.random.default_rng(0))
    return np.concatenate([np.ones((1, strata.size)), resampled])
