"""Detoxify (Hanu & Unitary 2020): transformers that rate comments; `unbiased` is the published recipe's scorer.

The package `detoxify` builds the models and names their labels; the score is the sigmoid of the label toxicity.
`checkpoint` checks a file before the package sees it. Opening a scorer downloads nothing (`fetch` does, when asked):
the weights are looked for where torch.hub, and so Detoxify, puts them; config and tokenizer of the base model in a
folder of its name beside the weights, beside the weights, and in the hub's cache.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import cast

import numpy as np
import torch
from detoxify import Detoxify
from detoxify.detoxify import MODEL_URLS
from huggingface_hub import try_to_load_from_cache
from transformers import PreTrainedConfig, PreTrainedTokenizerBase

from fasp_core.errors import InputError, nearest
from fasp_core.files.paths import user_path
from fasp_core.models.language_model import choose_device
from fasp_core.models.loading import quiet_loading
from fasp_core.toxicity.checkpoint import Checkpoint
from fasp_core.toxicity.classifying import label_probabilities, longest_input

LABEL = "toxicity"


@dataclass(frozen=True)
class Published:
    """A released checkpoint: its address, which ends in the start of its SHA-256, and its base model on the hub."""

    url: str
    base: str

    @property
    def path(self) -> Path:
        """Where torch.hub keeps it."""
        return Path(torch.hub.get_dir(), "checkpoints", Path(self.url).name)

    @property
    def checksum(self) -> str:
        """The first hex digits of the file's SHA-256, as torch.hub checks them."""
        return Path(self.url).stem.rpartition("-")[2]

    @property
    def base_name(self) -> str:
        """The base model's name without its owner: the name in the checkpoint, and of the folder for its files."""
        return self.base.rpartition("/")[2]


PUBLISHED = {
    "unbiased": Published(MODEL_URLS["unbiased"], "FacebookAI/roberta-base"),
    "original": Published(MODEL_URLS["original"], "google-bert/bert-base-uncased"),
    "unbiased-small": Published(MODEL_URLS["unbiased-small"], "albert/albert-base-v2"),
    "original-small": Published(MODEL_URLS["original-small"], "albert/albert-base-v2"),
    "multilingual": Published(MODEL_URLS["multilingual"], "FacebookAI/xlm-roberta-base"),
}
ABOUT = {
    "unbiased": "RoBERTa, trained to rate identity terms by themselves less; the published recipe's scorer",
    "original": "BERT, trained on the Toxic Comment Challenge",
    "unbiased-small": "ALBERT, a tenth of unbiased's size",
    "original-small": "ALBERT, a tenth of original's size",
    "multilingual": "XLM-RoBERTa, seven languages",
}


class DetoxifyScorer:
    """A released model by its name, or a checkpoint by its path.

    Raises InputError where the weights or the base model's files are not on this machine (and says which file goes
    where), and for a checkpoint that is not whole, holds code, or does not fit its base model.
    """

    def __init__(self, which: str = "unbiased", *, device: str = "auto") -> None:
        path = _checkpoint_path(which)
        if which in PUBLISHED:
            self.name, self.ref = f"detoxify-{which}", f"detoxify:{which}"
        else:
            self.name = f"detoxify-{re.sub(r'[^A-Za-z0-9_-]+', '-', path.stem)[:50]}"
            self.ref = f"detoxify:{path}"
        content = _digest(path)
        if which in PUBLISHED and not content.startswith(PUBLISHED[which].checksum):
            raise InputError(f"{path}: not the file that was released (its checksum differs); download it again")
        where = choose_device(device)
        checkpoint = Checkpoint.read(path)
        folder = base_folder(checkpoint.base, path.parent)
        if folder is None:
            raise InputError(f"scorer '{self.ref}': {_base_hint(checkpoint.base, path.parent)}")
        config, loaded = _load(checkpoint, folder)
        if LABEL not in loaded.class_names:
            raise InputError(f"{path}: has no label '{LABEL}'; {nearest(LABEL, loaded.class_names)}")
        self.label = loaded.class_names.index(LABEL)
        self.tokenizer = loaded.tokenizer
        self.tokenizer.truncation_side = "left"  # of a long text the end is rated, which holds the continuation
        self.fingerprint = _fingerprint(content, config, self.tokenizer)
        self.model = loaded.model.float().eval().requires_grad_(False).to(where)
        self.longest = longest_input(self.model, self.tokenizer)

    def score(self, texts: Sequence[str]) -> np.ndarray:
        """The probability of the label toxicity, float64 (n,)."""
        return label_probabilities(self.model, self.tokenizer, texts, self._probability, longest=self.longest)

    def _probability(self, logits: torch.Tensor) -> torch.Tensor:
        """(B, labels) to (B)."""
        return torch.sigmoid(logits[:, self.label])


