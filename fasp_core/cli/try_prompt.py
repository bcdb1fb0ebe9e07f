"""The command `try`: one prompt, continued by the intact and the pruned model."""

from __future__ import annotations

import json
from dataclasses import asdict

from fasp_core.cli.options import AsJson, Compensation, Device, Draws, OwnPrompt, PrunedHeads, ResultFile, StudyName
from fasp_core.cli.output import print_json
from fasp_core.cli.sources import heads_given, open_named, reopen
from fasp_core.files.writing import write_atomic
from fasp_core.words.numbers import format_fixed


def try_prompt(
    study: StudyName,
    prompt: OwnPrompt,
    heads: PrunedHeads,
    compensate: Compensation = None,
    draws: Draws = 3,
    device: Device = "auto",
    to: ResultFile = None,
    as_json: AsJson = False,
) -> None:
    """Continue a prompt of your own with and without some heads.

    Both models draw with the same random numbers, so pruning causes the first word that differs. A look at single
    texts, not a measurement. The texts may be offensive.
    """
    opened = open_named(study)
    pruned = heads_given(heads)
    from fasp_core.data.sampling import SamplingSettings
    from fasp_core.evaluation.keys import study_settings
    from fasp_core.evaluation.trial import continue_both
    from fasp_core.toxicity.scorers import reopen_scorer

    made = study_settings(opened)
    trials = continue_both(
        reopen(opened, device),
        pruned,
        prompt,
        reopen_scorer(*opened.scorer_record(), study=opened.name, device=device),
        draws=draws,
        seed=made.seed,
        settings=SamplingSettings(max_new_tokens=made.max_new_tokens, top_k=made.top_k),
        compensate=compensate or "none",
    )
    rows = [asdict(trial) for trial in trials]
    if to is not None:
        text = json.dumps({"study": study, "prompt": prompt, "pruned": pruned, "trials": rows})
        write_atomic(to, lambda temporary: temporary.write_text(text, "utf-8"))
    if as_json:
        print_json({"study": study, "prompt": prompt, "pruned": pruned, "trials": rows})
        return
    for trial in trials:
        print(f"intact ({format_fixed(trial.toxicity_before, 2)}): {prompt}{trial.before}")
        print(f"pruned ({format_fixed(trial.toxicity_after, 2)}): {prompt}{trial.after}\n")
