"""Ability by the LM evaluation harness (`lm-eval`): the tasks of the field, before and after pruning.

    rows = measure_tasks(lm, [(0, 3)], ["lambada_openai", "arc_easy"], limit=500)

The harness reads the tasks with the model as it is here, with its heads gated off or its layers refitted, on the same
documents. It is optional: `pip install -r requirements-lm-eval.txt`. Nothing of it is run that is not its own:
templates of tasks are rendered in a sandbox, metrics that would be fetched as scripts are refused.
"""

from __future__ import annotations

import copy
import difflib
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fasp_core.errors import FaspError, InputError
from fasp_core.evaluation.blocks import BlockStore, MemoryStore
from fasp_core.evaluation.compensation import PrunedModel
from fasp_core.evaluation.harness_files import OwnTask, read_task_files
from fasp_core.evaluation.harness_quiet import quiet
from fasp_core.evaluation.harness_result import (
    Record,
    digest,
    ideal_of,
    key_start,
    pooled,
    replicates,
    same_documents,
    task_rows,
)
from fasp_core.evaluation.keys import pruned_name
from fasp_core.evaluation.scorecard_row import Row
from fasp_core.head import Head
from fasp_core.models.batching import tokens_per_batch
from fasp_core.models.compensation_choice import Compensate
from fasp_core.models.language_model import LanguageModel
from fasp_core.progress import ProgressCallback, StageClock, Stop, check_stop

PACKAGE, SEED, SLICE = "lm_eval", 1234, 64  # SLICE: requests between two steps of progress
INSTALL = "pip install -r requirements-lm-eval.txt"


def measure_tasks(
    lm: LanguageModel,
    pruned: Iterable[Head],
    names: Sequence[str],
    *,
    folder: Path | None = None,
    limit: int | None = None,
    compensate: Compensate = "none",
    store: BlockStore | None = None,
    progress: ProgressCallback | None = None,
    stop: Stop | None = None,
) -> list[Row]:
    """The harness's tasks, groups and tags of these `names`, with the heads `pruned` and without: rows of a scorecard.

    Tasks are the harness's own and those of the .yaml files of `folder`, which come first. `limit`: of each task the
    first so many documents. What the store has is not measured again. Raises InputError where lm-eval is not
    installed, a task is not known, its data are not on this machine, or its file asks for code; Cancelled once
    `stop()` is true.
    """
    if find_spec(PACKAGE) is None:
        raise InputError(f"--tasks needs the LM evaluation harness, which is not installed; {INSTALL}")
    heads = tuple(sorted(set(pruned)))
    own = {} if folder is None else read_task_files(folder)
    harness = Harness(lm, own, limit, progress, stop, only_own=set(names) <= set(own))
    store = store or MemoryStore()
    intact, without = PrunedModel(lm, ()), PrunedModel(lm, heads, compensate, stop=stop)
    rows: list[Row] = []
    for name in names:
        before = harness.measured(name, intact, store)
        after = harness.measured(name, without, store)
        if not same_documents(before, after):  # the data of one of them are no longer those on this machine
            before, after = (harness.measured(name, model, store, anew=True) for model in (intact, without))
        rows += task_rows(before, after)
    return rows


class Harness:
    """The harness on one model; it is imported, and its index of tasks read, once something must be measured."""

    def __init__(
        self,
        lm: LanguageModel,
        own: dict[str, OwnTask],
        limit: int | None,
        progress: ProgressCallback | None,
        stop: Stop | None,
        *,
        only_own: bool,
    ) -> None:
        self.lm, self.own, self.limit, self.only_own = lm, own, limit, only_own
        self.progress, self.stop = progress, stop
        self._loaded: dict[str, Any] = {}

    def measured(self, name: str, model: PrunedModel, store: BlockStore, *, anew: bool = False) -> Record:
        """What is kept of a task, group or tag for one model, or what is now measured."""
        own = self.own.get(name)
        made = [name, own.fingerprint if own else "", version(PACKAGE), str(self.limit)]
        key = key_start(self.lm.fingerprint, self.lm.dtype_name) + digest(made)
        kept_as = pruned_name(model.heads, model.compensate)
        record: Any = None if anew else store.get(key, kept_as, 0)
        if record is None:
            check_stop(self.stop, "the evaluation")
            stage = f"{name}, {'without the heads' if model.heads else 'intact model'}"
            with quiet():
                loaded = self._load(name)
                with model():
                    rows = self._measure(name, loaded, stage)
            record = {"name": name, "source": "own task" if own else "lm-eval", "rows": rows}
            store.put(key, kept_as, 0, record)
        return record

    @cached_property
    def _manager(self) -> Any:
        from lm_eval.tasks import TaskManager

        return TaskManager(include_defaults=not self.only_own)

    def _own(self, name: str) -> dict[str, Any]:
        """The config of a task of the user's, as the harness takes one."""
        _check_metrics(self.own[name])
        return copy.deepcopy(self.own[name].config)

    def _known(self, name: str) -> str:
        """The name of a task of the harness's own."""
        known = self._manager.all_tasks
        if name not in known:
            near = difflib.get_close_matches(name, [*self.own, *known], n=3)
            hint = f"; did you mean {' or '.join(near)}?" if near else "; `lm-eval ls tasks` lists them"
            raise InputError(f"the harness has no task '{name}'{hint}")
        return name

    def _load(self, name: str) -> Any:
        """The tasks of a name with their data, as the harness hands them on."""
        if name in self._loaded:
            return self._loaded[name]
        clock = StageClock(f"{name}, opening", 1, "task", self.progress)
        spec = self._own(name) if name in self.own else self._known(name)
        try:
            self._loaded[name] = self._manager.load([spec])
        except FaspError:
            raise
        except Exception as error:  # from the hub, data files and templates: errors of every kind
            raise _not_opened(name, error) from error
        clock.step()
        return self._loaded[name]

    def _measure(self, name: str, loaded: Any, stage: str) -> list[Record]:
        """A record for each metric of each task, or of each group that says how its tasks are put together."""
        from lm_eval.evaluator import evaluate

        tasks = loaded["tasks"]
        for task in tasks.values():
            if task.get_config("num_fewshot") is None:
                task.set_config(key="num_fewshot", value=0)
            task.set_fewshot_seed(seed=SEED)
        random.seed(SEED)
        reader = _reader(self.lm, stage, self.progress, self.stop)
        try:
            result = evaluate(reader, loaded, limit=self.limit, bootstrap_iters=0, log_samples=True)
        except FaspError:
            raise
        except Exception as error:  # tasks are programs of their own
            raise InputError(f"task '{name}' cannot be measured here ({_reason(error)})") from error
        by_task = {task: list(_records(task, tasks[task], samples)) for task, samples in result["samples"].items()}
        rows, grouped = [], set()
        for group in loaded.get("groups", {}).values():
            if group.name == name and group.has_aggregation:
                members = [task.task_name for task in group.get_all_tasks()]
                found = list(_pooled(group, [record for member in members for record in by_task.get(member, ())]))
                grouped |= set(members) if found else set()
                rows += found
        return rows + [record for task, records in by_task.items() if task not in grouped for record in records]


