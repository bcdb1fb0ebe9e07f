"""What an evaluation's numbers depend on, as keys under which they are kept. No torch here.

An evaluation measures *streams*: the text windows, and the continuations of each axis. A stream's key names all its
numbers depend on and nothing else, so evaluations of other axes share what they have in common. An evaluation's own key
names its streams; its *identity* only model, text and scorer: with its axes' prompts, a study finds what was measured.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from .prompts import PromptSet
    from .study import Study

TEXT = "text"  # the stream of text windows, beside one stream per axis


@dataclass(frozen=True)
class EvaluationSettings:
    """Size of an evaluation, and how its continuations are drawn; a block is what one step of progress measures."""

    seed: int = 0
    max_new_tokens: int = 20
    blocks: int = 25
    texts_per_block: int = 18  # about, of each axis: as many for every group, at least one
    windows_per_block: int = 2
    window_tokens: int = 128  # where text is given rather than windows
    top_k: int | None = None
    lowercase: bool = False


@dataclass(frozen=True)
class EvaluationPlan:
    """The keys of one evaluation; `streams` maps `text` and each axis to the key of its blocks.

    `prompts` maps each axis to the fingerprint of its prompts.
    """

    key: str
    identity: str
    split: str
    axes: tuple[str, ...]  # sorted
    streams: dict[str, str]
    prompts: dict[str, str]


@dataclass(frozen=True)
class Identity:
    """What a study measures: the key of its model, text and scorer, and the fingerprints of its prompts by axis."""

    key: str
    prompts: dict[str, str]

    def covers(self, plan: EvaluationPlan) -> bool:
        """Whether an evaluation by this plan is one of this study: what differs in any part cannot be compared."""
        same = (self.prompts.get(axis) == fingerprint for axis, fingerprint in plan.prompts.items())
        return plan.identity == self.key and all(same)


def make_plan(
    *, model: str, dtype: str, prompts: dict[str, str], windows: str, scorer: tuple[str, str], split: str,
    settings: EvaluationSettings,
) -> EvaluationPlan:  # fmt: skip
    """The plan of an evaluation from the fingerprints of what it uses: `prompts` by axis, `scorer` its name and one."""
    how = asdict(settings)
    of_text = {name: how.pop(name) for name in ("windows_per_block", "window_tokens")}
    blocks = how.pop("blocks")  # more blocks are the same blocks and some more
    made = [model, dtype, split]
    streams = {TEXT: _hash("windows", made, windows, settings.seed, of_text["windows_per_block"])}
    streams |= {axis: _hash("texts", made, of_axis, scorer, axis, how) for axis, of_axis in prompts.items()}
    return EvaluationPlan(
        key=_hash("evaluation", sorted(streams.items()), blocks), identity=_identity(model, windows, scorer),
        split=split, axes=tuple(sorted(prompts)), streams=streams, prompts=dict(prompts),
    )  # fmt: skip


def axis_fingerprints(prompts: PromptSet, axes: Iterable[str]) -> dict[str, str]:
    """The fingerprint of each axis's prompts: it stays when prompts of other axes are added."""
    return {axis: prompts.select(axes=[axis]).fingerprint for axis in axes}


def study_identity(study: Study) -> Identity:
    """What `evaluate_study` measures for a study, as the key under which its results are found."""
    made = study.manifest
    scorer = next(iter(made.scorers.items()), ("", ""))
    prompts = study.prompts
    return Identity(
        _identity(made.model.get("fingerprint") or "", windows_fingerprint(study.windows), scorer),
        axis_fingerprints(prompts, prompts.axes),
    )  # fmt: skip


def _identity(model: str, windows: str, scorer: tuple[str, str]) -> str:
    return _hash("identity", model, windows, scorer)


def study_settings(study: Study) -> EvaluationSettings:
    """Continuations as the study draws them; the size of an evaluation is its own."""
    made = study.manifest.settings
    same = {name: made[name] for name in ("seed", "max_new_tokens", "top_k", "lowercase") if name in made}
    return EvaluationSettings(**same)


def windows_fingerprint(windows: pd.DataFrame) -> str:
    """16 hex digits over the windows' splits and token ids, in their order."""
    return _hash("windows", [[split, [int(i) for i in ids]] for split, ids in zip(
        windows["split"], windows["token_ids"], strict=True
    )])  # fmt: skip


def _hash(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
