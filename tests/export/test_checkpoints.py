"""Exports: what a folder holds, that it loads and is proven equal elsewhere, and that damage is one clear line.

Covers `model_card`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys

import pytest
import torch
from helpers import tiny
from huggingface_hub.errors import StrictDataclassError
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM
from typer.testing import CliRunner

from fasp_core import open_model
from fasp_core.cli.app import app
from fasp_core.errors import InputError
from fasp_core.export import checkpoints, verification
from fasp_core.export.checkpoints import export_checkpoint, load_checkpoint, load_pruned, save_pruned
from fasp_core.export.provenance import EstimateRecord, MetricsRecord, SplitMetrics
from fasp_core.export.pruning_config import PruningConfig
from fasp_core.export.verification import verify_checkpoint
from fasp_core.files.paths import PROJECT
from fasp_core.models import open_model as models
from fasp_core.models.heads import gate_heads
from fasp_core.models.removal import remove_heads
from fasp_core.selection.select_heads import Selection

HEADS = ((0, 1), (1, 0), (1, 1), (1, 2))
# A process costs seconds, so each one proves all that needs it.
OLD_PYTHON = """
import sys
sys.modules["fasp_core"] = None  # as where it is not installed: importing it fails
exec(sys.argv[1])  # the code of a model card
from transformers import AutoModelForCausalLM, AutoTokenizer
import torch
for folder in sys.argv[2:]:
    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    print(repr(float(model(torch.tensor([[5, 6, 7, 8]])).logits.double().sum())))
try:
    import fasp_core
    sys.exit("fasp_core can be imported: this proves nothing")
except ImportError:
    pass
