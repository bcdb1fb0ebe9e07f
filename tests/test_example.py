"""The example notebook: its cells run in order, in an empty folder, and say what is kept in it.

PYTHONPATH=.:tests python tests/test_example.py      # runs it and keeps what its cells say
"""

from __future__ import annotations

import ast
import io
import json
import os
import tempfile
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from fasp_core.export.pruning_config import PruningConfig
from fasp_core.files.paths import PROJECT

NOTEBOOK = PROJECT / "examples" / "default_study.ipynb"


def run(source: str, names: dict[str, Any]) -> list[dict[str, Any]]:
    """Run a cell as a notebook does; gives what it prints and the value of its last line, as the file holds them."""
    tree, last, printed = ast.parse(source), None, io.StringIO()
    if isinstance(tree.body[-1], ast.Expr):
        last = ast.Expression(tree.body.pop().value)
    with redirect_stdout(printed):
        exec(compile(tree, "cell", "exec"), names)
        value = eval(compile(last, "cell", "eval"), names) if last else None
    outputs: list[dict[str, Any]] = []
    if printed.getvalue():
        outputs.append({"name": "stdout", "output_type": "stream", "text": lines(printed.getvalue())})
    if isinstance(value, go.Figure):
        shown = {"application/vnd.plotly.v1+json": json.loads(value.to_json()), "text/plain": ["Figure"]}
        outputs.append({"data": shown, "metadata": {}, "output_type": "display_data"})
    elif value is not None:
        outputs.append({"data": {"text/plain": lines(repr(value))}, "metadata": {}, "output_type": "display_data"})
    return outputs


def lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def ran(notebook: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """What every cell of code says when all are run in order in the working directory."""
    names: dict[str, Any] = {"__name__": "__main__"}
    return [run("".join(cell["source"]), names) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def said(outputs: list[dict[str, Any]]) -> list[list[str]]:
    """The text of a cell's outputs; of a figure that it is one."""
    return [output.get("text") or output["data"]["text/plain"] for output in outputs]


def test_the_cells_run_in_order_and_say_what_is_kept(tmp_path, monkeypatch):
    monkeypatch.delenv("FASP_CACHE", raising=False)
    monkeypatch.chdir(tmp_path)
    notebook = json.loads(NOTEBOOK.read_text("utf-8"))
    kept = [cell["outputs"] for cell in notebook["cells"] if cell["cell_type"] == "code"]
    found = ran(notebook)
    assert [*map(said, found)] == [*map(said, kept)], "run: PYTHONPATH=.:tests python tests/test_example.py"
    assert sum("application/vnd.plotly.v1+json" in str(outputs) for outputs in found) >= 4
    (exported,) = tmp_path.iterdir()
    assert len(PruningConfig.load(exported).pruned) == 27  # ⌊0.1 × 270⌋


def test_the_file_is_a_notebook():
    notebook = json.loads(NOTEBOOK.read_text("utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in notebook["cells"]}) == len(notebook["cells"])


def test_a_cell_s_last_value_and_what_it_prints_are_its_outputs():
    assert said(run("a = 2\nprint('x')\na + 1", {})) == [["x\n"], ["3"]]
    assert run("a = 2", {}) == []


def keep(path: Path) -> None:
    """Run the notebook and write what its cells say into it."""
    notebook = json.loads(path.read_text("utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        found = iter(ran(notebook))
        os.chdir(PROJECT)
    count = 0
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            count += 1
            cell["execution_count"], cell["outputs"] = count, next(found)
    path.write_text(json.dumps(notebook, ensure_ascii=False, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    keep(NOTEBOOK)
