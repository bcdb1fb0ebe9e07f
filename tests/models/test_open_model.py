"""Every kind of reference opens, and everything wrong with one is a single line."""

from __future__ import annotations

import json
import pickle
import shutil
from dataclasses import replace
from functools import partial

import pytest
import torch
from helpers import tiny
from transformers import BertConfig, BertForMaskedLM, T5Config, T5ForConditionalGeneration

from fasp_core.errors import InputError
from fasp_core.models import open_model as room
from fasp_core.models.language_model import LanguageModel
from fasp_core.models.open_model import model_place, open_model, reopen_model

TEXT = "Zoë says: hello 👋"


@pytest.fixture(scope="module")
def saved(tiny_llama, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "Tiny llama"
    tiny_llama.model.save_pretrained(folder)
    tiny_llama.tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    """A copy of the saved model that a test may damage."""
    return shutil.copytree(saved, tmp_path / "model")


def logits(lm, text=TEXT):
    return lm.model(**lm.tokenizer(text, return_tensors="pt").to(lm.device)).logits


def refused(ref, **options):
    with pytest.raises(InputError) as caught:
        open_model(ref, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


class TestFolder:
    def test_opens_as_it_was_saved(self, saved, tiny_llama):
        lm = open_model(str(saved))
        assert (lm.ref, lm.name) == (str(saved), "tiny-llama")
        assert (lm.device.type, lm.dtype, lm.max_length) == ("cpu", torch.float32, 512)
        assert (lm.layout.n_layers, lm.layout.heads_per_layer, lm.layout.head_dim) == (3, 4, 8)
        assert lm.fingerprint == tiny_llama.fingerprint
        assert torch.equal(logits(lm), logits(tiny_llama))

    def test_is_ready_to_be_scored(self, saved):
        lm = open_model(saved)
        assert not lm.model.training
        assert not any(p.requires_grad for p in lm.model.parameters())
        batch = lm.tokenizer(["a", "abc"], padding=True)
        assert [sum(mask) for mask in batch["attention_mask"]] == [1, 3]
        assert batch["attention_mask"][0] == [0, 0, 1]

    def test_dtype_is_as_asked(self, saved):
        assert open_model(saved, dtype="bfloat16").dtype == torch.bfloat16

    def test_prints_nothing(self, saved, capfd):
        open_model(saved)
        assert capfd.readouterr() == ("", "")

    def test_without_config(self, folder):
        (folder / "config.json").unlink()
        assert "no config.json" in refused(folder)

    def test_a_gguf_file_in_it_is_pointed_out(self, tmp_path):
        (tmp_path / "m.gguf").touch()
        assert "give the GGUF file itself" in refused(tmp_path)

    @pytest.mark.parametrize("config", ["{", "{}", '{"model_type": "nonesuch"}'])
    def test_damaged_config(self, folder, config):
        (folder / "config.json").write_text(config)
        assert "cannot be read as a model" in refused(folder)

    @pytest.mark.parametrize("keep", [0, 4, 1000, -1])
    def test_truncated_weights(self, folder, keep):
        weights = folder / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:keep])
        assert "may be cut short" in refused(folder)

    def test_missing_weights(self, folder):
        (folder / "model.safetensors").unlink()
        assert "cannot be read as a model" in refused(folder)

    def test_weights_of_another_shape(self, folder):
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "intermediate_size": 64}))
        assert "cannot be read as a model" in refused(folder)

    def test_weights_of_fewer_layers_are_not_filled_up_at_random(self, folder):
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 4}))
        assert "lacks 9 of the model's weights, first model.layers.3." in refused(folder)

    def test_without_tokenizer(self, folder):
        for file in folder.glob("token*"):
            file.unlink()
        assert "cannot be read as a model" in refused(folder)

    def test_tokenizer_of_another_model(self, folder):
        lm = tiny.make_language_model(tiny.LLAMA)
        lm.model.resize_token_embeddings(100)
        lm.model.save_pretrained(folder)
        assert "its tokenizer has 259 tokens and its model 100" in refused(folder)

    def test_pickled_weights_are_tensors_only(self, folder, tiny_llama, tmp_path):
        (folder / "model.safetensors").unlink()
        torch.save(tiny_llama.model.state_dict(), folder / "pytorch_model.bin")
        assert open_model(folder).fingerprint == tiny_llama.fingerprint
        trap = tmp_path / "sprung"

        class Trap:
            def __reduce__(self):
                return open, (str(trap), "w")

        (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"x": Trap()}))
        assert "cannot be read as a model" in refused(folder)
        assert not trap.exists()

    def test_code_that_comes_with_it_is_not_run(self, folder, tmp_path):
        trap = tmp_path / "sprung"
        (folder / "evil.py").write_text(f"open({str(trap)!r}, 'w')\nclass C: pass\n")
        (folder / "config.json").write_text(
            json.dumps({"model_type": "evil", "auto_map": {"AutoConfig": "evil.C", "AutoModelForCausalLM": "evil.C"}})
        )
        assert "cannot be read as a model" in refused(folder)
        assert not trap.exists()

    @pytest.mark.parametrize(
        ("model", "config"),
        [
            (
                T5ForConditionalGeneration,
                T5Config(d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2, vocab_size=300),
            ),
            (
                BertForMaskedLM,
                BertConfig(
                    hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, vocab_size=300
                ),
            ),
        ],
    )
    def test_not_a_causal_model(self, tmp_path, model, config):
        model(config).save_pretrained(tmp_path)
        assert f"is not a causal language model ({model.__name__})" in refused(tmp_path)