"""
THEN_VERIFY = """
import sys
sys.path.insert(0, sys.argv.pop(1))
exec(sys.argv.pop(1))  # the code of a model card
from runpy import run_module
run_module("fasp_core", run_name="__main__", alter_sys=True)
"""


@pytest.fixture(scope="module")
def lm(tmp_path_factory):
    """A tiny model opened from a folder, so that its configuration names what opens it again."""
    made, folder = tiny.make_architecture("llama_grouped"), tmp_path_factory.mktemp("base")
    made.model.save_pretrained(folder)
    made.tokenizer.save_pretrained(folder)
    return open_model(str(folder), device="cpu")


def configuration(lm, heads=HEADS):
    layout = lm.layout
    selection = Selection(
        pruned=tuple(heads),
        protected=((0, 0),),
        method="fasp",
        axis="religion",
        gamma=0.125,
        alpha=0.5,
        n_layers=layout.n_layers,
        heads_per_layer=layout.heads_per_layer,
    )
    return PruningConfig.from_selection(selection, lm)


@pytest.fixture
def config(lm):
    return configuration(lm)


@pytest.fixture
def run():
    """Run one command line in this process."""
    return lambda *args: CliRunner().invoke(app, [str(arg) for arg in args], prog_name="python -m fasp_core")


def gated_sum(lm, heads):
    with gate_heads(lm.model, heads):
        return float(lm.model(torch.tensor([[5, 6, 7, 8]])).logits.double().sum())


def elsewhere(code, *args, cwd):
    """What a fresh process prints, line by line; isolated (`-I`), it sees neither this folder nor PYTHONPATH."""
    command = [sys.executable, "-I", "-c", code, *map(str, args)]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=cwd, env=env)
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def code_of_the_card(folder):
    code = (folder / "README.md").read_text().split("```python\n")[1].split("\n```")[0]
    return code.replace("FOLDER", str(folder))


@pytest.mark.parametrize("form", ["masked", "compact"])
def test_a_folder_holds_all_that_belongs_to_it(lm, config, tmp_path, form):
    folder = export_checkpoint(lm, config, tmp_path / "a" / form, form=form)
    names = {path.name for path in folder.iterdir()}
    assert names >= {"config.json", "model.safetensors", "tokenizer.json", "pruning.json", "README.md"}
    assert os.listdir(tmp_path / "a") == [form]
    assert PruningConfig.load(folder / "pruning.json") == config
    assert AutoTokenizer.from_pretrained(folder)("héllo").input_ids == lm.tokenizer("héllo").input_ids
    report = verify_checkpoint(folder, device="cpu")
    assert report.equal
    assert report.difference <= 1e-5
    assert (report.same_tokens, report.form, report.n_pruned) == (80, form, 4)
    smaller = report.parameters.after < report.parameters.before
    assert smaller == (form == "compact")


def test_the_command_line_exports_and_a_fresh_process_loads_and_verifies(lm, config, tmp_path, run):
    """It loads the compact checkpoint by the code of its card, too."""
    config.save(tmp_path / "chosen.json")
    result = run("export", tmp_path / "chosen.json", "--format", "compact", "--to", tmp_path / "out")
    assert (result.exit_code, result.stdout.splitlines()[0]) == (
        0,
        f"{tmp_path}/out: 4 of 8 heads pruned, 1 protected",
    )
    card = code_of_the_card(tmp_path / "out")
    said = elsewhere(THEN_VERIFY, PROJECT, card, "verify", tmp_path / "out", "--json", cwd=tmp_path)
    assert said[0].startswith("Hello, my name is")
    report = json.loads("\n".join(said[said.index("{") :]))
    assert report["equal"]
    assert report["difference"] <= 1e-5
    assert report["weight_bytes"]["after"] < report["weight_bytes"]["before"]
    assert report["tokens_per_second"]["after"] > 0
    shown = run("verify", tmp_path / "out")
    assert "the compact checkpoint equals the model with 4 heads gated" in shown.stdout
    assert "80 of 80 generated tokens equal" in shown.stdout


def test_a_configuration_is_copied_as_json(config, tmp_path, run):
    config.save(tmp_path / "chosen.json")
    assert run("export", tmp_path / "chosen.json", "--to", tmp_path / "copy.json").exit_code == 0
    assert PruningConfig.load(tmp_path / "copy.json") == config
    assert json.loads(run("export", tmp_path / "chosen.json").stdout) == config.model_dump(mode="json")


def test_a_checkpoint_that_is_another_model_is_found_out(lm, config, tmp_path, run):
    folder = export_checkpoint(lm, config, tmp_path / "m", form="masked")
    model = load_checkpoint(folder)
    with torch.no_grad():
        model.model.layers[0].self_attn.o_proj.weight[:, 8] += 1.0  # head (0, 1), one of the pruned
    model.save_pretrained(folder)
    assert not verify_checkpoint(folder, device="cpu").equal
    result = run("verify", folder)
    assert result.exit_code == 1
    assert "DIFFERS FROM" in result.stdout
    assert re.fullmatch(r"error: .* is not the gated model: logits differ by .* of the largest\n", result.stderr)


def test_a_configuration_measured_in_bfloat16_is_exported_from_bfloat16(lm, tmp_path, run):
    """Opened in float32, the model would have another fingerprint and be refused."""
    half = open_model(lm.ref, device="cpu", dtype="bfloat16")
    made = configuration(half)
    assert made.model.dtype == "bfloat16"
    untold = made.model_copy(update={"model": made.model.model_copy(update={"dtype": None})})  # of an earlier version
    for number, config in enumerate((made, untold)):
        config.save(tmp_path / "half.json")
        result = run("export", tmp_path / "half.json", "--format", "masked", "--to", tmp_path / f"out{number}")
        assert result.exit_code == 0, result.output
        assert verify_checkpoint(tmp_path / f"out{number}", device="cpu").equal


def test_a_configuration_without_a_model_is_exported_from_the_one_given(lm, config, tmp_path, run):
    nameless = {"ref": None, "fingerprint": None, "dtype": None}
    config.model_copy(update={"model": config.model.model_copy(update=nameless)}).save(tmp_path / "n.json")
    options = ("--format", "compact", "--to", tmp_path / "out", "--base", lm.ref, "--dtype", "bfloat16")
    assert run("export", tmp_path / "n.json", *options).exit_code == 0
    assert load_pruned(tmp_path / "out").dtype == torch.bfloat16


def test_generation_settings_of_the_model_do_not_reach_the_proof(lm, config, tmp_path, monkeypatch):
    """The tokens compared are the likeliest ones, whatever a folder's settings ask for."""
    folder = export_checkpoint(lm, config, tmp_path / "out", form="masked")
    settings = {"repetition_penalty": 5.0, "num_beams": 3, "no_repeat_ngram_size": 1}
    (folder / "generation_config.json").write_text(json.dumps(settings))
    assert verify_checkpoint(folder, device="cpu").equal


