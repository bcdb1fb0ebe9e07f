"""Any sequence classifier of transformers as scorer: toxicity, hate, regard, sentiment.

    open_scorer("hf:./regard-model#negative")           a folder that save_pretrained wrote, and the label to read
    open_scorer("hf:owner/toxic-model")                 a model in the hub's cache; its label is toxic or toxicity

The score is the label's probability as transformers' own TextClassificationPipeline computes it: a softmax over the
labels of a model for one label (`problem_type` single_label_classification, or none and several labels), a sigmoid for
one of several independent labels (multi_label_classification). A model with a single output is taken only where it says
that it is such a label; else the output may be any number. No code that comes with a model is run, pickled weights are
read as tensors only, and nothing is downloaded.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import cast

import numpy as np
import torch
from huggingface_hub import try_to_load_from_cache
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from fasp_core.errors import InputError, nearest
from fasp_core.files.paths import user_path
from fasp_core.models.fingerprint import model_fingerprint
from fasp_core.models.language_model import choose_device, model_name
from fasp_core.models.loading import check_complete, quiet_loading, unreadable
from fasp_core.toxicity.classifying import label_probabilities, longest_input

TOXIC = ("toxic", "toxicity")  # the labels that are read where none is named
MANY = "multi_label_classification"
UNUSED = re.compile(
    r"(^|\.)pooler\."
)  # checkpoints often keep the base model's pooler, which the classifier leaves out


class HfScorer:
    """The probability of one label by a sequence classifier; `where` is `FOLDER_OR_ID` or `FOLDER_OR_ID#label`.

    Raises InputError, in one line, for a model that is not on this machine, that is damaged or no sequence classifier,
    whose output is no probability, and for a label that it has not: the line lists those there are.
    """

    def __init__(self, where: str, *, device: str = "auto") -> None:
        source, _, label = where.partition("#")
        folder = model_folder(source)
        target = choose_device(device)
        self.model, self.tokenizer = _load(folder)
        names = cast("dict[int, str]", self.model.config.id2label)
        labels = [str(names[i]) for i in range(len(names))]
        self.softmax = _is_softmax(self.model.config, folder)
        self.index = _find_label(labels, label, folder)
        self.label = labels[self.index]
        self.name = f"hf-{_slug(model_name(source))[:35]}-{_slug(self.label)[:20]}"
        self.ref = f"hf:{user_path(source).absolute() if user_path(source).is_dir() else source}#{self.label}"
        _prepare_padding(self.model, self.tokenizer)
        self.fingerprint = _fingerprint(self.model, self.tokenizer, self.softmax, self.index)
        self.longest = longest_input(self.model, self.tokenizer)
        self.model.eval().requires_grad_(False).to(target)

    def score(self, texts: Sequence[str]) -> np.ndarray:
        """The label's probability for each text, float64 (n,)."""
        return label_probabilities(self.model, self.tokenizer, texts, self._probability, longest=self.longest)

    def _probability(self, logits: torch.Tensor) -> torch.Tensor:
        """(B, labels) to (B)."""
        return logits.softmax(-1)[:, self.index] if self.softmax else torch.sigmoid(logits[:, self.index])


def open_hf(where: str, *, device: str = "auto") -> HfScorer:
    """An `HfScorer`; the one that was opened last stays open, as long as its files do not change."""
    files = sorted(path for path in model_folder(where.partition("#")[0]).iterdir() if path.is_file())
    return _opened(where, device, *((path.name, path.stat().st_mtime_ns, path.stat().st_size) for path in files))


@lru_cache(maxsize=1)
def _opened(where: str, device: str, *state: tuple[str, int, int]) -> HfScorer:
    return HfScorer(where, device=device)


def model_folder(source: str) -> Path:
    """The folder that holds a model's files: the one given, or that of the hub's cache.

    Raises InputError where there is none.
    """
    path = user_path(source)
    if source and path.is_dir():
        if not (path / "config.json").is_file():
            raise InputError(f"{path} holds no config.json; give the folder that save_pretrained wrote")
        return path
    try:
        cached = try_to_load_from_cache(source, "config.json")
    except ValueError:  # not a name the hub could have
        cached = None
    if isinstance(cached, str):
        return Path(cached).parent
    raise InputError(
        f"scorer 'hf:{source}': no such folder, and no such model in the hub's cache; give a folder that "
        "save_pretrained wrote, or get a hub model first: hf download OWNER/NAME"
    )


def _load(folder: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    options = {"local_files_only": True, "trust_remote_code": False}
    try:
        with quiet_loading():
            config = AutoConfig.from_pretrained(folder, **options)
            model, report = AutoModelForSequenceClassification.from_pretrained(
                folder, config=config, dtype=torch.float32, weights_only=True, output_loading_info=True, **options
            )
            tokenizer = AutoTokenizer.from_pretrained(folder, **options)
    # Damage makes the readers raise whatever error: OSError, ValueError, SafetensorError, UnpicklingError, …
    except Exception as error:
        raise unreadable(folder, error) from error
    check_complete(folder, report | {"unexpected_keys": {k for k in report["unexpected_keys"] if not UNUSED.search(k)}})
    if tokenizer.vocab_size > model.get_input_embeddings().num_embeddings:
        raise InputError(f"{folder}: its tokenizer has more tokens than its model; they do not belong together")
    tokenizer.truncation_side, tokenizer.padding_side = "left", "right"
    return model, tokenizer


def _is_softmax(config: PreTrainedConfig, folder: Path) -> bool:
    """Whether the labels' probabilities sum to 1; False: each label has its own."""
    kind, outputs = config.problem_type, config.num_labels
    if kind == "regression":
        raise InputError(f"{folder} predicts a number, not the probability of a label; give a classifier")
    if outputs == 1 and kind != MANY:
        raise InputError(
            f"{folder} has a single output and does not say that it is a label's; if it was trained as a yes-or-no "
            f'label with a sigmoid, write "problem_type": "{MANY}" into its config.json'
        )
    return kind != MANY


def _find_label(labels: list[str], wanted: str, folder: Path) -> int:
    """The index of the named label (upper and lower case count only where two differ in nothing else)."""
    if wanted in labels:
        return labels.index(wanted)
    names = [wanted.casefold()] if wanted else list(TOXIC)
    found = [i for i, label in enumerate(labels) if label.casefold() in names]
    if len(found) == 1:
        return found[0]
    if wanted:
        raise InputError(f"{folder} has no label '{wanted}'; {nearest(wanted, labels)}")
    known = ", ".join(labels)
    raise InputError(f"{folder}: say which label is the score, as in hf:{folder}#{labels[-1]}; known: {known}")


def _prepare_padding(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """A classifier on a causal model reads the last token that is no padding, so it must know what padding is."""
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.convert_ids_to_tokens(0)
    if model.config.pad_token_id is None:
        model.config.pad_token_id = tokenizer.pad_token_id


def _fingerprint(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, softmax: bool, index: int) -> str:
    words = tokenizer.backend_tokenizer.to_str() if tokenizer.is_fast else sorted(tokenizer.get_vocab().items())
    made_by = [model_fingerprint(model), words, softmax, index]
    return hashlib.sha256(json.dumps(made_by).encode()).hexdigest()[:16]


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-")
