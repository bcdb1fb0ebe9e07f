"""PruningConfig: a choice of heads as a JSON file that others can load, with all that made it and what it measured.

    PruningConfig.from_selection(selection, study, evaluation).save("gender.json")
    config = PruningConfig.load("gender.json"); config.check_layout(lm.layout); config.pruned

Versioned (`schema_version`), strict (an unknown field is refused, not ignored) and plain to read. No torch here.
"""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveInt,
    ValidationError,
    model_validator,
)

from .errors import InputError
from .estimates import Estimate, Evaluation, Metrics
from .files import write_atomic
from .head_scores import HeadScores
from .selection import Head, Selection
from .tables import read_text

if TYPE_CHECKING:
    from .heads import HeadLayout
    from .models import LanguageModel
    from .study import Study

SCHEMA_VERSION = 1
LIBRARIES = ("torch", "transformers", "numpy", "scipy", "pandas")

Share = Annotated[float, Field(ge=0, le=1)]
HeadsByLayer = dict[Annotated[str, Field(pattern=r"^(0|[1-9][0-9]{0,5})$")], list[NonNegativeInt]]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class ModelRecord(_Record):
    """The model the heads belong to; `ref` is what opens it, `fingerprint` is over its config and weights."""

    name: str
    n_layers: PositiveInt
    heads_per_layer: PositiveInt
    head_dim: PositiveInt | None = None
    ref: str | None = None
    revision: str | None = None
    fingerprint: str | None = None


class MethodRecord(_Record):
    """The rule that chose the heads and its parameters."""

    name: str
    axis: str | None = None
    gamma: Share
    alpha: Share
    seed: NonNegativeInt | None = None
    weights: dict[str, Annotated[float, Field(ge=0)]] | None = None  # by axis, of fasp_multi


class MadeWith(_Record):
    """A prompt set, text or scorer that numbers depend on."""

    name: str
    fingerprint: str | None = None


class EstimateRecord(_Record):
    """A number with standard error and 95 % interval (null where not known), and how many texts or windows it has."""

    value: float
    se: float | None
    low: float | None
    high: float | None
    n: NonNegativeInt

    @classmethod
    def of(cls, estimate: Estimate) -> EstimateRecord:
        """The record of an estimate; what is NaN there is null here."""
        known = {name: float(getattr(estimate, name)) for name in ("se", "low", "high")}
        known = {name: value if math.isfinite(value) else None for name, value in known.items()}
        return cls(value=float(estimate.value), n=estimate.n, **known)


class MetricsRecord(_Record):
    """Perplexity, and bias by axis: plain, what noise alone would give, and without what noise adds."""

    ppl: EstimateRecord
    bias: dict[str, EstimateRecord]
    bias_floor: dict[str, float] = {}
    bias_corrected: dict[str, EstimateRecord] = {}

    @classmethod
    def of(cls, metrics: Metrics) -> MetricsRecord:
        """The record of measured metrics, without their groups."""
        bias = {axis: EstimateRecord.of(estimate) for axis, estimate in metrics.bias.items()}
        corrected = {axis: e for axis, e in metrics.bias_corrected.items() if math.isfinite(e.value)}
        return cls(
            ppl=EstimateRecord.of(metrics.ppl), bias=bias,
            bias_floor={axis: float(floor) for axis, floor in metrics.bias_floor.items()},
            bias_corrected={axis: EstimateRecord.of(estimate) for axis, estimate in corrected.items()},
        )  # fmt: skip


class SplitMetrics(_Record):
    """Measured before and after pruning; `change` = after − before, from pairs. `fraction_done` < 1: cut short."""

    before: MetricsRecord
    after: MetricsRecord
    change: MetricsRecord
    fraction_done: Share

    @classmethod
    def of(cls, evaluation: Evaluation) -> SplitMetrics:
        """The record of an evaluation, whose `split` the configuration files it under."""
        parts = {name: MetricsRecord.of(getattr(evaluation, name)) for name in ("before", "after", "change")}
        return cls(**parts, fraction_done=float(evaluation.fraction_done))


