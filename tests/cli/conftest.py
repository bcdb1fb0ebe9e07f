"""One command line, run in this process."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from fasp_core.cli.app import app


@pytest.fixture
def run():
    """Run one command line in this process."""

    def run(*args: object):
        return CliRunner().invoke(app, [str(arg) for arg in args], prog_name="python -m fasp_core")

    return run
