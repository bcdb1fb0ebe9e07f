"""What a scoring run will take, before it is started: time, memory and disk, from the model's shape. No torch.

Nearly all work of a run is passes through the model, at two floating-point operations per weight and token. How many
this machine does per second is measured on the spot by one matrix product (`machine_flops`); what share of it a run
reaches was measured on the default model (`RUN_SHARE`). Time is right within a factor of `TIME_FACTOR` on a machine
without a GPU that has nothing else to do; memory and disk are on the high side.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fasp_core.errors import InputError
from fasp_core.files.paths import cache_root, user_path
from fasp_core.models.default_model import FOLDER
from fasp_core.scoring.budgets import BUDGETS, FIRST_PASS, LOG_RATIO_TEXTS, PAPER_TOKENS, Budget, paper_budget

TIME_FACTOR = 2.0
RUN_SHARE = 0.55  # of the speed of one large matrix product, over a whole quick run of the default model
GRADIENT_PASSES = 3.0  # a forward pass, and a backward one that costs two
ADVANTAGE_PASSES = 4.5  # a forward pass, and two backward ones, by the same measure
RESUMED_SHARE = 0.6  # of a forward pass: knock-outs resume at their head's layer, half-way on average
PROMPT_TOKENS = 10
READ_TOKENS = 41  # of one read of the likelihood metric: a prompt with three stems, as timed
WINDOWS_TOKENS = 13_600  # of the text windows of one split that a set is measured on
REFIT_TOKENS = 7_500  # what refitting the layers of one set costs, as timed
RATIO_BYTES, SAMPLE_BYTES = 6.0, 400  # on disk, per head and text and per text; compressed floats and words
READ_BYTES = 2.3  # per head and read
BATCH_BYTES, PROGRAM_BYTES = int(1.5 * 2**30), int(0.6 * 2**30)  # activations of one batch; Python and its libraries
PAPER_WINDOWS = 256  # about what the built-in text has of them
WEIGHT_FILES = ("*.safetensors", "*.bin")


@dataclass(frozen=True)
class ModelShape:
    """What the cost of a run depends on: `parameters`, heads, and bytes per weight as they are on disk."""

    parameters: int
    n_layers: int
    heads_per_layer: int
    weight_bytes: int = 4

    @property
    def n_heads(self) -> int:
        """N, query heads of the whole model."""
        return self.n_layers * self.heads_per_layer


@dataclass(frozen=True)
class RunEstimate:
    """Seconds with a low and a high bound, peak bytes of memory, bytes on disk."""

    seconds: float
    seconds_low: float
    seconds_high: float
    memory_bytes: int
    disk_bytes: int


def estimate_run(
    shape: ModelShape,
    n_axes: int,
    budget: str | Budget,
    *,
    flops: float,
    minutes: float | None = None,
    new_tokens: int = 20,
    window_tokens: int = 128,
    prompts_per_axis: int = 1_440,
    compensated: bool = False,
) -> RunEstimate:
    """What scoring `n_axes` axes by both metrics within `budget` takes; `flops` is `machine_flops()`.

    With `minutes` the time is given, and only memory and disk are estimated. A budget's `refine_minutes` add to the
    time. `compensated`: windows are measured and prompts read a second time, under compensation.
    """
    paper = budget == "paper"
    if paper:
        budget, new_tokens = paper_budget(prompts_per_axis, windows=PAPER_WINDOWS), PAPER_TOKENS
    elif isinstance(budget, str):
        budget = BUDGETS[budget]
    if minutes is not None:
        budget = FIRST_PASS
    times = 2 if compensated else 1
    per_token = 2.0 * shape.parameters / (RUN_SHARE * flops)
    text = PROMPT_TOKENS + new_tokens
    heads = shape.n_heads
    one_text = 1 + (GRADIENT_PASSES if paper else ADVANTAGE_PASSES)  # sampled, then all heads to first order
    passes = n_axes * budget.samples * text * one_text
    if not paper:
        passes += n_axes * min(budget.samples, LOG_RATIO_TEXTS) * text * GRADIENT_PASSES
    passes += times * n_axes * budget.likelihood_reads * READ_TOKENS * GRADIENT_PASSES
    passes += times * budget.windows * window_tokens * GRADIENT_PASSES
    passes += times * budget.knockout_windows * window_tokens * heads * RESUMED_SHARE
    passes += n_axes * budget.knockout_samples * text * heads * RESUMED_SHARE
    again = heads if budget.regenerate_all else 0  # otherwise only heads whose weights cannot be trusted: few
    passes += n_axes * budget.regenerate_samples * text * again
    seconds = passes * per_token
    low, high = seconds / TIME_FACTOR, seconds * TIME_FACTOR
    refined = 60 * (minutes or budget.refine_minutes)
    if minutes is not None:
        low, seconds, high = refined, refined, refined + seconds / 4
    elif refined:
        low, seconds, high = low + refined, seconds + refined, high + refined
    reads = times * n_axes * budget.likelihood_reads
    texts = n_axes * budget.samples + times * (budget.windows + budget.knockout_windows)
    texts += n_axes * (budget.regenerate_samples * (again or 10)) // max(heads, 1)
    if refined:  # refinement goes on as the first pass does
        texts += int(refined / (text * one_text * per_token))
    return RunEstimate(
        seconds,
        low,
        high,
        memory_bytes=shape.parameters * shape.weight_bytes + BATCH_BYTES + PROGRAM_BYTES,
        disk_bytes=int(texts * (heads * RATIO_BYTES + SAMPLE_BYTES) + reads * heads * READ_BYTES),
    )


def unit_seconds(shape: ModelShape, metric: str, *, flops: float, new_tokens: int = 20) -> float:
    """What one more text of an axis takes, with its scores of all heads, or by "likelihood" one more reading."""
    passes = READ_TOKENS * GRADIENT_PASSES
    if metric == "toxicity":
        passes = (PROMPT_TOKENS + new_tokens) * (1 + ADVANTAGE_PASSES)
    return passes * 2.0 * shape.parameters / (RUN_SHARE * flops)


def evaluation_seconds(
    shape: ModelShape,
    n: int,
    metric: str = "toxicity",
    *,
    flops: float,
    new_tokens: int = 20,
    refitted: bool = False,
) -> float:
    """What it takes to sample n texts, or by likelihood to read n prompts, and to read the text, without some heads.

    The intact model is measured once, and is not in it. `refitted`: the layers that lose heads are refitted first.
    """
    each = READ_TOKENS if metric == "likelihood" else PROMPT_TOKENS + new_tokens
    tokens = n * each + WINDOWS_TOKENS + REFIT_TOKENS * refitted
    return tokens * 2.0 * shape.parameters / (RUN_SHARE * flops)


def stage_seconds(
    shape: ModelShape, n: int, metric: str, *, flops: float, new_tokens: int = 20, refitted: bool = False
) -> float:
    """What a stage of fasp_iterative takes: n texts, or readings, with the scores of all heads, and then perplexity."""
    scored = n * unit_seconds(shape, metric, flops=flops, new_tokens=new_tokens)
    return scored + evaluation_seconds(shape, 0, metric, flops=flops, refitted=refitted)


def model_shape(ref: str, root: str | Path | None = None) -> ModelShape | None:
    """The shape of a model on this machine, from its files alone; None where they do not tell (a hub id, a GGUF file).

    Raises InputError for a folder whose config.json cannot be read.
    """
    folder = cache_root(root) / "models" / FOLDER if ref == "default" else user_path(ref)
    if not (folder / "config.json").is_file():
        return None
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
        config = config.get("text_config") or config
        layers = config.get("num_hidden_layers") or config.get("n_layer") or config.get("num_layers")
        heads = config.get("num_attention_heads") or config.get("n_head") or config.get("num_heads")
        wide = 2 if str(config.get("dtype") or config.get("torch_dtype")) in ("float16", "bfloat16") else 4
        stored = max(sum(path.stat().st_size for path in folder.glob(kind)) for kind in WEIGHT_FILES)
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(f"{folder}/config.json cannot be read; give the folder that save_pretrained wrote") from error
    if not (isinstance(layers, int) and isinstance(heads, int) and stored):
        return None
    return ModelShape(stored // wide, layers, heads)  # computed with in float32 on a CPU, whatever is stored


def machine_flops(size: int = 768, repeats: int = 20) -> float:
    """Floating-point operations per second of this machine, all its cores, at the best of some matrix products."""
    matrix = np.ones((size, size), np.float32)
    best = float("inf")
    for _ in range(repeats):
        started = time.perf_counter()
        matrix @ matrix
        best = min(best, time.perf_counter() - started)
    return 2.0 * size**3 / best