class PruningConfig(_Record):
    """Which heads of which model to prune, how they were chosen, and what that was measured to do."""

    schema_version: Literal[1] = SCHEMA_VERSION
    created: AwareDatetime
    model: ModelRecord
    method: MethodRecord
    pruned_heads: HeadsByLayer
    protected_heads: HeadsByLayer = {}
    metrics: dict[Literal["valid", "test"], SplitMetrics] = {}
    prompts: MadeWith | None = None
    text: MadeWith | None = None
    scorer: MadeWith | None = None
    seeds: dict[str, NonNegativeInt] = {}
    versions: dict[str, str] = {}
    notes: list[str] = []

    @model_validator(mode="after")
    def _heads_exist_once(self) -> PruningConfig:
        seen: dict[Head, str] = {}
        for field, by_layer in (("pruned_heads", self.pruned_heads), ("protected_heads", self.protected_heads)):
            for layer, head in _pairs(by_layer):
                if layer >= self.model.n_layers or head >= self.model.heads_per_layer:
                    raise ValueError(
                        f"{field}: head ({layer}, {head}) does not exist, the model has {self.model.n_layers} layers × "
                        f"{self.model.heads_per_layer} heads"
                    )
                if (layer, head) in seen:
                    also = "twice" if seen[layer, head] == field else f"in {seen[layer, head]} too"
                    raise ValueError(f"{field}: head ({layer}, {head}) is there {also}")
                seen[layer, head] = field
        return self

    @property
    def pruned(self) -> tuple[Head, ...]:
        """The heads to prune as (layer, head), sorted."""
        return tuple(sorted(_pairs(self.pruned_heads)))

    @property
    def protected(self) -> tuple[Head, ...]:
        """The heads that γ protected as (layer, head), sorted."""
        return tuple(sorted(_pairs(self.protected_heads)))

    @classmethod
    def from_selection(
        cls,
        selection: Selection,
        source: Study | HeadScores | LanguageModel,
        evaluation: Evaluation | Sequence[Evaluation] | None = None,
    ) -> PruningConfig:
        """The configuration of a selection made from `source`, with what was measured for it, one result per split.

        A study knows most about what made its numbers, an opened model only itself.
        Raises InputError if the selection has another layout than the source, or an evaluation other heads.
        """
        made = _records(_meta(source))
        shape = (made["model"].n_layers, made["model"].heads_per_layer)
        if shape != (selection.n_layers, selection.heads_per_layer):
            raise InputError(
                f"the selection is of {selection.n_layers} layers × {selection.heads_per_layer} heads, the model has "
                f"{shape[0]} × {shape[1]}; select from this model's own scores"
            )
        results = [] if evaluation is None else [evaluation] if isinstance(evaluation, Evaluation) else evaluation
        for result in results:
            if tuple(result.pruned) != selection.pruned:
                raise InputError("the evaluation is of other heads than the selection; evaluate the selected heads")
        return cls(
            created=datetime.now(UTC).replace(microsecond=0),
            method=MethodRecord(
                name=selection.method, axis=selection.axis, gamma=selection.gamma, alpha=selection.alpha,
                seed=selection.seed, weights=None if selection.weights is None else dict(selection.weights),
            ),
            pruned_heads=_by_layer(selection.pruned), protected_heads=_by_layer(selection.protected),
            metrics={result.split: SplitMetrics.of(result) for result in results}, **made,
        )  # fmt: skip

    def save(self, path: str | os.PathLike) -> None:
        """Write the JSON, whole or not at all; raises InputError where the disk does not allow it."""
        text = self.model_dump_json(indent=2) + "\n"
        write_atomic(Path(path), lambda temporary: temporary.write_text(text, "utf-8"))

    @classmethod
    def load(cls, path: str | os.PathLike) -> PruningConfig:
        """A configuration that `save` wrote; raises InputError with the first thing that is wrong with it."""
        path = Path(path)
        return cls.loads(read_text(path), str(path))

    @classmethod
    def loads(cls, text: str, where: str = "the configuration") -> PruningConfig:
        """Like `load`, from text; `where` is what messages call it."""
        try:
            data = json.loads(text, object_pairs_hook=_unique_keys)
        except (ValueError, RecursionError) as error:
            what = str(error).splitlines()[0] if str(error) else "nested too deeply"
            raise InputError(f"{where}: not a JSON configuration ({what}); export it again") from error
        if not isinstance(data, dict) or "schema_version" not in data:
            raise InputError(f"{where}: no pruning configuration (it has no schema_version); export one first")
        if data["schema_version"] != SCHEMA_VERSION:
            raise InputError(
                f"{where}: schema version {str(data['schema_version'])[:20]}, this program reads {SCHEMA_VERSION}; "
                "open it with the version that made it"
            )
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(map(str, first["loc"]))[:100]
            what = first["msg"].removeprefix("Value error, ").removesuffix(".")
            raise InputError(
                f"{where}: {f'{place}: ' if place else ''}{what}; correct the file or export it again"
            ) from error

    def check_layout(self, layout: HeadLayout) -> None:
        """Raise InputError unless a model's heads are laid out as those of the model this was made for."""
        ours = (self.model.n_layers, self.model.heads_per_layer, self.model.head_dim or layout.head_dim)
        theirs = (layout.n_layers, layout.heads_per_layer, layout.head_dim)
        if ours != theirs:
            raise InputError(
                f"the configuration is for {_shape(ours)} ({self.model.name}), this model has {_shape(theirs)}; open "
                "the model it was made for"
            )


