"""What a compact model costs beside the one it was made from: `python -m benchmarks.pruning CONFIG [--repeats 15]`.

CONFIG is an exported configuration. Both models generate from the same prompt and read the same window, in turns, in
one process; "before / after" is the median of the ratios of neighbouring runs, with the quartiles of these ratios. On a
busy machine the quartiles are wide: measure on a quiet one.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import PreTrainedModel

from fasp_core.cli.output import print_table
from fasp_core.export.checkpoints import export_checkpoint, load_pruned, weight_files
from fasp_core.export.pruning_config import PruningConfig
from fasp_core.models.open_model import open_model

PROMPT_TOKENS, NEW_TOKENS, WINDOW_TOKENS = 16, 32, 256


def main() -> None:
    """Export to a temporary folder, load it, and print sizes and times."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", type=Path)
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    config = PruningConfig.load(options.config)
    lm = open_model(config.model.ref, device="cpu")
    with tempfile.TemporaryDirectory() as scratch:
        folder = export_checkpoint(lm, config, Path(scratch) / "compact", form="compact")
        stored = sum(path.stat().st_size for path in weight_files(folder))
        pruned = load_pruned(folder).requires_grad_(False)
        models = (lm.model, pruned)
        before, after = (sum(p.numel() for p in model.parameters()) for model in models)
        rows = [
            ("parameters", f"{before:,}", f"{after:,}", f"{before / after:.4f}"),
            ("weights, MB", f"{before * 4 / 1e6:.2f}", f"{stored / 1e6:.2f}", f"{before * 4 / stored:.4f}"),
            timed(f"generate {NEW_TOKENS} tokens, s", models, generate, options.repeats),
            timed(f"read {WINDOW_TOKENS} tokens, s", models, read, options.repeats),
        ]
    print(f"{len(config.pruned)} of {lm.layout.n_heads} heads removed, {torch.get_num_threads()} threads")
    print_table(("", "before", "after", "before / after (quartiles)"), rows)


def timed(name: str, models: tuple[PreTrainedModel, ...], work: Callable, repeats: int) -> tuple[str, ...]:
    """One row: the median seconds of either model, and of their ratio."""
    for model in models:
        work(model)  # warm
    seconds: tuple[list[float], list[float]] = ([], [])
    for repeat in range(repeats):
        order = (0, 1) if repeat % 2 == 0 else (1, 0)  # whoever is first may find a colder cache
        for which in order:
            start = time.perf_counter()
            work(models[which])
            seconds[which].append(time.perf_counter() - start)
    ratios = [before / after for before, after in zip(*seconds, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    medians = [f"{statistics.median(times):.3f}" for times in seconds]
    return name, *medians, f"{middle:.3f} ({low:.3f} to {high:.3f})"


@torch.no_grad()
def generate(model: PreTrainedModel) -> None:
    """Greedy, one sequence, with the cache."""
    ids = torch.arange(100, 100 + PROMPT_TOKENS)[None]
    model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=NEW_TOKENS,
        min_new_tokens=NEW_TOKENS,
        do_sample=False,
        pad_token_id=0,
    )


@torch.no_grad()
def read(model: PreTrainedModel) -> None:
    """One forward pass over a window, as perplexity needs it."""
    model(torch.arange(100, 100 + WINDOW_TOKENS)[None], use_cache=False)


if __name__ == "__main__":
    main()
