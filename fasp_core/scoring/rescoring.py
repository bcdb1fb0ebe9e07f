"""Rating the texts a study holds, with any scorer: nothing is sampled and no model is opened.

A study keeps every continuation it sampled, of the intact model and of single heads knocked out. Their toxicity is a
file of its own beside each, per scorer; another scorer only adds such files.
"""

from __future__ import annotations

import pandas as pd
import pyarrow as pa

from .errors import Cancelled
from .measure import toxicity_table
from .progress import ProgressCallback, StageClock, Stop
from .study import Study
from .toxicity import Scorer, check_same_scorer

PREFIXES = {"samples": "toxicity", "regenerated": "retoxicity"}  # texts, and the file of their toxicity


def rescore_study(
    study: Study, scorer: Scorer, *, progress: ProgressCallback | None = None, stop: Stop | None = None
) -> None:
    """Rate every text of the study that this scorer has not rated yet; what is finished is kept when stopped.

    Raises InputError if the study holds scores of another scorer of this name, or while another process writes it.
    """
    check_same_scorer(study, scorer)
    with study.writing():
        study.add_scorer(scorer.name, scorer.ref, scorer.fingerprint)
        for kind, prefix in PREFIXES.items():
            for axis in study.axes:
                _rate(study, scorer, kind, prefix, axis, progress, stop)


def _rate(
    study: Study, scorer: Scorer, kind: str, prefix: str, axis: str, progress: ProgressCallback | None,
    stop: Stop | None,
) -> None:  # fmt: skip
    names = {name: f"{prefix}.{scorer.name}{name.removeprefix(kind)}" for name in study.shard_names(kind, axis)}
    rows = {name: study.manifest.shards[name].rows for name in names}
    missing = [name for name, rated in names.items() if not study.has_shard(rated)]
    already = sum(rows.values()) - sum(rows[name] for name in missing)
    if not names:
        return
    prompts = study.prompts.select(axes=[axis]).frame
    clock = StageClock(f"{prefix} {axis}", sum(rows.values()), "texts", progress, already=already)
    for name in missing:
        if stop is not None and stop():
            raise Cancelled("rating was stopped; run it again to go on where it ended")
        study.write_shard(names[name], rated_texts(study, scorer, axis, prompts, study.read_shard(name)))
        clock.step(rows[name])


def rated_texts(study: Study, scorer: Scorer, axis: str, prompts: pd.DataFrame, texts: pa.Table) -> pa.Table:
    """The toxicity of prompt + continuation of each row of a shard of texts: unit, toxicity and, if it has it, head."""
    units = texts["unit"].to_pylist()
    starts = prompts.set_index("prompt_id")["prompt"].loc[_prompt_ids(study, axis, texts, units)]
    rated = [start + end for start, end in zip(starts, texts["continuation"].to_pylist(), strict=True)]
    if study.manifest.settings.get("lowercase"):
        rated = [text.lower() for text in rated]
    table = toxicity_table(scorer, units, rated)
    return table.append_column("head", texts["head"]) if "head" in texts.column_names else table


def _prompt_ids(study: Study, axis: str, texts: pa.Table, units: list[int]) -> list[int]:
    """The prompt of each unit; texts of knocked-out heads continue those of the samples of the same units."""
    if "prompt_id" in texts.column_names:
        return texts["prompt_id"].to_pylist()
    size = study.manifest.settings.get("samples_per_shard")
    shard = study.read_shard(f"samples.{axis}.{units[0] // size:05d}.parquet")
    prompt_of = pd.Series(shard["prompt_id"].to_pylist(), index=shard["unit"].to_pylist())
    return prompt_of.loc[units].tolist()
