"""GGUF files of tiny models, written by the gguf library in llama.cpp's names and order of rows."""

from __future__ import annotations

import copy

import gguf
import numpy as np

from helpers import tiny


def one_token_more():
    """A model with a row for the merged token that a GGUF vocabulary cannot be without."""
    config = copy.deepcopy(tiny.LLAMA)
    config.vocab_size += 1
    return tiny.make_language_model(config)


def write_gguf(path, lm, *, without=None):
    config, state = lm.model.config, lm.model.state_dict()
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("gpt2")
    vocabulary = lm.tokenizer.get_vocab()
    nul = "\u0100"  # how byte-level vocabularies write the byte 0
    tokens = [*sorted(vocabulary, key=vocabulary.get), nul + nul]
    writer.add_token_list(tokens)
    kinds = gguf.TokenType
    writer.add_token_types([kinds.CONTROL if t in tiny.SPECIAL_TOKENS else kinds.NORMAL for t in tokens])
    writer.add_token_merges([f"{nul} {nul}"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    writer.add_pad_token_id(1)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    for name, weight in state.items():
        values = weight.numpy()
        for kind, heads in (("q_proj", config.num_attention_heads), ("k_proj", config.num_key_value_heads)):
            if kind in name:  # rotary pairs lie side by side in such files
                values = values.reshape(heads, 2, -1, values.shape[1]).swapaxes(1, 2).reshape(values.shape)
        if name != without:
            writer.add_tensor(names.get_name(name, try_suffixes=(".weight",)), np.ascontiguousarray(values))
    return finish(writer, path)


def finish(writer, path=None):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
