"""What an evaluation's numbers depend on, as keys under which they are kept. No torch here.

A stream's key (see `streams`) names all its numbers depend on and nothing else, so evaluations of other axes share what
they have in common. An evaluation's own key names its streams; its *identity* only model, text and scorer: with what
its streams ask (prompts, and pairs for log-odds), a study finds what was measured.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, cast

import pandas as pd

from fasp_core.data.pairs import PairSet, load_pairs
from fasp_core.data.sampling import CONTINUATION, DRAWS, TEXT_WITH_PROMPT, check_scored
from fasp_core.evaluation.streams import axis_of, metric_of, stream_of
from fasp_core.head import Head, heads_text, parse_heads
from fasp_core.models.compensation_choice import COMPENSATIONS, Compensate
from fasp_core.stats.target import MEAN_TOXICITY
from fasp_core.study.scores import METRICS
from fasp_core.study.shard_names import TEXT
from fasp_core.study.views import study_pairs

if TYPE_CHECKING:
    from fasp_core.data.prompt_set import PromptSet
    from fasp_core.models.language_model import LanguageModel
    from fasp_core.study.study import Study
    from fasp_core.toxicity.scorers import Scorer


@dataclass(frozen=True)
class EvaluationSettings:
    """Size of an evaluation, and how its continuations are drawn; a block is what one step of progress measures."""

    seed: int = 0
    max_new_tokens: int = 20
    blocks: int = 25
    texts_per_block: int = 18  # about, of each axis: as many for every group, at least one
    prompts_per_block: int = 12  # about, of each axis by likelihood: as many for every group, with their stems
    windows_per_block: int = 2
    window_tokens: int = 128  # where text is given rather than windows
    top_k: int | None = None
    lowercase: bool = False
    scored: str = CONTINUATION

    def __post_init__(self) -> None:
        check_scored(self.scored)

    def block_size(self, metric: str, groups: int) -> int:
        """Texts, or by likelihood prompts, of a block of one axis: as many for every group, at least one."""
        about = self.texts_per_block if metric == "toxicity" else self.prompts_per_block
        return groups * max(1, round(about / groups))


@dataclass(frozen=True)
class ScorerName:
    """A scorer that need not be opened, because nothing is rated."""

    name: str = ""
    fingerprint: str = ""


@dataclass(frozen=True)
class Target:
    """What is to be measured: the model of a study without `heads`, by `streams` of bias, on the prompts of one split.

    `compensate` says how the layers that lose heads are refitted, "none" where there are no `heads`. `heads` are put in
    order, each once; `streams` stay in the order in which they are measured (see `streams`; the name of an axis is the
    stream of its texts).
    """

    study: str
    heads: tuple[Head, ...]
    streams: tuple[str, ...]
    split: str = "valid"
    compensate: Compensate = "none"

    def __post_init__(self) -> None:
        object.__setattr__(self, "heads", tuple(sorted(set(self.heads))))
        object.__setattr__(self, "compensate", self.compensate if self.heads else "none")
        object.__setattr__(self, "streams", tuple(self.streams))

    @property
    def name(self) -> str:
        """What the pruned model is called, see `pruned_name`."""
        return pruned_name(self.heads, self.compensate)


def pruned_name(heads: Iterable[Head], compensate: Compensate = "none") -> str:
    """What a pruned model is called where something is kept of it: `0.3-5.1`, or `0.3-5.1+mean` where compensated.

    "" is the intact model.
    """
    name = heads_text(heads)
    return name if compensate == "none" or not name else f"{name}+{compensate}"


def parse_pruned_name(name: str) -> tuple[tuple[Head, ...], Compensate]:
    """The heads and the compensation of a `pruned_name`; raises ValueError for any other text."""
    heads, plus, compensate = name.partition("+")
    if plus and compensate not in COMPENSATIONS[1:]:
        raise ValueError(f"'{compensate}' is no compensation")
    return parse_heads(heads), cast(Compensate, compensate) if plus else "none"


@dataclass(frozen=True)
class EvaluationPlan:
    """The keys of an evaluation, whatever the heads; studies made of the same parts have the same.

    `streams` maps `text` and each stream of bias to the key of its blocks, `prompts` each stream of bias to the
    fingerprint of what it asks.
    """

    key: str
    identity: str
    split: str
    streams: dict[str, str]
    prompts: dict[str, str]

    @property
    def bias_streams(self) -> tuple[str, ...]:
        """The streams of bias that it measures, sorted."""
        return tuple(sorted(self.prompts))


@dataclass(frozen=True)
class Identity:
    """What a study measures: the key of its model, text and scorer, and by stream the fingerprint of what it asks."""

    key: str
    prompts: dict[str, str]

    def covers(self, plan: EvaluationPlan) -> bool:
        """Whether an evaluation by this plan is one of this study: what differs in any part cannot be compared."""
        same = (self.prompts.get(stream) == fingerprint for stream, fingerprint in plan.prompts.items())
        return plan.identity == self.key and all(same)


def make_plan(
    *,
    model: str,
    dtype: str,
    prompts: dict[str, str],
    windows: str,
    scorer: tuple[str, str],
    split: str,
    settings: EvaluationSettings,
) -> EvaluationPlan:
    """The plan from fingerprints: of what each stream asks, of the windows, and of the scorer, after its name."""
    how = asdict(settings)
    of_odds = (settings.seed, how.pop("prompts_per_block"))
    if how["scored"] == TEXT_WITH_PROMPT:  # the keys of the time when nothing else was rated
        del how["scored"]
    of_text = {name: how.pop(name) for name in ("windows_per_block", "window_tokens")}
    blocks = how.pop("blocks")  # more blocks are the same blocks and some more
    made = [model, dtype, split]
    streams = {TEXT: _hash("windows", made, windows, settings.seed, of_text["windows_per_block"])}
    for stream, asked in prompts.items():
        by_likelihood = metric_of(stream) == "likelihood"
        depends = ("log-odds", made, asked, axis_of(stream), of_odds)
        streams[stream] = _hash(*depends) if by_likelihood else _hash("texts", made, asked, scorer, stream, how, DRAWS)
    return EvaluationPlan(
        key=_hash("evaluation", sorted(streams.items()), blocks),
        identity=_identity(model, windows, scorer, settings.scored),
        split=split,
        streams=streams,
        prompts=dict(prompts),
    )


def plan_of(
    lm: LanguageModel,
    streams: Iterable[str],
    split: str,
    *,
    prompts: PromptSet,
    windows: pd.DataFrame,
    scorer: Scorer | ScorerName,
    settings: EvaluationSettings,
    pairs: PairSet | None = None,
) -> EvaluationPlan:
    """The plan of an evaluation from what it uses; `pairs` are those of log-odds, by default the built-in ones."""
    return make_plan(
        model=lm.fingerprint,
        dtype=str(lm.dtype),
        prompts=stream_fingerprints(prompts, streams, pairs),
        windows=windows_fingerprint(windows),
        scorer=(scorer.name, scorer.fingerprint),
        split=split,
        settings=settings,
    )


def stream_fingerprints(prompts: PromptSet, streams: Iterable[str], pairs: PairSet | None = None) -> dict[str, str]:
    """The fingerprint of what each stream asks: its axis's prompts, which stay when others are added, and its pairs."""
    streams = list(streams)
    of_axis = {
        axis: (prompts if axis == MEAN_TOXICITY else prompts.select(axes=[axis])).fingerprint
        for axis in dict.fromkeys(map(axis_of, streams))
    }
    of_pairs = (pairs or load_pairs()).fingerprint
    return {
        stream: of_axis[axis_of(stream)]
        if metric_of(stream) == "toxicity"
        else _hash("log-odds", of_axis[axis_of(stream)], of_pairs)
        for stream in streams
    }


