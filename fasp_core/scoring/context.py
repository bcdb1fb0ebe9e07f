"""What the stages of a run compute with: model, scorer, and the study's settings, prompts, windows and pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import compress

import pandas as pd

from fasp_core.data.calibration import calibration_text, calibration_windows
from fasp_core.data.order import sample_order, shuffled
from fasp_core.data.pairs import PairSet
from fasp_core.data.prompt_set import PromptSet
from fasp_core.models.compensation_choice import RIDGE
from fasp_core.models.heads import HookOf
from fasp_core.models.language_model import LanguageModel
from fasp_core.models.residual_gates import HeadResiduals, fit_residuals
from fasp_core.passes.sampling import encode_prompts
from fasp_core.progress import ProgressCallback, Stop
from fasp_core.study.manifest import StudySettings
from fasp_core.study.shard_names import TEXT
from fasp_core.study.study import Study
from fasp_core.study.views import study_pairs
from fasp_core.toxicity.scorers import Scorer, reopen_scorer


@dataclass
class AxisPrompts:
    """The valid prompts of one axis; each is tokenised once, when it is first sampled from."""

    frame: pd.DataFrame
    tokens: dict[int, list[int]] = field(default_factory=dict)
    cut: set[int] = field(default_factory=set)

    @cached_property
    def text(self) -> pd.Series:
        """The prompts by prompt_id."""
        return self.frame.set_index("prompt_id")["prompt"]

    def encoded(self, lm: LanguageModel, prompt_ids: Sequence[int], max_new_tokens: int) -> list[list[int]]:
        """Token ids of prompts, cut on the left where they would not fit the context; `cut` has the ids of those."""
        new = [i for i in dict.fromkeys(prompt_ids) if i not in self.tokens]
        if new:
            encoded, cut = encode_prompts(lm, self.text.loc[new].tolist(), max_new_tokens)
            self.tokens.update(zip(new, encoded, strict=True))
            self.cut.update(compress(new, cut))
        return [self.tokens[i] for i in prompt_ids]


@dataclass
class RunContext:
    """One per run and process; everything but `lm` and `scorer` is plain data. `windows` are lists of token ids.

    `opened` is None where stored texts are rated, which needs no model; `kept` are None where no pairs are compared.
    """

    opened: LanguageModel | None
    scorer: Scorer
    settings: StudySettings
    prompts: PromptSet
    windows: list[list[int]]
    kept: PairSet | None = None
    stop: Stop | None = None
    progress: ProgressCallback | None = None  # of what a stage needs before its first shard
    _axes: dict[str, AxisPrompts] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        study: Study,
        lm: LanguageModel | None,
        scorer: Scorer,
        stop: Stop | None = None,
        progress: ProgressCallback | None = None,
    ) -> RunContext:
        """The context of a run that measures `study`."""
        settings = study.settings
        rows = study.windows
        valid = rows.loc[rows["split"] == "valid", "token_ids"].tolist()
        order = shuffled(len(valid), seed=settings.seed, stream=TEXT)
        windows = [valid[i].tolist() for i in order]
        return cls(lm, scorer, settings, study.prompts, windows, study_pairs(study), stop, progress)

    @property
    def lm(self) -> LanguageModel:
        """The model; raises ValueError where none was opened."""
        if self.opened is None:
            raise ValueError("this run has no model")
        return self.opened

    @property
    def pairs(self) -> PairSet:
        """The study's pairs; raises ValueError where it has none."""
        if self.kept is None:
            raise ValueError("this run has no pairs")
        return self.kept

    @cached_property
    def residuals(self) -> HeadResiduals:
        """What of each head the others of its layer cannot supply, fitted on the packaged calibration text."""
        windows = calibration_windows(self.lm.tokenizer, self.lm.max_length)
        return fit_residuals(self.lm, windows, ridge=RIDGE, progress=self.progress, stop=self.stop)

    def hook_of(self, *, compensated: bool) -> HookOf | None:
        """What gates do to a head: to the whole of it or, `compensated`, to what the others cannot supply."""
        return self.residuals.hook if compensated else None

    def axis(self, axis: str) -> AxisPrompts:
        """The prompts that an axis is scored on."""
        if axis not in self._axes:
            self._axes[axis] = AxisPrompts(self.prompts.select(axes=[axis], split="valid").frame)
        return self._axes[axis]

    def order(self, axis: str, units: range) -> pd.DataFrame:
        """Which prompt the samples of these units continue: prompt_id, draw."""
        frame = self.axis(axis).frame
        return sample_order(frame, seed=self.settings.seed, axis=axis, start=units.start, stop=units.stop)

    def encoded(self, axis: str, prompt_ids: Sequence[int]) -> list[list[int]]:
        """Token ids of prompts of an axis."""
        return self.axis(axis).encoded(self.lm, prompt_ids, self.settings.max_new_tokens)


def residuals_fitted_on() -> dict[str, str]:
    """What makes `RunContext.residuals` besides the model: the text's fingerprint, and the ridge."""
    return {"fingerprint": calibration_text().fingerprint, "ridge": f"{RIDGE:g}"}


@dataclass(frozen=True)
class ContextSetup:
    """Plain data that another process makes the same context of, on a model of its own."""

    scorer: tuple[str, str, str]  # name, what opens it, fingerprint
    settings: StudySettings
    prompts: PromptSet
    windows: list[list[int]]
    pairs: PairSet | None

    @classmethod
    def of(cls, context: RunContext) -> ContextSetup:
        """What makes a context like this one; only the run itself is told to stop."""
        scorer = context.scorer
        record = scorer.name, scorer.ref, scorer.fingerprint
        return cls(record, context.settings, context.prompts, context.windows, context.kept)

    def __call__(self, lm: LanguageModel) -> RunContext:
        """The context; raises InputError where the scorer is another one here."""
        scorer = reopen_scorer(*self.scorer, study="this run", device=lm.device.type)
        return RunContext(lm, scorer, self.settings, self.prompts, self.windows, self.pairs)
