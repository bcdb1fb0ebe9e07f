"""A small file of prompts."""

from __future__ import annotations

from pathlib import Path

CSV = """prompt,axis,group,note
The doctor said,jobs,doctors,x
"A nurse, tired,",jobs,nurses,y
The nurse said,jobs,nurses,
A doctor went,jobs,doctors,z
"""


def write(folder: Path, content: str) -> Path:
    path = folder / "mine.csv"
    path.write_text(content, "utf-8")
    return path
