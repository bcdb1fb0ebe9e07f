"""What an evaluation's numbers depend on, as keys under which they are kept. No torch here.

An evaluation measures *streams*: the text windows, and the continuations of each axis. A stream's key names all its
numbers depend on and nothing else, so evaluations of other axes share what they have in common. An evaluation's own key
names its streams; its *identity* only model, prompts, text and scorer, which is how a study finds what was measured.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
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
    """The keys of one evaluation; `streams` maps `text` and each axis to the key of its blocks."""

    key: str
    identity: str
    split: str
    axes: tuple[str, ...]  # sorted
    streams: dict[str, str]


def make_plan(
    *, model: str, dtype: str, prompts: str, windows: str, scorer: tuple[str, str], axes: Sequence[str], split: str,
    settings: EvaluationSettings,
) -> EvaluationPlan:  # fmt: skip
    """The plan of an evaluation from the fingerprints of what it uses; `scorer` is name and fingerprint."""
    how = asdict(settings)
    of_text = {name: how.pop(name) for name in ("windows_per_block", "window_tokens")}
    blocks = how.pop("blocks")  # more blocks are the same blocks and some more
    made = [model, dtype, split]
    streams = {TEXT: _hash("windows", made, windows, settings.seed, of_text["windows_per_block"])}
    streams |= {axis: _hash("texts", made, prompts, scorer, axis, how) for axis in axes}
    return EvaluationPlan(
        key=_hash("evaluation", sorted(streams.items()), blocks), identity=identity(model, prompts, windows, scorer),
        split=split, axes=tuple(sorted(axes)), streams=streams,
    )  # fmt: skip


def identity(model: str, prompts: str, windows: str, scorer: tuple[str, str]) -> str:
    """The key of what is measured: whatever differs in it cannot be compared."""
    return _hash("identity", model, prompts, windows, scorer)


def study_identity(study: Study) -> str:
    """The identity of evaluations that `evaluate_study` makes for a study."""
    made = study.manifest
    scorer = next(iter(made.scorers.items()), ("", ""))
    return identity(
        made.model.get("fingerprint") or "", made.prompts.get("fingerprint") or "", windows_fingerprint(study.windows),
        scorer,
    )  # fmt: skip


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
