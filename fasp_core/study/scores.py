"""From a study's samples to `HeadScores`, or from the file of imported ones: what `Study.scores()` gives. No torch."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pandas as pd

from fasp_core.data.sampling import DRAWS_BEFORE
from fasp_core.errors import InputError, nearest
from fasp_core.head import head_of
from fasp_core.models.compensation_choice import Compensate
from fasp_core.selection.description import IntactBias, IntactPerplexity, Provenance
from fasp_core.selection.group_effects import GroupEffects
from fasp_core.selection.head_scores import HeadScores, read_description
from fasp_core.stats.bias import HeadEffects
from fasp_core.stats.estimate import Estimate
from fasp_core.stats.log_odds import likelihood_effects
from fasp_core.stats.mean_toxicity import Level, mean_level
from fasp_core.stats.perplexity import WindowSamples, perplexity_effects
from fasp_core.stats.target import MEAN_TOXICITY
from fasp_core.study.effects import axis_effects, discount
from fasp_core.study.folder import StudyFolder
from fasp_core.study.orders import iterative_orders
from fasp_core.study.shard_names import ACTIVATION, GRADIENT, KNOCKOUT, MAGNITUDE, TEXT, measured_kind, shard_name
from fasp_core.study.shard_tables import table_calibration, table_ratios
from fasp_core.study.verdicts import bias_verdicts, prompt_echo
from fasp_core.study.views import (
    axis_groups,
    compared_pairs,
    known_scorer,
    measured_axes,
    odds_samples,
    prompts_cut,
    window_samples,
)

METRICS = ("toxicity", "likelihood")
SCORED_UNDER: tuple[Compensate, ...] = ("none", "least_squares")  # what can take a head's place in its score
SCORES = "scores.parquet"  # of a study of imported scores
PROTECTED_SHARE = 0.3  # heads left out of a ranking's reliability: the share that γ protects by default


def head_scores(
    study: StudyFolder, *, scorer: str | None = None, metric: str = "toxicity", compensate: Compensate = "none"
) -> HeadScores:
    """z_ppl and z_bias of every head with standard errors, from all shards so far.

    Bias is measured by the toxicity of sampled continuations, or by `metric` "likelihood": the log-odds of toxic and
    benign ones, in nats. With `compensate` "least_squares" both are of what is lost once the layer's other heads have
    taken over; the intact model's numbers are then of the same texts. Raises InputError for another metric, for
    another way to compensate, and while the text or every axis is still unmeasured.
    """
    if metric not in METRICS:
        raise InputError(f"unknown metric '{metric}'; {nearest(str(metric), METRICS)}")
    if compensate not in SCORED_UNDER:
        raise InputError(f"no scores are compensated by '{compensate}'; {nearest(str(compensate), SCORED_UNDER)}")
    compensated = compensate != "none"
    measured = measured_axes(study, metric, compensated=compensated)
    if compensated and not measured:
        raise InputError(
            f"study '{study.name}' holds no scores by {metric} under compensation; add them: python -m fasp_core score "
            f"MODEL --name {study.name} --axes AXIS --metric likelihood --compensated"
        )
    if not study.shard_names(GRADIENT, TEXT) or not measured:
        how = f"go on with the same `python -m fasp_core score` that {'began it' if not study.metrics else 'made it'}"
        if study.metrics:
            how += f", and --metric {metric}"
        raise InputError(f"study '{study.name}' holds no scores{f' by {metric}' if study.metrics else ''} yet; {how}")
    with study.remembering():
        return _head_scores(study, measured, metric, scorer, compensated)


def choosing_scores(
    study: StudyFolder,
    axis: str | None,
    *,
    compensate: Compensate,
    scorer: str | None = None,
    metric: str = "toxicity",
) -> HeadScores:
    """The scores to choose heads by where `compensate` takes their place: those under compensation, if there are any.

    Else, and for imported scores, those without compensation; `meta.compensate` tells which. The orders of
    fasp_iterative are those that were found with `compensate`. Raises as `head_scores`.
    """
    if not study.has_model:
        return imported_scores(study, scorer=scorer)
    under = chosen_under(study, axis, metric, compensate)
    scores = head_scores(study, scorer=scorer, metric=metric, compensate=under)
    return replace(scores, orders=iterative_orders(study, metric, compensate, scorer=scorer))


def chosen_under(study: StudyFolder, axis: str | None, metric: str, compensate: Compensate) -> Compensate:
    """What takes a head's place in the scores that `choosing_scores` gives."""
    known = measured_axes(study, metric, compensated=True) if compensate == "least_squares" else []
    return "least_squares" if (axis in known if axis else known) else "none"