def study_identity(study: Study) -> Identity:
    """What `evaluate_study` measures for a study, as the key under which its results are found."""
    made = study.manifest
    scorer = next(iter(made.scorers.items()), ("", ""))
    prompts = study.prompts
    streams = [MEAN_TOXICITY, *(stream_of(axis, metric) for metric in METRICS for axis in prompts.axes)]
    return Identity(
        _identity(
            str(made.model.get("fingerprint") or ""), windows_fingerprint(study.windows), scorer, study.settings.scored
        ),
        stream_fingerprints(prompts, streams, study_pairs(study)),
    )


def _identity(model: str, windows: str, scorer: tuple[str, str], scored: str) -> str:
    return _hash("identity", model, windows, scorer, *([] if scored == TEXT_WITH_PROMPT else [scored]))


def study_settings(study: Study) -> EvaluationSettings:
    """Continuations as the study draws them; the size of an evaluation is its own."""
    made = study.settings
    return EvaluationSettings(
        seed=made.seed,
        max_new_tokens=made.max_new_tokens,
        top_k=made.top_k,
        lowercase=made.lowercase,
        scored=made.scored,
    )


def windows_fingerprint(windows: pd.DataFrame) -> str:
    """16 hex digits over the windows' splits and token ids, in their order."""
    return _hash(
        "windows",
        [[split, [int(i) for i in ids]] for split, ids in zip(windows["split"], windows["token_ids"], strict=True)],
    )


def _hash(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
