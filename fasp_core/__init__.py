"""FASP: find the attention heads that drive social bias in a language model, measure it, prune them.

The rooms, in the order of their floors; a room imports only from lower floors (`tests/test_rooms.py`):

    1  limits, errors     how much is taken at most; how things fail
    1  progress, access   how far a run is, and whether to stop; who may reach the app, and do what
    1  stats              samples in, estimates with errors out
    2  head               a head is (layer, head): flat ids, text, by layer
    2  files              read what others wrote, within bounds; write ours whole or not at all
    3  data               what the model is given: prompts, text, pairs of continuations
    3  models             open a model, find its heads, gate them, cut them out
    3  selection          the table of scores, and which heads it prunes
    4  passes             what is computed with a model: gradients, knock-outs, samples, log-odds
    4  toxicity           what rates the texts
    4  study              the folder that keeps all measurements, and its views
    4  words              digits and sentences for people
    5  cluster            units of work on other processes and machines: an ordered map over workers
    6  scoring            fill a study within a budget
    6  evaluation         what pruning a set of heads does: measured, kept, found again
    6  figures            charts: numbers in, plotly figure out
    7  comparison         methods side by side
    7  export             the choice to keep: configuration, report, checkpoint, and the proof that it works
    8  jobs               processes that outlive a page
    9  cli                the commands

Below are the public names. Each module is imported when one of its names is first used, so that selecting and drawing
never wait for torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_MODULE_OF = {
    "Cancelled": "errors",
    "FaspError": "errors",
    "InputError": "errors",
    "RunError": "errors",
    "Progress": "progress",
    "LanguageModel": "models.language_model",
    "open_model": "models.open_model",
    "HeadLayout": "models.heads",
    "gate_heads": "models.heads",
    "load_prompts": "data.prompts",
    "load_text": "data.articles",
    "open_scorer": "toxicity.scorers",
    "Budget": "scoring.budgets",
    "score_heads": "scoring.score_heads",
    "Study": "study.study",
    "list_studies": "study.study",
    "open_study": "study.study",
    "import_scores": "study.importing",
    "axis_correlations": "selection.correlations",
    "HeadScores": "selection.head_scores",
    "read_head_scores": "selection.score_files",
    "Agreement": "selection.agreement",
    "metric_agreement": "selection.agreement",
    "load_pairs": "data.pairs",
    "load_sentence_pairs": "data.pair_files",
    "Selection": "selection.select_heads",
    "head_count": "selection.select_heads",
    "select_heads": "selection.select_heads",
    "Estimate": "stats.estimate",
    "Evaluation": "evaluation.result",
    "EvaluationSettings": "evaluation.keys",
    "evaluate": "evaluation.evaluate",
    "evaluate_study": "evaluation.evaluate",
    "Scorecard": "evaluation.scorecard_result",
    "scorecard": "evaluation.scorecard",
    "measure_tasks": "evaluation.harness",
    "measured_sets": "evaluation.history",
    "paired_texts": "evaluation.history",
    "PruningConfig": "export.pruning_config",
    "ComparisonSettings": "comparison.configurations",
    "run_comparison": "comparison.run_comparison",
    "remove_heads": "models.removal",
    "load_pruned": "export.checkpoints",
    "save_pruned": "export.checkpoints",
    "register_compact": "export.auto_classes",
}

__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    value = getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULE_OF})
