"""From a study's shards to numbers: the views that `Study.scores()` and `Study.samples()` give. No torch here."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pyarrow as pa

from .bias import AxisSamples, HeadEffects, head_effects
from .errors import InputError, nearest
from .head_scores import HeadScores
from .likelihood_effects import likelihood_effects
from .odds import likelihood_axes, odds_samples, study_pairs
from .perplexity import WindowSamples, perplexity_effects
from .ratios import table_ratios
from .rules import ITERATIVE
from .study import Study

TEXT = "text"
MAGNITUDE = "magnitude.00000.parquet"  # see `magnitude`
ORDER = "order"  # of fasp_iterative, one shard per stage; see `iterative`
# Heads left out of a ranking's reliability: the share that γ protects by default.
PROTECTED_SHARE = 0.3


METRICS = ("toxicity", "likelihood")


def head_scores(study: Study, *, scorer: str | None = None, metric: str = "toxicity") -> HeadScores:
    """z_ppl and z_bias of every head with standard errors, from all shards so far.

    Bias is measured by the toxicity of sampled continuations, or by `metric` "likelihood": the log-odds of toxic and
    benign ones, in nats. Raises InputError for another metric, and while the text or every axis is still unmeasured.
    """
    if metric not in METRICS:
        raise InputError(f"unknown metric '{metric}'; {nearest(str(metric), METRICS)}")
    by_odds = metric == "likelihood"
    measured = likelihood_axes(study) if by_odds else [a for a in study.axes if study.shard_names("gradient", a)]
    if not study.shard_names("gradient", TEXT) or not measured:
        how = f"go on with the same `python -m fasp_core score` that {'began it' if not study.metrics else 'made it'}"
        if study.metrics:
            how += f", and --metric {metric}"
        raise InputError(f"study '{study.name}' holds no scores{f' by {metric}' if study.metrics else ''} yet; {how}")
    with study.remembering():
        return _head_scores(study, measured, metric, scorer)


def _head_scores(study: Study, measured: list[str], metric: str, scorer: str | None) -> HeadScores:
    windows = window_samples(study)
    ppl = perplexity_effects(windows)
    n_layers, per_layer = study.n_layers, study.heads_per_layer
    frame = pd.DataFrame(
        {
            "layer": np.repeat(np.arange(n_layers), per_layer),
            "head": np.tile(np.arange(per_layer), n_layers),
            "z_ppl": ppl.z,
            "z_ppl_se": ppl.z_se,
            "mask_gradient_l2": mask_gradients(windows, per_layer),
        }
    )
    if study.has_shard(MAGNITUDE):
        frame["magnitude_l2"] = study.read_shard(MAGNITUDE)["magnitude_l2"].to_numpy()
    meta = {
        "source": "study", "study": study.name, "model": study.manifest.model, "metric": metric,
        **_measured_with(study, metric, scorer), "versions": study.manifest.versions,
        "prompts": study.manifest.prompts, "text": study.manifest.text, "settings": study.manifest.settings,
        "base_ppl": ppl.ppl, "base_ppl_se": ppl.ppl_se, "base_bias": {}, "base_bias_se": {},
        "bias_floor": {}, "base_bias_corrected": {}, "base_bias_corrected_se": {},
        "reliability": {"ppl": ppl.reliability}, "n_samples": {},
        "effective_share": {}, "corrected": {}, "notes": list(study.manifest.notes),
        ITERATIVE: {} if metric == "likelihood" else iterative_orders(study),  # that order was found by toxicity
    }  # fmt: skip
    if precision := study.manifest.precision:
        meta["precision"] = precision
        meta["notes"].append(
            f"computed in {precision['dtype']}: rounding adds about {precision['standard_errors']:.2g} standard errors "
            "of noise to a score"
        )
    critical = np.argsort(-ppl.z, kind="stable")[: int(PROTECTED_SHARE * ppl.z.size)]
    protected = np.zeros(ppl.z.size, bool)
    protected[critical] = True
    for axis in measured:
        effects, n_samples = _axis_effects(study, axis, metric, scorer, protected)
        frame[f"z_bias.{axis}"], frame[f"z_bias_se.{axis}"] = effects.z, effects.z_se
        meta["base_bias"][axis], meta["base_bias_se"][axis] = effects.bias, effects.bias_se
        meta["bias_floor"][axis], meta["base_bias_corrected"][axis] = effects.bias_floor, effects.bias_corrected
        meta["base_bias_corrected_se"][axis] = effects.bias_corrected_se
        meta["reliability"][axis], meta["n_samples"][axis] = effects.reliability, n_samples
        meta["effective_share"][axis] = effects.effective_share.round(4).tolist()
        meta["corrected"][axis] = np.flatnonzero(effects.corrected).tolist()
        meta["notes"] += _remarks(study, axis)
    return HeadScores(frame=frame, n_layers=n_layers, heads_per_layer=per_layer, meta=meta)


def _measured_with(study: Study, metric: str, scorer: str | None) -> dict[str, str]:
    """What bias was measured with: the scorer of toxicity, or the pairs."""
    if metric == "likelihood":
        return {"unit": "nats", "pairs_fingerprint": study_pairs(study).fingerprint}
    scorer = _scorer(study, scorer)
    return {"scorer": scorer, "scorer_fingerprint": study.manifest.scorers[scorer]}


def _axis_effects(
    study: Study, axis: str, metric: str, scorer: str | None, protected: np.ndarray
) -> tuple[HeadEffects, int]:
    """What each head does to the bias of one axis, and how many samples, or prompts, that is from."""
    if metric == "likelihood":
        odds = odds_samples(study, axis)
        return likelihood_effects(odds, protected=protected), len(odds.group)
    samples = axis_samples(study, axis, scorer=scorer)
    return head_effects(samples, protected=protected), len(samples.group)


def window_samples(study: Study) -> WindowSamples:
    """The text stream's log-probabilities and log-ratios, one row per window."""
    table = _concat(study, "gradient", TEXT)
    gradient = _gradient(study, TEXT)
    return WindowSamples(
        log_prob=table["log_prob"].to_numpy(), n_tokens=table["n_tokens"].to_numpy(), gradient=gradient,
        knockout=_knockout(study, TEXT, gradient.shape),
    )  # fmt: skip