def _meta(source: Study | HeadScores | LanguageModel) -> dict[str, Any]:
    """What made the scores: plain values under model, prompts, text, scorer, settings, versions and notes."""
    if isinstance(source, HeadScores):
        shape = {"n_layers": source.n_layers, "heads_per_layer": source.heads_per_layer}
        model = {"name": "unknown", **_named(source.meta.get("model")), **shape}
        return {**source.meta, "model": model, "notes": [*(source.meta.get("notes") or []), *_read_from(source.meta)]}
    if hasattr(source, "manifest"):
        if not source.has_model:
            return _meta(source.scores())
        made = source.manifest
        scorer = next(iter(made.scorers), None)
        used = {"scorer": {"name": scorer, "fingerprint": made.scorers[scorer]}} if scorer else {}
        names = ("model", "prompts", "text", "settings", "versions", "notes")
        return {**used, **{name: getattr(made, name) for name in names}}
    fields = {name: getattr(source, name) for name in ("ref", "name", "fingerprint")}
    shape = {name: getattr(source.layout, name) for name in ("n_layers", "heads_per_layer", "head_dim")}
    return {"model": {**fields, **shape}}


def _read_from(meta: dict[str, Any]) -> list[str]:
    """The note that scores come from a file, if they do."""
    if meta.get("source", "study") == "study":
        return []
    digest = (meta.get("settings") or {}).get("sha256")
    return [
        f"The heads were chosen by scores read from {meta['source']}{f' (SHA-256 {digest})' if digest else ''}; the "
        "model was not measured here."
    ]


def _records(meta: dict[str, Any]) -> dict[str, Any]:
    """The fields of a configuration that say what made it."""
    settings = meta.get("settings") or {}
    return {
        "model": _record(ModelRecord, meta["model"]),
        **{part: _record(MadeWith, _named(meta[part])) for part in ("prompts", "text", "scorer") if meta.get(part)},
        "seeds": {"study": settings["seed"]} if "seed" in settings else {},
        "versions": dict(meta.get("versions") or installed_versions()),
        "notes": list(meta.get("notes") or []),
    }


def _record(kind: type[_Record], fields: dict[str, Any]) -> _Record:
    """A record of the fields it has a place for."""
    return kind(**{name: value for name, value in fields.items() if name in kind.model_fields})


def _named(value: Any) -> dict[str, Any]:
    """Metadata may give a bare name instead of {"name": …, "fingerprint": …}."""
    fields = value if isinstance(value, dict) else {"name": value}
    return {name: given for name, given in fields.items() if given is not None}


def installed_versions() -> dict[str, str]:
    """Versions of Python and of the libraries that numbers depend on, where installed."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _by_layer(heads: Iterable[Head]) -> dict[str, list[int]]:
    layers: dict[str, list[int]] = {}
    for layer, head in sorted(heads):
        layers.setdefault(str(layer), []).append(head)
    return layers


def _pairs(by_layer: dict[str, list[int]]) -> Iterator[Head]:
    return ((int(layer), head) for layer, heads in by_layer.items() for head in heads)


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; a key written twice is refused, where Python's reader would drop the first."""
    made = dict(pairs)
    if len(made) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"'{next(n for n in names if names.count(n) > 1)[:40]}' is there twice")
    return made


def _shape(shape: tuple[int, int, int]) -> str:
    return f"{shape[0]} layers × {shape[1]} heads of size {shape[2]}"
