"""FASP: find the attention heads that drive social bias in a language model, measure it, prune them.

The public names; each module is imported when one of its names is first used, so that selecting and drawing never
wait for torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_MODULE_OF = {
    "Cancelled": "errors", "FaspError": "errors", "InputError": "errors", "RunError": "errors",
    "Progress": "progress",
    "LanguageModel": "models", "open_model": "models",
    "HeadLayout": "heads", "gate_heads": "heads",
    "load_prompts": "prompts", "load_text": "text", "open_scorer": "toxicity",
    "Budget": "budgets", "score_heads": "scoring",
    "Study": "study", "list_studies": "study", "open_study": "study",
    "import_scores": "importing", "axis_correlations": "correlations",
    "HeadScores": "head_scores", "read_head_scores": "head_scores",
    "Agreement": "agreement", "metric_agreement": "agreement",
    "load_pairs": "pairs", "evaluate_likelihood": "likelihood_evaluation",
    "Selection": "selection", "head_count": "selection", "select_heads": "selection",
    "Estimate": "estimates", "Evaluation": "estimates",
    "EvaluationSettings": "evaluation_plan", "evaluate": "evaluation", "evaluate_study": "evaluation",
    "measured_sets": "history", "paired_texts": "history",
    "PruningConfig": "config",
    "ComparisonSettings": "comparison", "run_comparison": "comparison",
    "remove_heads": "pruning", "load_pruned": "checkpoints", "save_pruned": "checkpoints",
}  # fmt: skip

__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    value = getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULE_OF})