class TestReferences:
    def test_a_damaged_default_model_names_its_folder(self, folder, monkeypatch):
        (folder / "model.safetensors").write_bytes(b"")
        monkeypatch.setattr(room, "default_model_folder", lambda: folder)
        assert f"remove {folder} and run 'make setup'" in refused("default")

    @pytest.mark.parametrize("ref", ["./nowhere", "/no/where", "a/b/c", "no.gguf", "~/no where"])
    def test_no_such_file(self, ref):
        assert "there is no file or folder" in refused(ref)

    def test_a_file_of_another_kind(self, tmp_path):
        (tmp_path / "model.bin").touch()
        assert "is a file, but not a .gguf file" in refused(tmp_path / "model.bin")

    def test_hub_out_of_reach(self):
        assert "cannot reach the model hub and 'gpt2' is not in the local cache" in refused("gpt2")

    def test_a_hub_that_does_not_answer_is_asked_once(self, monkeypatch):
        asked = []

        class Session:
            def head(self, url, timeout):
                asked.append(timeout)
                raise TimeoutError

        monkeypatch.setattr(room, "get_session", Session)
        assert "cannot reach" in refused("some-one/some-model")
        assert asked == [room.PROBE_SECONDS]

    def test_a_model_in_the_local_cache_opens_without_the_hub(self, saved, tiny_llama, tmp_path, monkeypatch):
        """The cache's own layout: a snapshot named by its commit, and the commit that `main` stands for."""
        commit = "0" * 40
        home = tmp_path / "models--some-one--some-model"
        shutil.copytree(saved, home / "snapshots" / commit)
        (home / "refs").mkdir()
        (home / "refs" / "main").write_text(commit)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
        monkeypatch.setattr("transformers.utils.hub.constants.HF_HUB_CACHE", str(tmp_path))
        monkeypatch.setattr(room, "_hub_in_reach", lambda: pytest.fail("the hub was asked"))
        lm = open_model("some-one/some-model")
        assert lm.fingerprint == tiny_llama.fingerprint
        assert lm.name == "some-one-some-model"

    @pytest.mark.parametrize("device", ["tpu", "cpu:x", "", "meta", "cuda:99"])
    def test_unknown_device(self, device):
        assert "device" in refused("default", device=device)

    def test_cuda_without_a_gpu(self, monkeypatch):
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
        assert "PyTorch sees 0 GPUs" in refused("default", device="cuda")

    def test_unknown_dtype(self):
        assert "did you mean 'float16'" in refused("default", dtype="float-16")


