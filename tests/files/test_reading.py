"""Reading within bounds: one limit for files and uploads, and what a file that is none of ours is told.

The readers' other rules are tested where they are used: tests/selection/test_score_files.py, tests/data.
"""

from __future__ import annotations

import tomllib

import pytest

from fasp_core.errors import InputError
from fasp_core.files.paths import PROJECT
from fasp_core.files.reading import read_bytes, read_text
from fasp_core.limits import MAX_BYTES, MAX_JSON_BYTES


def test_uploads_end_where_reading_does():
    options = tomllib.loads((PROJECT / ".streamlit" / "config.toml").read_text("utf-8"))
    assert options["server"]["maxUploadSize"] * 2**20 == MAX_BYTES
    assert MAX_JSON_BYTES <= MAX_BYTES


@pytest.mark.parametrize("size", [4, 5])
def test_a_file_up_to_the_limit_is_read_and_one_byte_more_is_not(tmp_path, size):
    path = tmp_path / "x"
    path.write_bytes(b"a" * size)
    if size == 4:
        assert read_bytes(path, limit=4) == b"aaaa"
    else:
        with pytest.raises(InputError, match="larger than 0 MB"):
            read_bytes(path, limit=4)


def test_text_loses_its_byte_order_mark_and_names_the_row_it_fails_at(tmp_path):
    path = tmp_path / "x"
    path.write_bytes("\ufeffé\n".encode())
    assert read_text(path) == "é\n"
    path.write_bytes(b"a\nb\n\xff\n")
    with pytest.raises(InputError, match="row 3: not UTF-8"):
        read_text(path)
