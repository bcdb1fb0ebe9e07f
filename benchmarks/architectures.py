"""The table of docs/architectures.md: every causal architecture of transformers as a tiny random model.

    python -m benchmarks.architectures                      # the whole table
    python -m benchmarks.architectures --part 1/4 > rows    # a quarter of it, for a machine with little time
    python -m benchmarks.architectures --only llama,bert

Each row: whether the model opens (its heads are found), passes its self-check, and whether removing heads is exact (for
several sets: logits to 1e-5, 20 greedy tokens of a padded batch with the cache), or why not. A model that passes is
tried once more in ways that do not use the self-check; what fails there is a silently wrong row: exit status 1.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from transformers import PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from benchmarks.random_models import knock_out_fault, opened, random_model, removal_verdict, tiny_config
from fasp_core.errors import InputError
from fasp_core.head import Head, all_heads
from fasp_core.models.loading import quiet_loading
from fasp_core.models.self_check import check_model

SECONDS = 60  # for one architecture
HEADER = "| architecture | opens | self-check | removal | why not |\n| --- | --- | --- | --- | --- |"
YES, NO, NOT_TRIED = "yes", "refused", "–"


class _Late(BaseException):
    """An architecture took longer than it may; not an Exception, so that no check takes it for its own failure."""


def main() -> int:
    """Print the rows; 1 if one of them is silently wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", default="1/1", help="i/n: the i-th of n parts")
    parser.add_argument("--only", help="model types, with commas")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    kinds = sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
    if options.only:
        kinds = options.only.split(",")
    part, parts = map(int, options.part.split("/"))
    size = -(-len(kinds) // parts)
    if part == 1:
        print(HEADER)
    wrong = 0
    for kind in kinds[(part - 1) * size : part * size]:
        found = row(kind)
        wrong += any("WRONG" in cell for cell in found)
        print(cells(found), flush=True)
    return int(wrong > 0)


def cells(found: Sequence[str]) -> str:
    """A row as a line of a Markdown table."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in found) + " |"


def row(kind: str) -> tuple[str, str, str, str, str]:
    """What becomes of one architecture: its name, three verdicts, and why it is refused."""
    try:
        with _limited(SECONDS), quiet_loading():
            try:
                model = random_model(tiny_config(kind))
            except _Late:
                raise
            except Exception as error:
                return kind, NOT_TRIED, NOT_TRIED, NOT_TRIED, f"no tiny model of it was built ({_told(error)})"
            return kind, *_verdicts(model)
    except _Late:
        return kind, NOT_TRIED, NOT_TRIED, NOT_TRIED, f"took longer than {SECONDS} s"


def _verdicts(model: PreTrainedModel) -> tuple[str, str, str, str]:
    try:
        lm = opened(model)
    except InputError as error:
        return NO, NOT_TRIED, NOT_TRIED, _reason(error, model)
    except Exception as error:
        return NO, NOT_TRIED, NOT_TRIED, f"WRONG: not one line but {_told(error)}"
    with tempfile.TemporaryDirectory() as root:
        try:
            check_model(lm, root)
        except InputError as error:
            return YES, NO, NOT_TRIED, _reason(error, model)
    try:
        if fault := knock_out_fault(model):
            return YES, f"WRONG: {fault}", NOT_TRIED, ""
        verdicts = [
            removal_verdict(model, heads) for heads in _head_sets(lm.layout.n_layers, lm.layout.heads_per_layer)
        ]
    except Exception as error:
        return YES, f"WRONG: {_told(error)}", NOT_TRIED, ""
    refused = sorted({verdict for verdict in verdicts if verdict.startswith("refused")})
    if bad := [verdict for verdict in verdicts if verdict.startswith("WRONG")]:
        return YES, YES, bad[0], ""
    if not refused:
        return YES, YES, "exact", ""
    removal = NO if len(refused) == len(set(verdicts)) else f"exact or {NO}"
    return YES, YES, removal, _reason(refused[0].removeprefix("refused: "), model)


def _head_sets(layers: int, heads: int) -> list[list[Head]]:
    """One head, a whole layer, half of one, all but one, and random ones."""
    every = all_heads(layers, heads)
    draw = random.Random(0)
    return [
        [(0, heads - 1)],
        [(layers - 1, head) for head in range(heads)],
        [(0, head) for head in range(heads // 2)],
        every[1:],
        *(draw.sample(every, draw.randint(1, len(every))) for _ in range(2)),
    ]


def _reason(error: InputError | str, model: PreTrainedModel) -> str:
    told, name = str(error), type(model).__name__
    starts = ("cannot be measured: ", "can be knocked out but not removed: ", "has ", "")
    for start in (
        f"tiny {model.config.model_type}: ",
        *(f"{of}{name} {rest}" for rest in starts for of in ("heads of ", "")),
    ):
        told = told.removeprefix(start)
    return _short(told.replace(name, "it").removesuffix("; export a masked checkpoint"))


def _told(error: Exception) -> str:
    return _short(f"{type(error).__name__}: {error}")


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 200 else f"{line[:199]}…"


@contextmanager
def _limited(seconds: int) -> Iterator[None]:
    """Raise _Late in the middle of what takes longer."""

    def late(number: int, frame: object) -> None:
        raise _Late

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


if __name__ == "__main__":
    sys.exit(main())
