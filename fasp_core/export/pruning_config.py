"""PruningConfig: a choice of heads as a JSON file that others can load, with how it was made and what was measured.

    PruningConfig.from_selection(selection, study, evaluation).save("gender.json")
    config = PruningConfig.load("gender.json"); config.check_layout(lm.layout); config.pruned

Versioned (`schema_version`), strict (an unknown field is refused, not ignored) and plain to read. No torch here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from pydantic import AwareDatetime, Field, NonNegativeInt, ValidationError, model_validator

from fasp_core.errors import InputError
from fasp_core.evaluation.result import Evaluation
from fasp_core.export.provenance import (
    CompensationRecord,
    HeadsByLayer,
    MadeWith,
    MethodRecord,
    Metric,
    ModelRecord,
    Record,
    SplitMetrics,
    shape_text,
    unique_keys,
)
from fasp_core.export.scorecard_rows import ScorecardRow
from fasp_core.files.reading import read_text
from fasp_core.files.writing import write_atomic
from fasp_core.head import Head, heads_by_layer, heads_of_layers
from fasp_core.models.compensation_choice import Compensate
from fasp_core.selection.description import Provenance
from fasp_core.selection.head_scores import HeadScores
from fasp_core.selection.select_heads import Selection
from fasp_core.study.manifest import installed_versions
from fasp_core.study.study import Study
from fasp_core.words.spoken import model_title

if TYPE_CHECKING:
    from fasp_core.evaluation.scorecard_result import Scorecard
    from fasp_core.models.heads import HeadLayout
    from fasp_core.models.language_model import LanguageModel

SCHEMA_VERSION: Final = 1
Split = Literal["valid", "test"]


class PruningConfig(Record):
    """Which heads of which model to prune, how they were chosen, and what that was measured to do."""

    schema_version: Literal[1] = SCHEMA_VERSION
    created: AwareDatetime
    model: ModelRecord
    method: MethodRecord
    pruned_heads: HeadsByLayer
    protected_heads: HeadsByLayer = Field(default_factory=dict)
    compensation: CompensationRecord | None = Field(None, exclude_if=lambda record: record is None)
    metrics: dict[Split, SplitMetrics] = Field(default_factory=dict)
    scorecard: dict[Split, list[ScorecardRow]] = Field(
        default_factory=dict, exclude_if=lambda cards: not cards
    )  # older versions of the program refuse the field
    prompts: MadeWith | None = None
    text: MadeWith | None = None
    scorer: MadeWith | None = None
    seeds: dict[str, NonNegativeInt] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)
    notes: list[str] = Field(default_factory=list)

    @model_validator(mode="after")
    def _heads_exist_once(self) -> PruningConfig:
        seen: dict[Head, str] = {}
        for field, by_layer in (("pruned_heads", self.pruned_heads), ("protected_heads", self.protected_heads)):
            for layer, head in heads_of_layers(by_layer):
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
        return heads_of_layers(self.pruned_heads)

    @property
    def protected(self) -> tuple[Head, ...]:
        """The heads that γ protected as (layer, head), sorted."""
        return heads_of_layers(self.protected_heads)

    def chosen_by(self) -> str:
        """Which scores chose the heads, a sentence for people; "" where none did, or nothing takes their place."""
        under = self.method.scores_under
        if under is None or (under == "none" and self.compensation is None):
            return ""
        if under == "none":
            return "The heads were chosen by their scores without compensation."
        return "The heads were chosen by their scores under compensation: by what the other heads cannot supply."

    @classmethod
    def from_selection(
        cls,
        selection: Selection,
        source: Study | HeadScores | LanguageModel,
        evaluation: Evaluation | Sequence[Evaluation] | None = None,
        scorecards: Sequence[Scorecard] = (),
        *,
        compensate: Compensate = "none",
    ) -> PruningConfig:
        """The configuration of a selection made from `source`, with what was measured for it, one result per split.

        A study knows everything that made its numbers; an opened model knows only itself. `compensate` is as
        in `evaluate`. Raises InputError if the selection has another layout than the source, or an evaluation or a
        scorecard is of other heads or of another compensation.
        """
        made = _records(_meta(source))
        shape = (made["model"].n_layers, made["model"].heads_per_layer)
        if shape != (selection.n_layers, selection.heads_per_layer):
            raise InputError(
                f"the selection is of {selection.n_layers} layers × {selection.heads_per_layer} heads, the model has "
                f"{shape[0]} × {shape[1]}; select from this model's own scores"
            )
        results = [] if evaluation is None else [evaluation] if isinstance(evaluation, Evaluation) else evaluation
        measured: list[Evaluation | Scorecard] = [*results, *scorecards]
        for result in measured:
            if tuple(result.pruned) != selection.pruned:
                raise InputError("the evaluation is of other heads than the selection; evaluate the selected heads")
            if result.pruned and result.compensate != compensate:
                raise InputError(
                    f"the evaluation is with compensation '{result.compensate}', the configuration with "
                    f"'{compensate}'; evaluate what is exported"
                )
        notes = [*made.pop("notes"), *filter(None, [selection.note])]
        return cls(
            created=datetime.now(UTC).replace(microsecond=0),
            method=MethodRecord(
                name=selection.method,
                axis=selection.axis,
                gamma=selection.gamma,
                alpha=selection.alpha,
                seed=selection.seed,
                weights=None if selection.weights is None else dict(selection.weights),
                scores_under=selection.scores_under,
                metric=cast(Metric | None, selection.metric),
            ),
            pruned_heads=_by_layer(selection.pruned),
            protected_heads=_by_layer(selection.protected),
            compensation=CompensationRecord.of(compensate) if selection.pruned else None,
            metrics={cast(Split, result.split): SplitMetrics.of(result) for result in results},
            scorecard={cast(Split, card.split): [ScorecardRow.of(row) for row in card.rows] for card in scorecards},
            notes=notes,
            **made,
        )

    def to_json(self) -> str:
        """The text of a configuration file, which `loads` reads."""
        return self.model_dump_json(indent=2) + "\n"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the JSON, whole or not at all; raises InputError where the disk does not allow it."""
        text = self.to_json()
        write_atomic(Path(path), lambda temporary: temporary.write_text(text, "utf-8"))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> PruningConfig:
        """A configuration that `save` wrote; raises InputError with the first thing that is wrong with it."""
        path = Path(path)
        return cls.loads(read_text(path), str(path))

    @classmethod
    def loads(cls, text: str, where: str = "the configuration") -> PruningConfig:
        """Like `load`, from text; `where` is what messages call it."""
        try:
            data = json.loads(text, object_pairs_hook=unique_keys)
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
                f"the configuration is for {shape_text(ours)} ({self.model.name}), this model has "
                f"{shape_text(theirs)}; open the model it was made for"
            )


