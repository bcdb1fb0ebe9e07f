"""What the LM evaluation harness may not do while it is run here: print, show bars, fetch a metric as a script.

Templates of its tasks are rendered in a sandbox meanwhile; all is as it was afterwards.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from typing import Any

from fasp_core.errors import InputError


def _refused(name: str, *args: Any, **kwargs: Any) -> Any:
    raise InputError(f"the metric '{name}' is a script that would be fetched and run, which is not done here")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """While inside, the harness prints nothing on stdout, shows no bars, and runs no script of a template or metric."""
    import datasets
    import evaluate
    import lm_eval.utils
    from jinja2.sandbox import SandboxedEnvironment
    from lm_eval.api import model, task
    from lm_eval.models import huggingface
    from tqdm import tqdm

    environment = lm_eval.utils.env
    sandbox = SandboxedEnvironment(undefined=environment.undefined, keep_trailing_newline=True)
    sandbox.filters.update(environment.filters)

    def hidden(*args: Any, **kwargs: Any) -> Any:
        return tqdm(*args, **{**kwargs, "disable": True})

    with contextlib.ExitStack() as stack:

        def swap(owner: Any, name: str, value: Any) -> None:
            stack.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, value)

        stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        swap(lm_eval.utils, "env", sandbox)
        swap(evaluate, "load", _refused)
        for module in (model, task, huggingface):
            swap(module, "tqdm", hidden)
        for name in ("lm_eval", "datasets"):
            logger = logging.getLogger(name)
            stack.callback(logger.setLevel, logger.level)
            logger.setLevel(logging.CRITICAL)
        if not datasets.are_progress_bars_disabled():
            stack.callback(datasets.enable_progress_bars)
            datasets.disable_progress_bars()
        yield