class TestReopen:
    """A study's record opens the model as it was scored."""

    def record(self, lm):
        return {**model_place(lm), "fingerprint": lm.fingerprint, "dtype": str(lm.dtype).removeprefix("torch.")}

    @pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
    def test_in_its_number_format(self, saved, dtype):
        lm = open_model(saved, device="cpu", dtype=dtype)
        again = reopen_model(self.record(lm), "s")
        assert (again.dtype, again.fingerprint) == (lm.dtype, lm.fingerprint)

    def test_from_another_working_directory(self, folder, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        lm = open_model("./model", device="cpu")
        assert (lm.ref, lm.name) == (str(folder), "model")
        assert model_place(lm) == {"ref": str(folder), "relative_ref": "model"}
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        assert reopen_model(self.record(lm), "s").fingerprint == lm.fingerprint

    def test_after_a_move_together_with_the_working_directory(self, folder, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        record = self.record(open_model("./model", device="cpu"))
        (tmp_path / "moved").mkdir()
        folder.rename(tmp_path / "moved" / "model")
        monkeypatch.chdir(tmp_path / "moved")
        assert reopen_model(record, "s").fingerprint == record["fingerprint"]
        monkeypatch.chdir(tmp_path)
        with pytest.raises(InputError, match=f"there is no file or folder {folder}"):
            reopen_model(record, "s")

    def test_by_a_record_of_an_earlier_version(self, saved):
        lm = open_model(saved, device="cpu")
        assert reopen_model({"ref": str(saved), "fingerprint": lm.fingerprint}, "s").fingerprint == lm.fingerprint

    def test_the_number_format_is_found_where_the_record_does_not_tell(self, saved):
        lm = open_model(saved, device="cpu", dtype="bfloat16")
        again = reopen_model({"ref": str(saved), "fingerprint": lm.fingerprint}, "s")
        assert (again.dtype, again.fingerprint) == (torch.bfloat16, lm.fingerprint)

    @pytest.mark.parametrize("dtype", [None, "float32"])
    def test_a_wrong_model_is_opened_once(self, saved, dtype, monkeypatch):
        opened = []
        monkeypatch.setattr(room, "open_model", lambda ref, **options: opened.append(ref) or open_model(ref, **options))
        with pytest.raises(InputError, match="is not the model"):
            reopen_model({"ref": str(saved), "fingerprint": "0" * 16, "dtype": dtype}, "s", device="cpu")
        assert opened == [str(saved)]

    def test_half_precision_on_a_cpu_says_what_it_costs(self, saved):
        assert open_model(saved, device="cpu").precision_note is None
        note = open_model(saved, device="cpu", dtype="bfloat16").precision_note
        assert "computes in bfloat16, which most CPUs do more slowly than float32" in note

    def test_another_model_is_not_it(self, saved):
        with pytest.raises(InputError, match="is not the model that study 's' was made with"):
            reopen_model({"ref": str(saved), "fingerprint": "0" * 16, "dtype": "float32"}, "s")

    def test_names_that_are_no_paths_stay(self, tiny_llama):
        assert model_place(replace(tiny_llama, ref="default")) == {"ref": "default"}
        assert model_place(replace(tiny_llama, ref="org/name")) == {"ref": "org/name"}


def test_a_library_that_is_not_here_is_named(folder):
    """Nothing untrue: the files are not damaged, so there is nothing to fetch again."""
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "bitsandbytes", "load_in_8bit": True}
    (folder / "config.json").write_text(json.dumps(config))
    message = refused(folder)
    assert "needs a library that is not here" in message
    assert "bitsandbytes" in message
    assert "fetch it again" not in message


def test_auto_dtype_halves_large_models_on_a_gpu_only():
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    for count, on_gpu in ((135_000_000, torch.float32), (1_000_000_000, torch.bfloat16)):
        assert room._dtype("auto", cpu, partial(int, count)) == torch.float32
        assert room._dtype("auto", gpu, partial(int, count)) == on_gpu
    assert room._dtype("float16", cpu, lambda: 1) == torch.float16


def test_parameters_are_counted_without_making_them(tiny_llama):
    assert room._count_parameters(tiny.LLAMA) == sum(p.numel() for p in tiny_llama.model.parameters())


def test_a_tokenizer_without_padding_pads_with_its_end_token():
    tokenizer = tiny.make_tokenizer()
    tokenizer.pad_token = None
    lm = LanguageModel.of(tiny.make_language_model(tiny.GPT2).model, tokenizer, ref="x")
    assert lm.tokenizer.pad_token == lm.tokenizer.eos_token


def test_the_default_model(default_model):
    assert (default_model.ref, default_model.name, default_model.max_length) == ("default", "default", 8192)
    assert (default_model.layout.n_layers, default_model.layout.heads_per_layer) == (30, 9)
    assert (default_model.layout.head_dim, default_model.layout.query_group) == (64, 3)
    ids = default_model.tokenizer("The capital of France is", return_tensors="pt")
    assert default_model.tokenizer.decode(default_model.model(**ids).logits[0, -1].argmax()) == " Paris"
