"""Where a model computes: on one device, or laid over all GPUs, layer after layer, where it is larger than one."""

from __future__ import annotations

from accelerate import dispatch_model, infer_auto_device_map
from accelerate.utils import get_balanced_memory
from transformers import PreTrainedModel

from fasp_core.errors import InputError

SPLIT = "split"  # the device's name for "all GPUs"


def laid_over_gpus(model: PreTrainedModel) -> PreTrainedModel:
    """The model with whole layers on each GPU that this process sees, as evenly as they go; the first takes its input.

    Raises InputError where they do not hold it together.
    """
    whole = list(model._no_split_modules or ())
    room = get_balanced_memory(model, no_split_module_classes=whole)
    places = infer_auto_device_map(model, max_memory=room, no_split_module_classes=whole)
    if not all(isinstance(place, int) for place in places.values()):
        raise InputError("the model does not fit into the memory of all GPUs together; give it more of them")
    return dispatch_model(model, places)