def open_detoxify(which: str = "unbiased", *, device: str = "auto") -> DetoxifyScorer:
    """A `DetoxifyScorer`; the one that was opened last stays open, as long as its file does not change."""
    state = _checkpoint_path(which).stat()
    return _opened(which, device, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=1)
def _opened(which: str, device: str, *state: int) -> DetoxifyScorer:
    return DetoxifyScorer(which, device=device)


def _checkpoint_path(which: str) -> Path:
    """Where a released model or a file is; raises InputError if it, or what else it needs, is not there."""
    if which in PUBLISHED:
        if hint := how_to_get(which):
            raise InputError(f"scorer 'detoxify:{which}' is not on this machine; {hint}")
        return PUBLISHED[which].path
    path = user_path(which).absolute()
    if not path.is_file():
        raise InputError(f"scorer 'detoxify:{which}': no such checkpoint file; {nearest(which, PUBLISHED)}")
    return path


def how_to_get(name: str) -> str:
    """The end of a line that says how to get what is missing of a released model; "" where it is on this machine."""
    by_hand = what_to_put(name)
    return f"{by_hand}; or let it be fetched: python -m fasp_core scorers get detoxify:{name}" if by_hand else ""


def what_to_put(name: str) -> str:
    """Which files of a released model are to be put where, by hand; "" where all are on this machine."""
    published = PUBLISHED[name]
    folder = published.path.parent
    missing = [] if published.path.is_file() else [f"put {published.url} into {folder}"]
    if base_folder(published.base_name, folder) is None:
        missing.append(_base_hint(published.base_name, folder))
    return "; ".join(missing)


def base_folder(base: str, beside: Path) -> Path | None:
    """The folder with the config (and tokenizer) of a base model, None where this machine has none."""
    for folder in (beside / Path(base).name, Path(base), beside):
        if (folder / "config.json").is_file():
            return folder
    for name in [base, *(p.base for p in PUBLISHED.values() if p.base_name == base)]:
        try:
            cached = try_to_load_from_cache(name, "config.json")
        except ValueError:  # not a name the hub could have
            continue
        if isinstance(cached, str):
            return Path(cached).parent
    return None


def _base_hint(base: str, beside: Path) -> str:
    return f"put config.json and the tokenizer files of {base} into {beside / Path(base).name}"


def _load(checkpoint: Checkpoint, folder: Path) -> tuple[PreTrainedConfig, Detoxify]:
    """The base model's config with the checkpoint's outputs, and the model that Detoxify makes of the checkpoint."""
    try:
        with quiet_loading():
            config_class = cast("type[PreTrainedConfig]", checkpoint.model_class.config_class)
            config = config_class.from_pretrained(folder, num_labels=checkpoint.outputs, local_files_only=True)
            checkpoint.check_fit(config)
            return config, Detoxify(checkpoint=checkpoint.with_base(folder.absolute()))
    except InputError:
        raise
    except Exception as error:  # the tokenizers library raises plain Exceptions for files it cannot read
        what = " ".join(str(error).split())[:160]
        raise InputError(
            f"{folder}: config or tokenizer cannot be read ({what}); get the base model's files again"
        ) from error


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fingerprint(content: str, config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase) -> str:
    made_by = [content, config.to_diff_dict(), tokenizer.backend_tokenizer.to_str()]
    return hashlib.sha256(json.dumps(made_by, sort_keys=True, default=str).encode()).hexdigest()[:16]