def _head_scores(
    study: StudyFolder, measured: list[str], metric: str, scorer: str | None, compensated: bool
) -> HeadScores:
    windows = window_samples(study)
    ppl = perplexity_effects(window_samples(study, compensated=True) if compensated else windows)
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
    protected = np.zeros(ppl.z.size, bool)
    protected[np.argsort(-ppl.z, kind="stable")[: int(PROTECTED_SHARE * ppl.z.size)]] = True
    group_effects: dict[str, GroupEffects] = {}
    intact, verdicts = {}, bias_verdicts(study, measured, metric=metric, scorer=scorer)
    levels: list[Level] = []
    for axis in measured:
        effects, n_samples = _axis_effects(study, axis, metric, scorer, protected, compensated)
        groups = tuple(axis_groups(study, axis).shares.index)
        group_effects[axis] = GroupEffects(
            groups, effects.gaps, effects.gaps_se, effects.gap_moves, effects.gap_moves_se
        )
        if study.has_shard(differences := shard_name(ACTIVATION, axis, 0)):
            column = study.read_shard(differences)["activation_difference"]
            frame[f"activation_difference.{axis}"] = column.to_numpy()
        frame[f"z_bias.{axis}"], frame[f"z_bias_se.{axis}"] = effects.z, effects.z_se
        if beside := effects.unbiased:
            frame[f"z_bias_unbiased.{axis}"], frame[f"z_bias_unbiased_se.{axis}"] = beside.z, beside.z_se
        intact[axis] = IntactBias(
            bias=_estimate(effects.bias, effects.bias_se, n_samples),
            verdict=verdicts[axis],
            prompt_echo=prompt_echo(study, axis, scorer=scorer) if metric == "toxicity" else None,
            floor=_defined(effects.bias_floor),
            corrected=_estimate(effects.bias_corrected, effects.bias_corrected_se, n_samples),
            reliability=_defined(effects.reliability),
            n_samples=n_samples,
            effective_share=_all_defined(effects.effective_share.round(4)),
            corrected_heads=tuple(np.flatnonzero(effects.corrected).tolist()),
            discount=discount(study, axis, scorer=scorer) if beside else None,
            discount_bias=float(beside.bias_size[~protected].max(initial=0.0)) if beside else None,
        )
        levels += [] if effects.level is None else [effects.level]
    if levels:
        level = mean_level(levels)
        frame["z_toxicity"], frame["z_toxicity_se"] = level.z, level.z_se
        if same := level.unbiased:
            frame["z_toxicity_unbiased"], frame["z_toxicity_unbiased_se"] = same.z, same.z_se
        intact[MEAN_TOXICITY] = _intact_level(level, sum(known.n_samples or 0 for known in intact.values()), protected)
    return HeadScores(
        frame,
        n_layers,
        per_layer,
        _provenance(study, measured, metric, scorer, compensated),
        IntactPerplexity(_estimate(ppl.ppl, ppl.ppl_se, 0), _defined(ppl.reliability)),
        intact,
        iterative_orders(study, metric, "least_squares" if compensated else "none", scorer=scorer),
        group_effects,
    )


def _intact_level(level: Level, n_samples: int, protected: np.ndarray) -> IntactBias:
    """What is known of the mean toxicity over so many texts. It is no bias: there is nothing to test, and no floor."""
    off = None if level.bias_size is None else float(level.bias_size[~protected].max(initial=0.0))
    return IntactBias(
        bias=_estimate(level.value, level.se, n_samples),
        reliability=_defined(level.reliability(protected)),
        n_samples=n_samples,
        discount_bias=off,
    )


