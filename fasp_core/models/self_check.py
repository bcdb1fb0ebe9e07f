"""Whether a model does what all measurements rely on: tried on a few tokens when it is opened, in a second or two.

A model that loads may still give wrong numbers without a sign: its positions are counted from the padding, it is not
causal, or what looks like its heads is something else. Each check compares two ways to the same logits. A model that
fails one is refused by name, with the reason. That a model passed is kept by its fingerprint.

Letters: B sequences, T tokens, V vocabulary, L layers, H heads per layer, D head size.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any, cast

import torch
import transformers
from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel

from fasp_core.errors import InputError
from fasp_core.files.paths import cache_root
from fasp_core.files.writing import write_atomic
from fasp_core.models.attention_outputs import heads_zeroed
from fasp_core.models.batching import embedding_rows, model_inputs, pad_batch
from fasp_core.models.generation import without_own_settings
from fasp_core.models.heads import apply_gates
from fasp_core.models.language_model import LanguageModel
from fasp_core.models.skipping import LayerOutput, layers_replaced

VERSION = 1  # of the checks: a model that passed older ones is tried anew
LONG, SHORT, NEW = 12, 7, 3  # tokens of the two sequences, and of their continuations
# Differences that rounding can make, as a share of the largest logit.
ROUNDING = {torch.float32: 1e-4, torch.float64: 1e-6, torch.bfloat16: 0.1, torch.float16: 0.02}


class _Wrong(Exception):
    """What a check found, as the end of a sentence about the model."""


def check_model(lm: LanguageModel, root: str | os.PathLike[str] | None = None) -> None:
    """Raise InputError, naming the architecture and the reason, for a model that cannot be measured correctly.

    `root` is the folder of studies and models, as in `cache_root`.
    """
    passed = _record(lm, root)
    if passed.is_file():
        return
    name = type(lm.model).__name__
    for check in (_weights, _padding, _causality, _generation, _heads, _gates, _resuming):
        try:
            with torch.no_grad():
                check(lm)
        except _Wrong as error:
            raise InputError(f"{lm.ref}: {name} cannot be measured: {error}") from error
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # an architecture that is not known here may raise anything
            told = " ".join(str(error).split())[:160]
            raise InputError(
                f"{lm.ref}: {name} cannot be measured: the check of its {check.__name__[1:]} failed "
                f"({type(error).__name__}: {told})"
            ) from error
    with suppress(InputError):  # a folder that cannot be written: the checks are done anew next time
        write_atomic(passed, lambda path: path.write_text(json.dumps({"class": name, "ref": lm.ref})))


def _record(lm: LanguageModel, root: str | os.PathLike[str] | None) -> Path:
    """The file that says that a model passed these checks, in this number format and version of transformers."""
    made_by = f"{lm.fingerprint}-{lm.device.type}-{transformers.__version__}-{VERSION}"
    return cache_root(root) / "models" / ".checked" / f"{made_by}.json"


def _weights(lm: LanguageModel) -> None:
    for name, weight in lm.model.state_dict().items():
        if weight.is_floating_point() and not bool(torch.isfinite(weight).all()):
            raise _Wrong(f"its weight {name} holds values that are not numbers (NaN or infinite); get its files again")
    (logits,) = _alone(lm, [_tokens(lm)[0]])
    if not bool(torch.isfinite(logits).all()):
        raise _Wrong(f"its logits are not numbers (NaN or infinite) in {lm.dtype}; try another dtype")


def _padding(lm: LanguageModel) -> None:
    sequences = _tokens(lm)
    for alone, padded in zip(_alone(lm, sequences), _together(lm, sequences), strict=True):
        if not _same(lm, alone, padded):
            raise _Wrong("a text's logits change when it is padded on the left (it counts positions from the padding)")


def _causality(lm: LanguageModel) -> None:
    long, _ = _tokens(lm)
    kept = len(long) // 2
    changed = [*long[:kept], *reversed(long[kept:])]
    first, second = (_alone(lm, [ids])[0][:kept] for ids in (long, changed))
    if not _same(lm, first, second):
        hint = "; set is_decoder to true in its config if it was trained so" if _is_encoder(lm) else ""
        raise _Wrong(f"it is not causal: the logits at a token depend on later tokens{hint}")


def _generation(lm: LanguageModel) -> None:
    sequences = _tokens(lm)
    batch = pad_batch(sequences, [1] * len(sequences), pad_id=lm.tokenizer.pad_token_id, device=lm.device)
    config = GenerationConfig(
        max_new_tokens=NEW,
        do_sample=False,
        pad_token_id=lm.tokenizer.pad_token_id,
        return_dict_in_generate=True,
        output_logits=True,
    )
    with without_own_settings(lm.model):
        generate = cast(Callable[..., Any], lm.model.generate)
        made = generate(input_ids=batch.ids, attention_mask=batch.mask, generation_config=config)
    for row, ids in enumerate(sequences):
        written = made.sequences[row, batch.ids.shape[1] :].tolist()
        (expected,) = _alone(lm, [[*ids, *written[:-1]]])
        if not _same(lm, expected[-len(written) :], torch.stack([logits[row] for logits in made.logits])):
            raise _Wrong("the logits that it generates from, with its cache, are not those that it gives a whole text")


def _heads(lm: LanguageModel) -> None:
    """The layout is that of the attention: its projections see H·D numbers once per pass, and H heads of size D."""
    layout, calls = lm.layout, [0] * lm.layout.n_layers
    handles = []
    for i, projection in enumerate(layout.projections):

        def count(module: object, args: tuple[Tensor, ...], i: int = i) -> None:
            calls[i] += args[0].dim() == 3 and args[0].shape[-1] == layout.heads_per_layer * layout.head_dim

        handles.append(projection.register_forward_pre_hook(count))
    try:
        with heads_zeroed(lm.model, layout.layers, {}) as seen:
            _alone(lm, [_tokens(lm)[0]])
    finally:
        for handle in handles:
            handle.remove()
    if calls != [1] * layout.n_layers:
        raise _Wrong("what looks like the output projections of its heads is not used once in each layer")
    if seen:
        shapes = {i: [(layout.heads_per_layer, layout.head_dim)] for i in range(layout.n_layers)}
        wrong = next((i for i in range(layout.n_layers) if seen.get(i) != shapes[i]), None)
        if wrong is not None:
            found = seen.get(wrong)
            what = f"heads × size of {', '.join(f'{h} × {d}' for h, d in found)}" if found else "no attention heads"
            raise _Wrong(f"its layer {wrong} has {what}, not {layout.heads_per_layer} × {layout.head_dim}")
    elif (counts := _heads_of_weights(lm)) != [layout.heads_per_layer] * layout.n_layers:
        raise _Wrong(
            f"its attention does not show {layout.heads_per_layer} heads in each of {layout.n_layers} layers ({counts})"
        )


def _heads_of_weights(lm: LanguageModel) -> list[int]:
    """The heads of each layer by the attention weights that the model gives out, (B, H, T, T) a layer."""
    ids = torch.tensor([_tokens(lm)[0]], device=lm.device)
    weights = lm.model(input_ids=ids, use_cache=False, output_attentions=True).attentions or ()
    return [w.shape[1] for w in weights if w is not None]


def _gates(lm: LanguageModel) -> None:
    """A gate at 0 is an attention that gives zero for the head; all at 0 are an attention that gives nothing."""
    layout, ids = lm.layout, [_tokens(lm)[0]]
    some = {i: [i % layout.heads_per_layer] for i in range(layout.n_layers)}
    every = {i: range(layout.heads_per_layer) for i in range(layout.n_layers)}
    for off in (some, every):
        (gated,) = _with_gates(lm, ids, off)
        with heads_zeroed(lm.model, layout.layers, off) as seen:
            (zeroed,) = _alone(lm, ids)
        if seen and not _same(lm, gated, zeroed):
            raise _Wrong("knocking out heads is not the same as an attention whose outputs for them are zero")
    (intact,) = _alone(lm, ids)
    if bool((gated == intact).all()):
        raise _Wrong("knocking out all of its heads changes nothing")


def _resuming(lm: LanguageModel) -> None:
    """The layers above need nothing but the hidden states of those below."""
    layout, ids = lm.layout, [_tokens(lm)[0]]
    below = layout.n_layers // 2
    if below == 0:
        return
    outputs: list[LayerOutput] = []
    handle = layout.layers[below - 1].register_forward_hook(lambda module, args, output: outputs.append(output))
    try:
        (expected,) = _alone(lm, ids)
    finally:
        handle.remove()
    with layers_replaced(layout.layers[:below], lambda: outputs[-1]):
        (resumed,) = _alone(lm, ids)
    if not _same(lm, expected, resumed):
        raise _Wrong("its layers share more than hidden states, so that heads cannot be measured layer by layer")


def removal_is_exact(model: PreTrainedModel, removed: PreTrainedModel, gates: AbstractContextManager[None]) -> bool:
    """Whether a model without heads gives the logits of the intact one inside `gates`, where their gates are 0."""
    rows = embedding_rows(model)
    ids = torch.randint(0, rows, (1, LONG), generator=torch.Generator().manual_seed(0))
    weight = next(model.parameters())
    with torch.no_grad():
        with gates:
            expected = model(input_ids=ids.to(weight.device), use_cache=False).logits
        found = removed(input_ids=ids.to(weight.device), use_cache=False).logits
    return _near(expected, found, ROUNDING.get(weight.dtype, 0.1))


def _tokens(lm: LanguageModel) -> list[list[int]]:
    """A long and a short sequence of ordinary tokens, always the same for a vocabulary."""
    rows = min(embedding_rows(lm.model), len(lm.tokenizer))
    special = {*lm.tokenizer.all_special_ids, getattr(lm.model.config.get_text_config(), "pad_token_id", None)}
    ordinary = [token for token in range(rows) if token not in special] or list(range(rows))
    places = torch.randint(0, len(ordinary), (LONG + SHORT,), generator=torch.Generator().manual_seed(0)).tolist()
    ids = [ordinary[place] for place in places]
    longest = (lm.max_length or LONG + NEW) - NEW
    return [ids[:LONG][:longest], ids[LONG:][: longest // 2]]


def _alone(lm: LanguageModel, sequences: Sequence[Sequence[int]]) -> list[Tensor]:
    """The logits of each sequence by itself, (T, V)."""
    return [_together(lm, [ids])[0] for ids in sequences]


def _together(lm: LanguageModel, sequences: Sequence[Sequence[int]]) -> list[Tensor]:
    """The logits of each sequence, (T, V), read in one padded batch as everything is measured."""
    batch = pad_batch(sequences, [1] * len(sequences), pad_id=lm.tokenizer.pad_token_id, device=lm.device)
    logits = lm.model(**model_inputs(lm.model, batch)).logits.float()
    return [row[len(row) - len(ids) :] for row, ids in zip(logits, sequences, strict=True)]


def _with_gates(lm: LanguageModel, ids: Sequence[Sequence[int]], off: Mapping[int, Sequence[int]]) -> list[Tensor]:
    gates = torch.ones(lm.layout.n_layers, lm.layout.heads_per_layer, device=lm.device, dtype=lm.dtype)
    for layer, heads in off.items():
        gates[layer, list(heads)] = 0.0
    with apply_gates(lm.layout, gates):
        return _alone(lm, ids)


def _same(lm: LanguageModel, one: Tensor, other: Tensor) -> bool:
    return _near(one, other, ROUNDING.get(lm.dtype, 0.1))


def _near(one: Tensor, other: Tensor, share: float) -> bool:
    return bool((one - other).abs().max() <= share * one.abs().max().clamp(min=torch.finfo(torch.float32).tiny))


def _is_encoder(lm: LanguageModel) -> bool:
    return getattr(lm.model.config, "is_decoder", None) is False
