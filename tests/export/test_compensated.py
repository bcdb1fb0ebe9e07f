"""A configuration with compensation says so, and is exported, verified and described as the refitted model.

The refitted weights themselves are checked in tests/models/test_compensation.py, on every architecture.
"""

from __future__ import annotations

import json

import pytest
import torch
from helpers.made_study import made_evaluation
from safetensors.torch import load_file, save_file

from fasp_core.data.calibration import calibration_text
from fasp_core.errors import InputError
from fasp_core.evaluation import compensation
from fasp_core.export.checkpoints import export_checkpoint, load_configuration
from fasp_core.export.model_card import model_card
from fasp_core.export.pruning_config import PruningConfig
from fasp_core.export.verification import verify_checkpoint
from fasp_core.models.open_model import open_model
from fasp_core.selection.select_heads import Selection

pytestmark = pytest.mark.usefixtures("short_calibration_text")

HEADS = ((0, 1), (1, 0), (1, 3))


def selection_of(lm, heads=HEADS):
    return Selection(heads, (), "random", None, 0.0, 0.5, lm.layout.n_layers, lm.layout.heads_per_layer)


def config_of(lm, compensate="least_squares", heads=HEADS, **more):
    return PruningConfig.from_selection(selection_of(lm, heads), lm, compensate=compensate, **more)


@pytest.fixture(scope="module")
def lm(tiny_llama, tmp_path_factory):
    """A model in a folder, which verification can open again."""
    folder = tmp_path_factory.mktemp("model")
    tiny_llama.model.save_pretrained(folder)
    tiny_llama.tokenizer.save_pretrained(folder)
    return open_model(str(folder), device="cpu")


def test_the_record_says_what_is_refitted_and_on_what(tiny_llama):
    record = config_of(tiny_llama).compensation
    assert (record.how, record.ridge, record.n_tokens, record.intercept) == ("least_squares", 0.01, None, None)
    assert record.text.fingerprint == calibration_text().fingerprint
    mean = config_of(tiny_llama, "mean")
    assert (mean.compensation.how, mean.compensation.ridge) == ("mean", None)
    assert PruningConfig.loads(mean.to_json()) == mean
    assert "compensation" not in json.loads(config_of(tiny_llama, "none").to_json())  # as files were before
    assert config_of(tiny_llama, heads=()).compensation is None


def test_an_evaluation_with_another_compensation_is_refused(tiny_llama):
    hole = made_evaluation(HEADS, "religion", ["a", "b"], 1.0)
    with pytest.raises(InputError, match="the evaluation is with compensation 'none', the configuration with 'mean'"):
        config_of(tiny_llama, "mean", evaluation=hole)
    assert config_of(tiny_llama, "none", evaluation=hole).metrics


@pytest.mark.parametrize("how", ["mean", "least_squares"])
@pytest.mark.parametrize("form", ["masked", "compact"])
def test_verification_refits_and_finds_them_equal(lm, tmp_path, form, how):
    folder = export_checkpoint(lm, config_of(lm, how), tmp_path / "out", form=form)
    report = verify_checkpoint(folder, device="cpu")
    assert report.equal
    assert (report.compensate, report.n_pruned) == (how, 3)
    assert report.parameters.before == lm.model.num_parameters()


def test_a_checkpoint_without_the_refit_is_told(lm, tmp_path):
    """The same heads with a hole: the weights of a plain export under a configuration with compensation, and back."""
    with_refit = export_checkpoint(lm, config_of(lm), tmp_path / "refit", form="masked")
    plain = export_checkpoint(lm, config_of(lm, "none"), tmp_path / "plain", form="masked")
    load_configuration(with_refit).save(plain / "pruning.json")
    assert not verify_checkpoint(plain, device="cpu").equal
    changed = load_file(with_refit / "model.safetensors")
    name = next(name for name in changed if name.endswith("1.self_attn.o_proj.weight"))
    changed[name][:, 10] *= 1.1
    save_file(changed, with_refit / "model.safetensors", {"format": "pt"})
    assert not verify_checkpoint(with_refit, device="cpu").equal


def test_half_precision_is_refitted_before_it_is_rounded(tiny_llama, tmp_path):
    tiny_llama.model.save_pretrained(tmp_path / "base")
    tiny_llama.tokenizer.save_pretrained(tmp_path / "base")
    half = open_model(str(tmp_path / "base"), device="cpu", dtype="bfloat16")
    folder = export_checkpoint(half, config_of(half), tmp_path / "half", form="masked")
    assert load_file(folder / "model.safetensors")["model.embed_tokens.weight"].dtype == torch.bfloat16
    assert verify_checkpoint(folder, device="cpu").equal


def test_another_text_is_refused(tiny_llama, tmp_path):
    config = config_of(tiny_llama)
    other = config.compensation.text.model_copy(update={"fingerprint": "0" * 16})
    config = config.model_copy(update={"compensation": config.compensation.model_copy(update={"text": other})})
    with pytest.raises(InputError, match=r"asks for a refit on the text calibration \(0{16}\)"):
        export_checkpoint(tiny_llama, config, tmp_path / "out", form="masked")
    assert not (tmp_path / "out").exists()


def test_the_card_says_it(lm, tmp_path):
    folder = export_checkpoint(lm, config_of(lm), tmp_path / "out", form="masked")
    card, n_tokens = (folder / "README.md").read_text("utf-8"), load_configuration(folder).compensation.n_tokens
    assert n_tokens == sum(map(len, compensation.calibration_windows(lm.tokenizer)))
    assert f"refitted (least squares, ridge 0.01) on {n_tokens:,} tokens of the text calibration, on which" in card
    assert "intercepts are in biases that the config's attention_bias adds." in card
    assert "a bias included" in card
    assert "chosen by their scores" not in card  # by chance
    made = config_of(lm)
    known = made.method.model_copy(update={"scores_under": "least_squares"})
    assert (
        "## Why\n\nChosen by the method `random`, a share α = 0.5 of all heads.\n\nThe heads were chosen by their "
        in (model_card(made.model_copy(update={"method": known}), "masked"))
    )
    plain = export_checkpoint(lm, config_of(lm, "none"), tmp_path / "plain", form="masked")
    assert "take over" not in (plain / "README.md").read_text("utf-8")