def _defined(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _all_defined(values: np.ndarray) -> tuple[float, ...] | None:
    return tuple(values.tolist()) if np.isfinite(values).all() else None


def _estimate(value: float, se: float, n: int) -> Estimate | None:
    return Estimate(float(value), float(se), n) if np.isfinite(value) else None


def _provenance(
    study: StudyFolder, measured: list[str], metric: str, scorer: str | None, compensated: bool
) -> Provenance:
    made = study.manifest
    notes = list(made.notes)
    if metric == "toxicity" and made.draws == DRAWS_BEFORE:
        notes.append(
            "texts were drawn by an earlier version, which wrote an arbitrary token now and then (the default model in "
            "one text of ten); a new study draws exactly"
        )
    if precision := made.precision:
        notes.append(
            f"computed in {precision['dtype']}: rounding adds about {precision['standard_errors']:.2g} standard errors "
            "of noise to a score"
        )
    return Provenance.model_validate(
        {
            "source": "study",
            "study": study.name,
            "metric": metric,
            **_measured_with(study, metric, scorer),
            **({"compensate": "least_squares", "calibration": _calibration(study)} if compensated else {}),
            **{name: getattr(made, name) for name in ("model", "versions", "prompts", "text")},
            "settings": asdict(made.settings),
            **({"precision": precision} if precision else {}),
            "notes": notes + [remark for axis in measured for remark in _remarks(study, axis, compensated)],
        }
    )


def _measured_with(study: StudyFolder, metric: str, scorer: str | None) -> dict[str, str]:
    """What bias was measured with: the scorer of toxicity, or the pairs."""
    if metric == "likelihood":
        return {"unit": "nats", "pairs_fingerprint": compared_pairs(study).fingerprint}
    scorer = known_scorer(study, scorer)
    return {"scorer": scorer, "scorer_fingerprint": study.manifest.scorers[scorer]}


def _calibration(study: StudyFolder) -> dict[str, str]:
    """What the other heads' part was fitted on."""
    kind = measured_kind(GRADIENT, compensated=True)
    return table_calibration(study.read_shard(study.shard_names(kind, TEXT)[0]))


def _axis_effects(
    study: StudyFolder, axis: str, metric: str, scorer: str | None, protected: np.ndarray, compensated: bool
) -> tuple[HeadEffects, int]:
    """The effect of each head on the bias of one axis, and the number of samples, or prompts, behind it."""
    if metric == "likelihood":
        odds = odds_samples(study, axis, compensated=compensated)
        return likelihood_effects(odds, protected=protected), len(odds.group)
    return axis_effects(study, axis, scorer=scorer, protected=protected)


def mask_gradients(windows: WindowSamples, heads_per_layer: int) -> np.ndarray:
    """The baseline `mask_gradient_l2`, (N): mean over windows of |∂ loss / ∂ gate|, each layer's values of L2 norm 1.

    The loss is the mean NLL per token; its first-order log-ratios are −∂ log p / ∂ gate (Michel et al. 2019, section 4,
    as in the authors' code).
    """
    size = np.abs(windows.gradient / windows.n_tokens[:, None]).mean(axis=0).astype(float).reshape(-1, heads_per_layer)
    norm = np.linalg.norm(size, axis=1, keepdims=True)
    return (size / np.where(norm > 0, norm, 1.0)).ravel()


def _remarks(study: StudyFolder, axis: str, compensated: bool) -> list[str]:
    """Problems met while measuring this axis, one sentence each; usually none."""
    cut = prompts_cut(study, axis)
    remarks = [f"{axis}: {cut} texts have a prompt longer than the model's context, cut on the left"] if cut else []
    broken: set[int] = set()
    for stream in (TEXT, axis):
        for name in study.shard_names(measured_kind(KNOCKOUT, compensated=compensated), stream):
            heads, ratios = table_ratios(study.read_shard(name))
            broken |= {heads[i] for i in np.flatnonzero(np.isnan(ratios).any(axis=0))}
    for layer, head in sorted(head_of(flat_id, study.heads_per_layer) for flat_id in broken):
        remarks.append(
            f"{axis}: knocking out head ({layer}, {head}) gives no number; its scores leave those samples out of the "
            "correction"
        )
    return remarks


def imported_scores(study: StudyFolder, *, scorer: str | None = None) -> HeadScores:
    """The scores that a study was imported with; raises InputError if they are damaged, or a `scorer` is asked for."""
    if scorer is not None:
        raise InputError(f"study '{study.name}' holds imported scores, whose scorer cannot be chosen; leave it out")
    table, where = study.read_shard(SCORES), f"study '{study.name}' is damaged"
    try:
        about = read_description(table.schema.metadata, SCORES)
        about = about._replace(meta=about.meta.model_copy(update={"study": study.name}))
        return HeadScores(table.to_pandas(ignore_metadata=True), study.n_layers, study.heads_per_layer, *about)
    except InputError as error:
        raise InputError(f"{where}: {error}; import the file again, with --force") from error
