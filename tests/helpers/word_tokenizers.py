"""Tokenizers of whole words as other models have them: blanks joined to words, start and end tokens."""

from __future__ import annotations

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

SPECIAL = ["<s>", "</s>", "<unk>"]
WORDS = [f"w{i}" for i in range(200)]


def metaspace_tokenizer(words: list[str] = WORDS, *, template: str | None = None) -> PreTrainedTokenizerFast:
    """Built as Llama's: words begin with "▁", and the decoder drops the blank at the start of a text.

    `template` is where special tokens go, such as "<s> $A" or "$A </s>".
    """
    vocab = {word: i for i, word in enumerate([*SPECIAL, *(f"▁{word}" for word in words)])}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first")
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    if template is not None:
        tokens = [(token, vocab[token]) for token in SPECIAL[:2] if token in template]
        tokenizer.post_processor = processors.TemplateProcessing(single=template, special_tokens=tokens)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="</s>"
    )
