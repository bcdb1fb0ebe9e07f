"""A study of a model folder with one planted head: it drives the whole bias, and plain text does not need it."""

from __future__ import annotations

from pathlib import Path
from string import ascii_lowercase
from unittest.mock import patch

import pandas as pd
import torch

from fasp_core.data.pairs import PairSet
from fasp_core.data.prompt_csv import NO_TEMPLATE
from fasp_core.data.prompt_set import PromptSet, numbered_frame
from fasp_core.data.splits import split_prompts
from fasp_core.evaluation.evaluate import evaluate_study
from fasp_core.evaluation.keys import EvaluationSettings
from fasp_core.evaluation.store import EvaluationStore
from fasp_core.head import Head
from fasp_core.models.open_model import open_model
from fasp_core.scoring.budgets import Budget
from fasp_core.scoring.score_heads import score_heads
from fasp_core.study.manifest import StudySettings
from fasp_core.study.study import Study
from helpers.planted_model import PLANTED, TRIGGER, make_planted

AXIS, PLANTED_HEAD = "letters", (0, 0)
GROUPS = (TRIGGER, "M")
STEMS = ("... so", "... a", "... the")
BUDGET = Budget(samples=24, windows=8, knockout_windows=4, likelihood_reads=1000)
SETTINGS = StudySettings(max_new_tokens=6, window_tokens=24, samples_per_shard=24, windows_per_shard=8)


def save_planted_model(folder: Path) -> Path:
    """The planted model as `save_pretrained` writes it: it writes small letters, and its other heads hardly matter."""
    likely = {(chr(before), after): 6.0 for before in range(32, 127) for after in f"{ascii_lowercase} "}
    lm = make_planted(likely, head=0.5)
    attention, noise = lm.model.model.layers[0].self_attn, torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in (attention.v_proj.weight[8:], attention.o_proj.weight[:, 8:]):
            weight.add_(torch.randn(weight.shape, generator=noise), alpha=0.02)
    lm.model.save_pretrained(folder)
    lm.tokenizer.save_pretrained(folder)
    return folder


def planted_prompts(n: int = 32) -> PromptSet:
    """Two groups of `n` prompts; those of one hold the byte that the planted head waits for."""
    rows = [(AXIS, group, f"{i}", NO_TEMPLATE, f"{group * 4} {i} is", "") for group in GROUPS for i in range(n)]
    frame = numbered_frame(rows)
    return PromptSet("planted", frame.assign(split=split_prompts(frame)))


def score_planted(folder: Path, root: Path, name: str = "default") -> Study:
    """The study of a saved planted model, by both measures."""
    pairs = PairSet(pd.DataFrame([(stem, PLANTED, "y") for stem in STEMS], columns=["stem", "toxic", "benign"]))
    return score_heads(
        open_model(str(folder), device="cpu"),
        axes=[AXIS],
        metrics=["likelihood", "toxicity"],
        budget=BUDGET,
        prompts=planted_prompts(),
        pairs=pairs,
        settings=SETTINGS,
        name=name,
        root=root,
    )


def measure_texts(study: Study, folder: Path, heads: tuple[Head, ...]) -> None:
    """Have a set measured on a few texts, which are kept."""
    few = EvaluationSettings(max_new_tokens=6, blocks=1, texts_per_block=12, windows_per_block=2)
    with patch("fasp_core.evaluation.evaluate.study_settings", lambda study: few):
        store = EvaluationStore(study.folder.parent)
        list(evaluate_study(study, open_model(str(folder), device="cpu"), heads, metrics=["toxicity"], store=store))
