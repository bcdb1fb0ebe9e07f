"""What is typed where a file's name belongs: one line, whatever it is."""

from __future__ import annotations

import pytest

from fasp_core.data.articles import load_text
from fasp_core.data.prompts import load_prompts
from fasp_core.errors import InputError
from fasp_core.files.paths import user_path
from fasp_core.limits import MAX_ERROR
from fasp_core.models.open_model import open_model
from fasp_core.scoring.cost import model_shape
from fasp_core.toxicity.detoxify import open_detoxify

TYPED = ["x" * 5000, "a/" * 2500, "a\x00b", "~nobody-of-this-name/x"]


@pytest.mark.parametrize("text", TYPED)
@pytest.mark.parametrize("read", [load_text, load_prompts, open_model, model_shape, open_detoxify])
def test_a_text_that_no_file_can_be_called_is_one_short_line(read, text):
    with pytest.raises(InputError) as error:
        read(text)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 300


def test_a_usual_path_is_taken_as_it_is(tmp_path):
    assert user_path(str(tmp_path / "x")) == tmp_path / "x"


def test_a_line_with_a_long_name_keeps_its_beginning_and_its_end():
    line = str(InputError(f"no file '{'x' * 3_500_000}'; check the path"))
    assert line.startswith("no file 'xxx")
    assert line.endswith("xxx'; check the path")
    assert len(line) <= MAX_ERROR + 3