def test_bfloat16_stays_bfloat16(lm, config, tmp_path):
    half = open_model(lm.ref, device="cpu", dtype="bfloat16")
    folder = export_checkpoint(half, configuration(half), tmp_path / "half", form="compact")
    assert load_pruned(folder).dtype == torch.bfloat16
    assert verify_checkpoint(folder, device="cpu").equal


@pytest.mark.parametrize("form", ["masked", "compact"])
def test_an_export_has_the_number_format_of_its_source(tmp_path, form):
    """Opened in float32, as on a CPU; the heads that stay have the source's weights bit for bit."""
    made, source = tiny.make_architecture("llama_grouped"), tmp_path / "source"
    made.model.to(torch.bfloat16).save_pretrained(source)
    made.tokenizer.save_pretrained(source)
    lm = open_model(str(source), device="cpu")
    assert (lm.dtype, lm.source_dtype) == (torch.float32, torch.bfloat16)
    before = lm.model.model.layers[0].mlp.up_proj.weight.clone()
    folder = export_checkpoint(lm, configuration(lm), tmp_path / form, form=form)
    exported = load_checkpoint(folder)
    assert exported.dtype == torch.bfloat16
    assert torch.equal(exported.model.layers[0].mlp.up_proj.weight, made.model.model.layers[0].mlp.up_proj.weight)
    ratio = (folder / "model.safetensors").stat().st_size / (source / "model.safetensors").stat().st_size
    assert ratio < 1.05
    assert verify_checkpoint(folder, device="cpu").equal
    assert lm.model.dtype == torch.float32
    assert torch.equal(lm.model.model.layers[0].mlp.up_proj.weight, before)


def test_a_loader_that_does_not_know_compact_checkpoints_stops(lm, tmp_path):
    """With all heads of a layer gone it filled their place with random weights, and a warning."""
    config = configuration(lm, [(1, 0), (1, 1), (1, 2), (1, 3)])
    folder = export_checkpoint(lm, config, tmp_path / "compact", form="compact")
    for loader in (AutoModelForCausalLM, LlamaForCausalLM):
        with pytest.raises((ValueError, StrictDataclassError)):
            loader.from_pretrained(folder)
    with gate_heads(lm.model, config.pruned):
        expected = lm.model(torch.tensor([[5, 6, 7, 8]])).logits
    torch.testing.assert_close(load_pruned(folder)(torch.tensor([[5, 6, 7, 8]])).logits, expected)
    assert AutoTokenizer.from_pretrained(folder)("a b")["input_ids"] == lm.tokenizer("a b")["input_ids"]


def test_a_compact_checkpoint_of_an_earlier_version_still_opens(lm, config, tmp_path):
    folder = export_checkpoint(lm, config, tmp_path / "c", form="compact")
    ids = torch.tensor([[5, 6, 7, 8]])
    expected = load_pruned(folder)(ids).logits
    file = folder / "config.json"
    file.write_text(json.loads(file.read_text())["base_config"])
    assert torch.equal(load_pruned(folder)(ids).logits, expected)


