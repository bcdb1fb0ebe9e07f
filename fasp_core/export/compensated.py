"""The refit that a configuration asks for: made when a checkpoint is written, and again when it is verified."""

from __future__ import annotations

from fasp_core.data.calibration import calibration_text
from fasp_core.errors import InputError
from fasp_core.evaluation.compensation import fit_on_calibration_text
from fasp_core.export.provenance import CompensationRecord
from fasp_core.export.pruning_config import PruningConfig
from fasp_core.models.compensation import Compensation
from fasp_core.models.compensation_choice import RIDGE
from fasp_core.models.language_model import LanguageModel


def refit(lm: LanguageModel, config: PruningConfig) -> Compensation | None:
    """The layers refitted as the configuration says, None where it asks for no compensation; `lm` stays as it is.

    Raises InputError where the packaged text is another than the one that the configuration names.
    """
    asked = config.compensation
    if asked is None:
        return None
    text = calibration_text()
    if asked.text.fingerprint != text.fingerprint:
        raise InputError(
            f"the configuration asks for a refit on the text {asked.text.name} ({asked.text.fingerprint}), and this "
            f"version's is {text.name} ({text.fingerprint}); measure the set again and export it anew"
        )
    ridge = RIDGE if asked.ridge is None else asked.ridge
    return fit_on_calibration_text(lm, config.pruned, asked.how, ridge=ridge)


def fitted_record(asked: CompensationRecord, fitted: Compensation) -> CompensationRecord:
    """The record with what is known only once the model was refitted."""
    return asked.model_copy(update={"n_tokens": fitted.n_tokens, "intercept": fitted.intercept or "none"})
