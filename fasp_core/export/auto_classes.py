"""Compact checkpoints for programs that open models by transformers' Auto classes, such as lm-eval's own command line.

    import fasp_core; fasp_core.register_compact()
    AutoModelForCausalLM.from_pretrained("no-gender-bias")  # the model that load_pruned gives

It is asked for, never done by an import: who has not registered them is told by an error, as `checkpoints` says.
"""

from __future__ import annotations

import os
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel

from fasp_core.export.checkpoints import MODEL_TYPE, base_config, load_pruned


class CompactConfig(PreTrainedConfig):
    """The config of a compact checkpoint: that of the model that it was made of, under a type of its own."""

    model_type = MODEL_TYPE

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Any:
        """The config of a checkpoint's `config.json`; other arguments are those of the base class."""
        known = base_config(config_dict).to_dict()
        del known["model_type"]
        return super().from_dict(known, **kwargs)


class CompactModel:
    """Opens a compact checkpoint in place of a model class; what it returns is a model of the base architecture."""

    config_class = CompactConfig

    @classmethod
    def from_pretrained(
        cls,
        folder: str | os.PathLike[str],
        *args: Any,
        dtype: str | torch.dtype | None = None,
        device_map: Any = None,
        **kwargs: Any,
    ) -> PreTrainedModel:
        """As `load_pruned`, in the number format `dtype` and on the one device that `device_map` names.

        What else transformers hands on does not concern a checkpoint of this kind.
        """
        model = load_pruned(folder)
        where = device_map.get("") if isinstance(device_map, dict) else device_map
        if isinstance(dtype, str) and dtype != "auto":
            dtype = getattr(torch, dtype)
        if isinstance(dtype, torch.dtype):
            model = model.to(dtype)  # type: ignore[arg-type]  # transformers declares it without arguments
        return model if where in (None, "auto") else model.to(where)


def register_compact() -> None:
    """Let `AutoConfig` and `AutoModelForCausalLM` open compact checkpoints in this process; again does no harm."""
    AutoConfig.register(MODEL_TYPE, CompactConfig, exist_ok=True)
    AutoModelForCausalLM.register(CompactConfig, CompactModel, exist_ok=True)