def _records(name: str, task: Any, samples: Sequence[dict[str, Any]]) -> Iterator[Record]:
    """A record for each metric and filter of a task, from what the harness found of its documents."""
    better, how = task.higher_is_better(), task.aggregation()
    filters = dict.fromkeys(sample["filter"] for sample in samples)
    for chosen in filters:
        found = sorted((s for s in samples if s["filter"] == chosen), key=lambda sample: sample["doc_id"])
        for metric in found[0]["metrics"]:
            if metric in how:
                yield {
                    "task": name,
                    "metric": metric if chosen == "none" else f"{metric} ({chosen})",
                    "ideal": ideal_of(better.get(metric)),
                    "n": len(found),
                    "documents": digest(sample["doc_hash"] for sample in found),
                    "values": replicates([sample[metric] for sample in found], how[metric], name),
                }


def _pooled(group: Any, records: Sequence[Record]) -> Iterator[Record]:
    """A group's own metrics."""
    for wanted in group.aggregate_metric_list:
        for metric in dict.fromkeys(record["metric"] for record in records):
            if metric.split(" (")[0] == wanted.metric:
                parts = [record for record in records if record["metric"] == metric]
                yield pooled(group.name, metric, parts, wanted.weight_by_size)


def _reader(lm: LanguageModel, stage: str, progress: ProgressCallback | None, stop: Stop | None) -> Any:
    """The harness's own model class on our model, with batches bounded by memory, progress, and an end where asked."""
    from lm_eval.models.huggingface import HFLM

    class Reader(HFLM):  # type: ignore[misc]  # lm-eval has no types here
        def loglikelihood(self, requests: Any, **_: Any) -> Any:
            return self._in_slices(super().loglikelihood, requests)

        def loglikelihood_rolling(self, requests: Any, **_: Any) -> Any:
            return self._in_slices(super().loglikelihood_rolling, requests)

        def generate_until(self, requests: Any, **_: Any) -> Any:
            return self._in_slices(super().generate_until, requests)

        def _in_slices(self, answer: Callable[..., list[Any]], requests: Sequence[Any]) -> list[Any]:
            clock, answers = StageClock(stage, len(requests), "requests", progress), []
            for start in range(0, len(requests), SLICE):
                check_stop(stop, "the evaluation")
                some = requests[start : start + SLICE]
                answers += answer(some, disable_tqdm=True)
                clock.step(len(some))
            return answers

        def _detect_batch_size(self, requests: Any = None, pos: int = 0) -> int:
            longest = sum(map(len, requests[pos][1:])) if requests else self.max_length
            return max(1, tokens_per_batch(lm.model, gradient=False) // max(1, min(longest, self.max_length)))

    return Reader(pretrained=lm.model, tokenizer=copy.deepcopy(lm.tokenizer), batch_size="auto")


def _check_metrics(task: OwnTask) -> None:
    import lm_eval.api.metrics  # noqa: F401  # fills the registry
    from lm_eval.api.registry import metric_registry

    for metric in task.metrics:
        if metric not in metric_registry:
            raise InputError(f"task '{task.name}': the harness has no metric '{metric}' of its own; give another")


def _not_opened(name: str, error: Exception) -> InputError:
    if isinstance(error, OSError):  # that it is offline, or cannot reach the hub
        return InputError(
            f"the data of task '{name}' are not on this machine ({_reason(error)}); run it once with a network and "
            "without HF_HUB_OFFLINE, or copy the hub's cache folder here"
        )
    return InputError(f"task '{name}' cannot be opened ({_reason(error)})")


def _reason(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
