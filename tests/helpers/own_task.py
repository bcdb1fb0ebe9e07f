"""A folder of task files for the LM evaluation harness, and what they ask."""

from __future__ import annotations

import json
from pathlib import Path

ANIMALS = ["cat", "dog", "fox", "hen", "cow", "pig", "ant", "bee", "owl", "elk", "rat", "yak"]
ROWS = [
    {"q": f"The {animal} sat on", "choices": ["mats", "moon"], "gold": i % 2, "text": f"one {animal} is {animal[::-1]}"}
    for i, animal in enumerate(ANIMALS)
]
CHOICE = """\
task: tiny_choice
dataset_path: json
dataset_kwargs:
  data_files: {test: rows.jsonl}
test_split: test
output_type: multiple_choice
doc_to_text: "{{q}}"
doc_to_choice: "{{choices}}"
doc_to_target: gold
metric_list:
  - {metric: acc, aggregation: mean, higher_is_better: true}
"""
LAST = """\
task: tiny_last
dataset_path: json
dataset_kwargs: {data_files: {test: rows.jsonl}}
test_split: test
output_type: loglikelihood
doc_to_text: "{{text.split(' ')[:-1]|join(' ')}}"
doc_to_target: "{{' '+text.split(' ')[-1]}}"
metric_list:
  - {metric: perplexity, aggregation: perplexity, higher_is_better: false}
"""


def write_tasks(folder: Path, **files: str) -> Path:
    """The folder with `rows.jsonl` and these task files, by name without ending; without any, CHOICE and LAST."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS), "utf-8")
    for name, text in (files or {"choice": CHOICE, "last": LAST}).items():
        (folder / f"{name}.yaml").write_text(text, "utf-8")
    return folder