def mask_gradients(windows: WindowSamples, heads_per_layer: int) -> np.ndarray:
    """The baseline `mask_gradient_l2`, (N): mean over windows of |∂ loss / ∂ gate|, each layer's values of L2 norm 1.

    The loss is the mean NLL per token; its first-order log-ratios are −∂ log p / ∂ gate (Michel et al. 2019, section 4,
    as in the authors' code).
    """
    size = np.abs(windows.gradient / windows.n_tokens[:, None]).mean(axis=0).astype(float).reshape(-1, heads_per_layer)
    norm = np.linalg.norm(size, axis=1, keepdims=True)
    return (size / np.where(norm > 0, norm, 1.0)).ravel()


def iterative_orders(study: Study) -> dict[str, dict[str, list[int]]]:
    """The stored orders of fasp_iterative: {axis: {γ: flat ids, the first to be pruned first}}."""
    orders: dict[str, dict[str, list[int]]] = {}
    for axis in study.axes:
        for name in study.shard_names(ORDER, axis):
            table = study.read_shard(name)
            gamma = json.loads(table.schema.metadata[b"stage"])["gamma"]
            orders.setdefault(axis, {}).setdefault(gamma, []).extend(table["head"].to_pylist())
    return orders


def axis_samples(study: Study, axis: str, *, scorer: str | None = None) -> AxisSamples:
    """One axis's toxicities, groups and log-ratios, one row per sample that has a gradient and a toxicity."""
    scorer = _scorer(study, scorer)
    frame = sample_frame(study, axis, scorer=scorer)
    gradient = _gradient(study, axis)
    n = min(len(frame), len(gradient))
    frame, gradient = frame.iloc[:n], gradient[:n]
    shares = study.prompts.select(axes=[axis], split="valid").group_shares(axis).sort_index()
    groups = tuple(shares.index)
    return AxisSamples(
        toxicity=frame["toxicity"].to_numpy(),
        group=pd.Categorical(frame["group"], categories=groups).codes.astype(int),
        prompt=np.unique(frame["prompt_id"], return_inverse=True)[1],
        shares=shares.to_numpy(), groups=groups, gradient=gradient, knockout=_knockout(study, axis, gradient.shape),
        regenerated=_regenerated(study, axis, scorer, gradient.shape),
    )  # fmt: skip