def test_tied_weights_are_stored_once_and_tied_again(tmp_path):
    lm = tiny.make_architecture("gemma2")
    folder = export_checkpoint(lm, configuration(lm), tmp_path / "tied", form="compact")
    model = load_pruned(folder)
    assert model.lm_head.weight is model.model.embed_tokens.weight
    stored = (folder / "model.safetensors").stat().st_size
    assert stored < 4 * model.num_parameters() + 20_000


def test_opened_as_a_model_a_compact_checkpoint_names_what_opens_it(lm, config, tmp_path):
    folder = export_checkpoint(lm, config, tmp_path / "c", form="compact")
    with pytest.raises(InputError, match=r"^.*/c is a compact checkpoint, .*; open it with fasp_core\.load_pruned, or"):
        open_model(str(folder))
    assert open_model(str(export_checkpoint(lm, config, tmp_path / "m", form="masked"))).layout.n_heads == 8


class TestNothingIsLost:
    def test_a_folder_is_not_overwritten_without_force(self, lm, config, tmp_path):
        folder = export_checkpoint(lm, config, tmp_path / "x", form="masked")
        with pytest.raises(InputError, match=r"x is there already; choose another folder, or .* --force"):
            export_checkpoint(lm, config, folder, form="compact")
        assert checkpoints.checkpoint_form(folder) == "masked"
        export_checkpoint(lm, config, folder, form="compact", force=True)
        assert checkpoints.checkpoint_form(folder) == "compact"
        assert os.listdir(tmp_path) == ["x"]

    def test_force_replaces_exports_only(self, lm, config, tmp_path):
        (tmp_path / "thesis").mkdir()
        (tmp_path / "thesis" / "final.tex").write_text("years of work")
        (tmp_path / "link").symlink_to(tmp_path / "thesis")
        for name in ("thesis", "link", "thesis/../thesis", "thesis/final.tex"):
            with pytest.raises(InputError, match="is not replaced: it holds no export"):
                export_checkpoint(lm, config, tmp_path / name, form="masked", force=True)
        assert (tmp_path / "thesis" / "final.tex").read_text() == "years of work"

    @pytest.mark.parametrize("existing", [False, True])
    def test_a_failed_export_leaves_what_was_there(self, lm, config, tmp_path, monkeypatch, existing):
        if existing:
            export_checkpoint(lm, config, tmp_path / "x", form="masked")
        before = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*"))

        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(checkpoints, "model_card", full)
        with pytest.raises(InputError, match="the disk is full"):
            export_checkpoint(lm, config, tmp_path / "x", form="compact", force=existing)
        assert sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*")) == before

    def test_what_a_killed_replacement_left_is_cleared(self, lm, config, tmp_path):
        folder = export_checkpoint(lm, config, tmp_path / "x", form="masked")
        for leftover in (".x.replacement", ".x.replaced"):
            shutil.copytree(folder, tmp_path / leftover)
        export_checkpoint(lm, config, folder, form="compact", force=True)
        assert os.listdir(tmp_path) == ["x"]


