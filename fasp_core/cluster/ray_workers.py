"""Workers as Ray's actors. Ray starts an actor anew that was lost, wherever there is room, and does its task again."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # both are read when Ray is imported
os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")

import ray
import torch
from ray._private import worker as ray_worker
from ray.exceptions import RayActorError, RayTaskError

from fasp_core.cluster.cluster import ClusterChoice, HeldModel
from fasp_core.cluster.ordered import ordered_map
from fasp_core.errors import InputError, RunError
from fasp_core.files.paths import child_environment
from fasp_core.models.language_model import LanguageModel
from fasp_core.models.placing import SPLIT
from fasp_core.study.manifest import installed_versions

MOST_RETRIES = 5  # of one task whose worker was lost; then it is the task that ends workers
STORE_BYTES = 200 * 2**20  # shared memory of a local cluster: prompts, windows and tables are small
LOOPBACK = "127.0.0.1"
# Ray tells of a lost worker in a paragraph on the standard output, where a command's results stand, and has no switch.
ray_worker.print_to_stdstream = lambda *_, **__: None


@contextmanager
def connected(address: str) -> Iterator[None]:
    """Ray while inside: a cluster of this machine alone, reachable from it alone, or one that runs already.

    Raises InputError where none answers at the address.
    """
    local = {"num_cpus": os.cpu_count(), "object_store_memory": STORE_BYTES, "include_dashboard": False}
    options = {**local, "_node_ip_address": LOOPBACK} if address == "local" else {}
    in_main = threading.current_thread() is threading.main_thread()
    before, path = signal.getsignal(signal.SIGTERM), os.environ.get("PYTHONPATH")
    if address == "local" and (ours := child_environment().get("PYTHONPATH")):
        os.environ["PYTHONPATH"] = ours  # its workers inherit it
    try:
        ray.init(address, log_to_driver=False, logging_level="error", **options)
    except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
        raise InputError(
            f"no Ray cluster answers at '{address}'; start one (ray start --head), or use --cluster local. One "
            "that asks for a token needs RAY_AUTH_MODE=token in the environment"
        ) from error
    finally:
        if path is None:
            os.environ.pop("PYTHONPATH", None)
        else:
            os.environ["PYTHONPATH"] = path
    if in_main:
        signal.signal(signal.SIGTERM, before)  # Ray's handler would end a job that was asked to stop without a word
    try:
        yield
    finally:
        ray.shutdown()


class Holder:
    """One worker's process: the model, and what the current run has made of it."""

    def __init__(self, opening: Callable[..., LanguageModel], device: str, cores: int) -> None:
        torch.set_num_threads(cores)
        self.opening, self.device = opening, device
        self._lm: LanguageModel | None = None
        self._context: tuple[int, Any] | None = None

    @property
    def lm(self) -> LanguageModel:
        """Opened when first used, so that an error in it is one of a task."""
        if self._lm is None:
            self._lm = self.opening(device=self.device)
        return self._lm

    def open(self) -> tuple[HeldModel, dict[str, str]]:
        """The model that it holds, and the versions of what its numbers depend on."""
        lm = self.lm
        return HeldModel(lm.fingerprint, lm.dtype_name, lm.device.type), installed_versions()

    def run(self, number: int, setup: list[ray.ObjectRef], task: Callable[[Any], Any]) -> Any:
        """Do a task in the context of this number, which the reference in the list makes of the model."""
        if self._context is None or self._context[0] != number:
            self._context = number, ray.get(setup[0])(self.lm)
        return task(self._context[1])


class RayCluster:
    """As many workers as the cluster has room for; see `cluster.Cluster`."""

    def __init__(self, choice: ClusterChoice, opening: Callable[..., LanguageModel], device: str) -> None:
        there = ray.cluster_resources()
        gpus = 0 if device == "cpu" else int(there.get("GPU", 0))
        cores = min(choice.cores, max(1, int(there.get("CPU", 0))))
        room = gpus // choice.gpus if gpus else int(there.get("CPU", 0)) // cores
        self.n_workers = min(room, choice.most or room)
        if not self.n_workers:
            raise InputError(
                f"the cluster has {gpus} GPUs and {int(there.get('CPU', 0))} cores, too few for one worker; "
                "see --worker-gpus and --worker-cores"
            )
        if gpus:
            device = SPLIT if choice.gpus > 1 else "cuda"  # a worker sees its own GPUs only
        actor = ray.remote(Holder).options(
            num_cpus=cores,
            num_gpus=choice.gpus if gpus else 0,
            max_restarts=-1,
            max_task_retries=MOST_RETRIES,
        )
        self._actors = [actor.remote(opening, device if gpus else "cpu", cores) for _ in range(self.n_workers)]
        self._setup: tuple[int, Any, list[ray.ObjectRef]] = (0, None, [])

    def open(self) -> None:
        """Wait until all workers have opened the model; raises InputError where one cannot, or another one has."""
        asked = [actor.open.remote() for actor in self._actors]
        opened = [result_of(answer) for answer in asked]
        self.held = opened[0][0]
        ours = installed_versions()
        for held, theirs in opened:
            for name in ours:
                if theirs.get(name) != ours[name]:
                    raise InputError(
                        f"a worker has {name} {theirs.get(name, 'not at all')}, and this machine {ours[name]}; "
                        "install the same versions on all machines"
                    )
            if held != self.held:
                raise InputError("the workers opened different models; put the same files on all machines")

    def map(
        self, setup: Callable[[LanguageModel], Any], tasks: Iterable[Callable[[Any], Any]], check: Callable[[], None]
    ) -> Iterator[Any]:
        """See `cluster.Cluster`."""
        number, current, _ = self._setup
        if setup is not current:
            self._setup = number + 1, setup, [ray.put(setup)]
        return ordered_map(_Numbered(self._actors, self._setup[0], self._setup[2]), tasks, check)

    def close(self) -> None:
        """End all workers, whatever they do."""
        for actor in self._actors:
            ray.kill(actor)


@dataclass(frozen=True)
class _Numbered:
    """The actors as `ordered.Workers`, at work on one setup."""

    actors: list[Any]
    number: int
    setup: list[ray.ObjectRef]

    @property
    def n_workers(self) -> int:
        return len(self.actors)

    def submit(self, worker: int, task: Callable[[Any], Any]) -> ray.ObjectRef:
        return self.actors[worker].run.remote(self.number, self.setup, task)

    def wait(self, results: list[ray.ObjectRef], seconds: float) -> list[ray.ObjectRef]:
        return ray.wait(results, num_returns=1, timeout=seconds)[0]

    def get(self, result: ray.ObjectRef) -> Any:
        return result_of(result)


def result_of(result: ray.ObjectRef) -> Any:
    """A task's result; raises what the task raised, as if it had been done here."""
    try:
        return ray.get(result)
    except RayTaskError as error:
        raise error.cause from error
    except RayActorError as error:
        raise RunError(
            f"a worker was lost {MOST_RETRIES + 1} times at the same task: killed, or out of memory; what was finished "
            "is kept, run it again with fewer or larger workers"
        ) from error