def _meta(source: Study | HeadScores | LanguageModel) -> dict[str, Any]:
    """What made the scores: plain values under model, prompts, text, scorer, settings, versions and notes."""
    if isinstance(source, HeadScores):
        shape = {"n_layers": source.n_layers, "heads_per_layer": source.heads_per_layer}
        meta = source.meta
        model = {"name": "unknown", **_named(meta.model and meta.model.to_json()), **shape}
        return {**meta.to_json(), "model": model, "notes": [*meta.notes, *_read_from(meta)]}
    if isinstance(source, Study):
        if not source.has_model:
            return _meta(source.scores())
        made = source.manifest
        scorer = next(iter(made.scorers), None)
        used = {"scorer": {"name": scorer, "fingerprint": made.scorers[scorer]}} if scorer else {}
        names = ("model", "prompts", "text", "versions", "notes")
        return {**used, **{name: getattr(made, name) for name in names}, "settings": asdict(made.settings)}
    fields = {"dtype": source.dtype_name, **{name: getattr(source, name) for name in ("ref", "name", "fingerprint")}}
    shape = {name: getattr(source.layout, name) for name in ("n_layers", "heads_per_layer", "head_dim")}
    return {"model": {**fields, **shape}}


def _read_from(meta: Provenance) -> list[str]:
    """The note that scores come from a file, if they do."""
    if meta.source in (None, "study"):
        return []
    digest = meta.settings.sha256
    return [
        f"The heads were chosen by scores read from {meta.source}{f' (SHA-256 {digest})' if digest else ''}; the "
        "model was not measured here."
    ]


def _records(meta: dict[str, Any]) -> dict[str, Any]:
    """The fields of a configuration that say what made it."""
    settings = meta.get("settings") or {}
    model = meta["model"]
    made_with = {part: _named(meta[part]) for part in ("prompts", "text", "scorer") if meta.get(part)}
    return {
        "model": _record(ModelRecord, {**model, "name": model_title(model.get("name"), model.get("ref"))}),
        **{part: _record(MadeWith, fields) for part, fields in made_with.items() if "name" in fields},
        "seeds": {"study": settings["seed"]} if "seed" in settings else {},
        "versions": dict(meta.get("versions") or installed_versions()),
        "notes": list(meta.get("notes") or []),
    }


def _record(kind: type[Record], fields: dict[str, Any]) -> Record:
    """A record of the fields it has a place for."""
    return kind(**{name: value for name, value in fields.items() if name in kind.model_fields})


def _named(value: Any) -> dict[str, Any]:
    """Metadata may give a bare name instead of {"name": …, "fingerprint": …}."""
    fields = value if isinstance(value, dict) else {"name": value}
    return {name: given for name, given in fields.items() if given is not None}


def _by_layer(heads: Iterable[Head]) -> HeadsByLayer:
    return {str(layer): members for layer, members in heads_by_layer(heads).items()}
