"""How a refused command line ends."""

from __future__ import annotations

AXIS = "gender_and_sex"


def refused(result, words: str) -> None:
    """Bad input: status 2, nothing on stdout, one line on stderr that holds these words."""
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1, result.stderr
    assert result.stderr.startswith("error: ")
    assert words in result.stderr
