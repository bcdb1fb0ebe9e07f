"""What compensation gives back of the perplexity that pruning costs: `python -m benchmarks.compensation [--sets 10]`.

Random heads of those that γ = 0.3 leaves unprotected in the shipped study go, α = 0.1 of all. Layers are refitted on
the packaged calibration text; perplexity is that of another text's test split. Printed is by how much it rises with a
hole, with the removed heads' mean output in the bias, and with least squares. The last rows are the median over the
sets, and what it leaves of the hole's.
"""

from __future__ import annotations

import argparse
import json
from contextlib import AbstractContextManager

import numpy as np

from fasp_core.cli.output import print_table
from fasp_core.data.articles import load_text
from fasp_core.data.calibration import calibration_windows
from fasp_core.data.windows import token_windows
from fasp_core.head import Head
from fasp_core.models.batching import in_batches, pad_batch, tokens_per_batch
from fasp_core.models.compensation import compensated_heads, fit_compensation
from fasp_core.models.compensation_choice import COMPENSATIONS
from fasp_core.models.heads import gate_heads
from fasp_core.models.language_model import LanguageModel
from fasp_core.models.open_model import reopen_model
from fasp_core.passes.knockout import base_log_probs
from fasp_core.selection.select_heads import head_count, protected_heads
from fasp_core.study.study import open_study

GAMMA, ALPHA, WINDOW_TOKENS = 0.3, 0.1, 256


def perplexity(lm: LanguageModel, windows: list[list[int]]) -> float:
    """exp of the mean NLL of all tokens but each window's first, with the model as it is."""
    log_probs = np.zeros(len(windows))

    def read(rows: list[int]) -> None:
        tokens = [windows[i] for i in rows]
        scored = [len(ids) - 1 for ids in tokens]
        batch = pad_batch(tokens, scored, pad_id=lm.tokenizer.pad_token_id, device=lm.device)
        log_probs[rows] = base_log_probs(lm, batch).numpy()

    in_batches(list(map(len, windows)), tokens_per_batch(lm.model, gradient=False), read)
    return float(np.exp(-log_probs.sum() / sum(len(ids) - 1 for ids in windows)))


def without(
    lm: LanguageModel, heads: list[Head], calibration: list[list[int]], how: str
) -> AbstractContextManager[None]:
    """The model without the heads, compensated in one way, while inside."""
    if how == "none":
        return gate_heads(lm.model, heads)
    return compensated_heads(lm.model, fit_compensation(lm, heads, calibration, how=how))


def drawn_set(lm: LanguageModel, free: np.ndarray, seed: int) -> list[Head]:
    """ALPHA of all heads, drawn from the flat ids `free`."""
    count = head_count(ALPHA, lm.layout.n_heads)
    return [lm.layout.head(int(flat)) for flat in np.random.default_rng(seed).choice(free, count, replace=False)]


def rises(
    lm: LanguageModel, heads: list[Head], calibration: list[list[int]], unseen: list[list[int]], intact: float
) -> list[float]:
    """By how much perplexity rises without the heads, in per cent, for each of COMPENSATIONS."""
    found = []
    for how in COMPENSATIONS:
        with without(lm, heads, calibration, how):
            found.append(100 * (perplexity(lm, unseen) / intact - 1))
    return found


def main() -> None:
    """Print the rises in per cent, a row per set and their medians; `--json` also writes them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", type=int, default=10)
    parser.add_argument("--text", default="builtin", help="the text whose test split is measured")
    parser.add_argument("--windows", type=int, default=24, help=f"of {WINDOW_TOKENS} tokens at most, the longest")
    parser.add_argument("--json", help="also write the figures to this file")
    options = parser.parse_args()
    study = open_study("default")
    lm = reopen_model(study.model_record, study.name)
    frame = token_windows(lm.tokenizer, load_text(options.text).frame, length=WINDOW_TOKENS)
    calibration = calibration_windows(lm.tokenizer, lm.max_length)
    unseen = sorted(frame[frame["split"] == "test"]["token_ids"], key=len, reverse=True)[: options.windows]
    scores = study.scores()
    free = np.setdiff1d(np.arange(scores.n_heads), protected_heads(scores, GAMMA))
    intact = perplexity(lm, unseen)
    print(
        f"{sum(map(len, calibration))} tokens of calibration, {sum(map(len, unseen))} of test; perplexity {intact:.2f}"
    )
    found = []
    for seed in range(options.sets):
        found.append(rises(lm, drawn_set(lm, free, seed), calibration, unseen, intact))
        print(f"set {seed + 1} of {options.sets} measured", flush=True)
    medians = np.median(found, axis=0)
    rows = [(f"set {i + 1}", *(f"{rise:+.1f} %" for rise in line)) for i, line in enumerate(found)]
    rows.append(("median", *(f"{rise:+.1f} %" for rise in medians)))
    rows.append(("of the hole's", *(f"{100 * rise / medians[0]:.0f} %" for rise in medians)))
    print_table(("", "hole", "mean", "least squares"), rows)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as out:
            json.dump({"intact": intact, "rises": found, "medians": medians.tolist()}, out, indent=1)


if __name__ == "__main__":
    main()