class TestRefused:
    """Each with one line."""

    @pytest.fixture
    def compact(self, lm, config, tmp_path):
        return export_checkpoint(lm, config, tmp_path / "c", form="compact")

    def refused(self, folder, words):
        with pytest.raises(InputError, match=words) as caught:
            load_pruned(folder)
        assert "\n" not in str(caught.value)

    def test_a_configuration_for_another_shape(self, lm, tmp_path):
        other = configuration(tiny.make_language_model(tiny.LLAMA))
        with pytest.raises(InputError, match=r"is for 3 layers × 4 heads of size 8 .* this model has 2 layers × 4"):
            export_checkpoint(lm, other, tmp_path / "x", form="masked")
        assert not (tmp_path / "x").exists()

    def test_a_configuration_for_other_weights(self, lm, tmp_path):
        other = configuration(tiny.make_language_model(tiny.ARCHITECTURES["llama_grouped"], seed=7))
        with pytest.raises(InputError, match="made for other weights"):
            export_checkpoint(lm, other, tmp_path / "x", form="masked")

    def test_an_unknown_schema_version(self, compact, run):
        text = (compact / "pruning.json").read_text().replace('"schema_version": 1', '"schema_version": 9')
        (compact / "pruning.json").write_text(text)
        self.refused(compact, "schema version 9, this program reads 1")
        result = run("export", compact / "pruning.json", "--to", compact.parent / "y", "--format", "masked")
        assert result.exit_code == 2
        assert "schema version 9" in result.stderr

    def test_heads_that_do_not_exist(self, compact):
        made = json.loads((compact / "pruning.json").read_text())
        made["pruned_heads"]["1"] = [17]
        (compact / "pruning.json").write_text(json.dumps(made))
        self.refused(compact, r"head \(1, 17\) does not exist")

    def test_other_heads_than_those_cut(self, compact):
        made = json.loads((compact / "pruning.json").read_text())
        made["pruned_heads"] = {"1": [0]}
        (compact / "pruning.json").write_text(json.dumps(made))
        self.refused(compact, "pruning.json and model.safetensors do not belong together")

    @pytest.mark.parametrize("kept", [0, 4, 300, 0.5, 0.999])
    def test_truncated_weights(self, lm, config, tmp_path, kept):
        for form in ("compact", "masked"):
            folder = export_checkpoint(lm, config, tmp_path / form, form=form)
            path = folder / "model.safetensors"
            data = path.read_bytes()
            path.write_bytes(data[: kept if isinstance(kept, int) else int(kept * len(data))])
            with pytest.raises(InputError, match="cut short") as caught:
                load_checkpoint(folder)
            assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
    def test_a_missing_file(self, compact, name):
        (compact / name).unlink()
        self.refused(compact, "cannot be read as a model")

    @pytest.mark.parametrize("name", ["config.json", "model.safetensors", "pruning.json"])
    def test_a_link_out_of_the_folder(self, compact, name):
        (compact / name).rename(compact.parent / "outside")
        (compact / name).symlink_to(compact.parent / "outside")
        self.refused(compact, f"{name} leads outside its folder")

    def test_folders_of_something_else(self, lm, config, tmp_path):
        self.refused(tmp_path, r"holds no export \(no pruning.json\)")
        self.refused(tmp_path / "nowhere", "holds no export")
        masked = export_checkpoint(lm, config, tmp_path / "m", form="masked")
        self.refused(masked, "is a masked checkpoint")

    def test_a_model_that_lacks_other_heads(self, lm, config, tmp_path):
        for model in (lm.model, remove_heads(tiny.make_architecture("llama_grouped").model, [(0, 0)])):
            with pytest.raises(InputError, match=r"remove_heads\(model, config.pruned\) first"):
                save_pruned(model, tmp_path / "x", config)

    def test_a_base_model_that_is_another(self, lm, compact, tmp_path):
        other = tiny.make_language_model(tiny.ARCHITECTURES["llama_grouped"], seed=7)
        other.model.save_pretrained(tmp_path / "other")
        other.tokenizer.save_pretrained(tmp_path / "other")
        with pytest.raises(InputError, match=r"is not the model that the configuration was made for"):
            verify_checkpoint(compact, base=str(tmp_path / "other"), device="cpu")

    def test_a_wrong_base_model_is_opened_once(self, compact, tmp_path, monkeypatch):
        other = tiny.make_language_model(tiny.ARCHITECTURES["llama_grouped"], seed=7)
        opened = []
        monkeypatch.setattr(models, "open_model", lambda ref, **options: opened.append(ref) or other)
        with pytest.raises(InputError, match="is not the model"):
            verify_checkpoint(compact, device="cpu")
        assert len(opened) == 1

    def test_command_lines(self, config, compact, tmp_path, run):
        config.save(tmp_path / "c.json")
        nameless = config.model_copy(update={"model": config.model.model_copy(update={"ref": None})})
        nameless.save(tmp_path / "n.json")
        for args, words in (
            (("export", tmp_path / "c.json", "--format", "masked"), "--to is missing"),
            (("export", tmp_path / "c.json", "--to", tmp_path), "is a folder"),
            (("export", tmp_path / "c.json", "--to", tmp_path / "n.json"), "--force"),
            (("export", tmp_path / "c.json", "--axis", "religion"), "whose heads are chosen"),
            (("export", tmp_path / "c.json", "--to", compact, "--format", "masked"), "--force"),
            (("export", tmp_path / "n.json", "--to", tmp_path / "z", "--format", "masked"), "does not name a model"),
            (("export", tmp_path / "c.json", "--to", tmp_path / "z", "--format", "onnx"), "onnx"),
            (("verify", tmp_path / "nowhere"), "holds no export"),
        ):
            result = run(*args)
            assert result.exit_code == 2, (args, result.output)
            assert result.stderr.startswith("error: ")
            assert words in result.stderr
            assert result.stderr.count("\n") == 1


