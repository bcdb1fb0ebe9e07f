"""Tiny checkpoints in Detoxify's format, with the config and tokenizer files of their base model beside them."""

from __future__ import annotations

import string
from pathlib import Path

import torch
import transformers

CHARACTERS = string.ascii_lowercase + " "
SIZE = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "initializer_range": 0.5,
    "hidden_dropout_prob": 0.1,
}
# model_type: (kind of transformers class, positions in its config)
BASES = {"bert-base-uncased": ("Bert", 24), "roberta-base": ("Roberta", 26), "albert-base-v2": ("Albert", 24)}


def make_tokenizer(kind: str) -> transformers.PreTrainedTokenizerBase:
    """A token per letter; the special tokens are those of the base model."""
    if kind == "Bert":
        pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *CHARACTERS.strip(), *(f"##{c}" for c in CHARACTERS)]
        return transformers.BertTokenizer(vocab={piece: i for i, piece in enumerate(pieces)})
    if kind == "Roberta":
        pieces = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "Ġ", *CHARACTERS.strip()]
        return transformers.RobertaTokenizer(vocab={piece: i for i, piece in enumerate(pieces)}, merges=[])
    pieces = ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]", "▁", *CHARACTERS.strip()]
    return transformers.AlbertTokenizer(vocab=[(piece, -1.0) for piece in pieces])


def make_checkpoint(
    folder: Path,
    base: str = "roberta-base",
    *,
    name: str = "tiny.ckpt",
    classes: tuple[str, ...] = ("toxicity", "insult"),
    outputs: int | None = None,
) -> Path:
    """A random model's checkpoint in `folder`; its base model's files in a folder of the base's name beside it."""
    kind, positions = BASES[base]
    tokenizer = make_tokenizer(kind)
    config_class = getattr(transformers, f"{kind}Config")
    config = config_class(
        **SIZE,
        vocab_size=len(tokenizer),
        max_position_embeddings=positions,
        pad_token_id=tokenizer.pad_token_id,
        num_labels=outputs or len(classes),
        **({"embedding_size": 8} if kind == "Albert" else {}),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = getattr(transformers, f"{kind}ForSequenceClassification")(config)
    tokenizer.save_pretrained(folder / base)
    config_class(
        **{k: v for k, v in config.to_diff_dict().items() if k not in ("id2label", "label2id")}
    ).save_pretrained(folder / base)
    path = folder / name
    torch.save(as_checkpoint(model, base, classes, outputs or len(classes)), path)
    return path


def as_checkpoint(model: torch.nn.Module, base: str, classes: tuple[str, ...], outputs: int) -> dict:
    """The parts of Detoxify's checkpoint that loading needs, as its training code writes them."""
    kind = BASES[base][0]
    arch = {
        "model_type": base,
        "num_classes": outputs,
        "model_name": f"{kind}ForSequenceClassification",
        "tokenizer_name": f"{kind}Tokenizer",
    }
    return {
        "config": {"arch": {"type": "BERT", "args": arch}, "dataset": {"args": {"classes": list(classes)}}},
        "state_dict": model.state_dict(),
    }
