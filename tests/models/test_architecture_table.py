"""docs/architectures.md's table is about the architectures that transformers has now, and none is silently wrong."""

from __future__ import annotations

import re

import pytest
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from benchmarks.architectures import HEADER, cells, row
from fasp_core.files.paths import PROJECT

TABLE = (PROJECT / "docs" / "architectures.md").read_text("utf-8").split(HEADER)[1].split("<!-- end -->")[0].strip()
ROWS = {re.match(r"\| (\S+) \|", line)[1]: line for line in TABLE.splitlines()}


def test_it_has_a_row_for_each_causal_architecture_and_none_is_wrong():
    assert ROWS.keys() == set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
    assert "WRONG" not in TABLE
    verdicts = [tuple(line.split(" | ")[1:4]) for line in ROWS.values()]
    assert verdicts.count(("yes", "yes", "exact")) >= 50


@pytest.mark.parametrize("kind", ["codegen", "gemma3n_text", "llama", "mamba", "moshi", "roberta"])
def test_a_row_is_what_the_command_prints(kind):
    assert cells(row(kind)) == ROWS[kind]