def test_the_model_card_tells_what_why_how_well_and_how_to_load(config):
    def metrics(ppl, bias):
        made = [EstimateRecord(value=v, se=0.1, low=v - 0.196, high=v + 0.196, n=50) for v in (ppl, bias, bias / 2)]
        return MetricsRecord(ppl=made[0], bias={"religion": made[1]}, bias_corrected={"religion": made[2]})

    split = SplitMetrics(before=metrics(30, 2), after=metrics(31, 1.5), change=metrics(1, -0.5), fraction_done=0.5)
    config = config.model_copy(update={"metrics": {"valid": split}, "notes": ["few descriptors"]})
    for form in ("masked", "compact"):
        card = checkpoints.model_card(config, form)
        assert "without 4 of its 8 attention heads" in card
        assert "| 0 | 1 |\n| 1 | 0, 1, 2 |" in card
        assert "axis `religion`" in card
        row = "| valid, exploratory (50 % measured) | "
        assert row + "perplexity | 30.00 ± 0.10 (29.80 to 30.20) | 31.00 ± 0.10 (30.80 to 31.20) |" in card
        assert row + "bias religion, by toxicity | 2.00 ± 0.10" in card
        assert row + "the same, noise-corrected | 1.00 ± 0.10" in card
        assert "cut short" in card
        assert "Nothing was measured on the test split" in card
        assert "* few descriptors" in card
        code = card.split("```python\n")[1].split("\n```")[0]
        assert len(code.splitlines()) == 5
        compile(code, "card", "exec")


class TestDefaultModel:
    """27 of 270 heads, among them a whole layer and a whole key group."""

    heads = (*((3, head) for head in range(9)), (5, 0), (5, 1), (5, 2), *((layer, 4) for layer in range(10, 25)))

    def test_compact_is_equal_and_smaller(self, default_model, tmp_path, monkeypatch):
        monkeypatch.setattr(verification, "TIMED_RUNS", 1)  # speeds are not looked at here
        folder = export_checkpoint(
            default_model, configuration(default_model, self.heads), tmp_path / "c", form="compact"
        )
        report = verify_checkpoint(folder, device="cpu")
        assert report.n_pruned == 27
        assert report.equal
        assert report.difference <= 1e-5
        assert report.same_tokens == report.n_tokens
        assert report.weight_bytes.after < report.weight_bytes.before
        shutil.rmtree(folder)

    def test_masked_needs_no_code_of_ours(self, lm, config, default_model, tmp_path):
        """Neither does that of a tiny model, which is loaded by the code of its card, too."""
        small = export_checkpoint(lm, config, tmp_path / "s", form="masked")
        folder = export_checkpoint(
            default_model, configuration(default_model, self.heads), tmp_path / "m", form="masked"
        )
        said = elsewhere(OLD_PYTHON, code_of_the_card(small), small, folder, cwd=tmp_path)
        assert said[0].startswith("Hello, my name is")
        expected = [gated_sum(lm, HEADS), gated_sum(default_model, self.heads)]
        assert [*map(float, said[-2:])] == pytest.approx(expected, rel=1e-5)
        shutil.rmtree(folder)
