"""What is printed beside scores."""

from __future__ import annotations

import pytest

from fasp_core.cli.output import print_discount
from fasp_core.selection.description import IntactBias


@pytest.mark.parametrize(
    ("known", "size"),
    [
        (IntactBias(discount=0.7, discount_bias=0.00124), "about 0.00124"),
        (IntactBias(discount=0.7, discount_bias=0.0), "none is seen"),
    ],
)
def test_how_far_scores_by_advantages_may_be_off(known, size, capsys):
    print_discount(known)
    printed = capsys.readouterr().out
    assert printed == f"  scores by advantages, λ = 0.7; their own bias ({size}) is in the errors\n"


def test_nothing_is_said_of_scores_by_log_ratios(capsys):
    print_discount(IntactBias())
    assert capsys.readouterr().out == ""