def sample_frame(study: Study, axis: str, *, scorer: str | None = None) -> pd.DataFrame:
    """The continuations of an axis with their toxicity, in the order they were drawn."""
    if axis not in study.axes:
        raise InputError(f"study '{study.name}' has no axis '{axis}'; {nearest(axis, study.axes)}")
    scorer = _scorer(study, scorer)
    samples = _concat(study, "samples", axis).select(["unit", "prompt_id", "draw", "continuation"]).to_pandas()
    toxicity = _concat(study, f"toxicity.{scorer}", axis).to_pandas()
    prompts = study.prompts.frame[["prompt_id", "axis", "group", "prompt"]]
    frame = samples.merge(toxicity, on="unit").merge(prompts, on="prompt_id", how="left").sort_values("unit")
    return frame[["prompt_id", "draw", "axis", "group", "prompt", "continuation", "toxicity"]].reset_index(drop=True)


def _remarks(study: Study, axis: str) -> list[str]:
    """What went otherwise than planned on this axis, a sentence each; empty as a rule."""
    cut = sum(
        int((study.read_shard(name).schema.metadata or {}).get(b"prompts_cut", 0))
        for name in study.shard_names("samples", axis)
    )
    remarks = [f"{axis}: {cut} prompts were longer than the model's context and were cut on the left"] if cut else []
    broken: set[int] = set()
    for stream in (TEXT, axis):
        for name in study.shard_names("knockout", stream):
            heads, ratios = table_ratios(study.read_shard(name))
            broken |= {heads[i] for i in np.flatnonzero(np.isnan(ratios).any(axis=0))}
    for layer, head in sorted(divmod(flat_id, study.heads_per_layer) for flat_id in broken):
        remarks.append(
            f"{axis}: knocking out head ({layer}, {head}) gives no number; its scores leave those samples out of the "
            "correction"
        )
    return remarks


def knockout_counts(study: Study, stream: str, units_per_shard: int) -> np.ndarray:
    """Whether each head was knocked out on each knock-out shard's units, (shards so far, N) bool."""
    n_heads = study.n_layers * study.heads_per_layer
    rows: dict[int, np.ndarray] = {}
    for name in study.shard_names("knockout", stream):
        table = study.read_shard(name)
        row = rows.setdefault(int(table["unit"][0].as_py()) // units_per_shard, np.zeros(n_heads, bool))
        row[table_ratios(table)[0]] = True
    done = np.zeros((max(rows, default=-1) + 1, n_heads), bool)
    for shard, row in rows.items():
        done[shard] = row
    return done


def _scorer(study: Study, scorer: str | None) -> str:
    known = list(study.manifest.scorers)
    if scorer is None and known:
        return known[0]
    if scorer not in known:
        raise InputError(f"study '{study.name}' has no scores of '{scorer}'; {nearest(str(scorer), known)}")
    return scorer


def _concat(study: Study, kind: str, stream: str) -> pa.Table:
    names = study.shard_names(kind, stream)
    if not names:
        raise InputError(f"study '{study.name}' holds no {kind} of '{stream}' yet; go on with scoring it")
    return pa.concat_tables([study.read_shard(name).replace_schema_metadata() for name in names])


def _gradient(study: Study, stream: str) -> np.ndarray:
    return np.concatenate([table_ratios(study.read_shard(n))[1] for n in study.shard_names("gradient", stream)])


def _knockout(study: Study, stream: str, shape: tuple[int, int]) -> np.ndarray | None:
    """Exact log-ratios in the place of each unit and head, NaN where not measured; None if there are none."""
    names = study.shard_names("knockout", stream)
    if not names:
        return None
    matrix = np.full(shape, np.nan, np.float32)
    for name in names:
        table = study.read_shard(name)
        heads, ratios = table_ratios(table)
        units = table["unit"].to_numpy()
        inside = units < shape[0]
        matrix[np.ix_(units[inside], heads)] = ratios[inside]
    return matrix


def _regenerated(study: Study, axis: str, scorer: str, shape: tuple[int, int]) -> np.ndarray | None:
    """Toxicity of the text sampled without each head, in the place of each unit and head; NaN where there is none."""
    names = study.shard_names(f"retoxicity.{scorer}", axis)
    if not names:
        return None
    matrix = np.full(shape, np.nan)
    for name in names:
        table = study.read_shard(name)
        units, heads = table["unit"].to_numpy(), table["head"].to_numpy()
        inside = units < shape[0]
        matrix[units[inside], heads[inside]] = table["toxicity"].to_numpy()[inside]
    return matrix
