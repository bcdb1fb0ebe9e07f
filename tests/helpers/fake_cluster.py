"""A cluster in this process: tasks and results cross as pickles, and are done in a scrambled order."""

from __future__ import annotations

import pickle
import random

from fasp_core.cluster.cluster import HeldModel
from fasp_core.cluster.ordered import ordered_map


class FakeWorkers:
    """Workers as `ordered_map` asks for them; each time it waits, one of the tasks under way is done."""

    def __init__(self, n_workers, context, seed=0):
        self.n_workers, self.context, self.random = n_workers, context, random.Random(seed)
        self.under_way: dict[int, tuple[int, bytes]] = {}
        self.outcomes: dict[int, bytes | Exception] = {}
        self.begun: list[int] = []  # the worker of each task, in the order they were begun

    def submit(self, worker, task):
        assert worker not in {busy for busy, _ in self.under_way.values()}, "a worker does one task at a time"
        self.begun.append(worker)
        self.under_way[len(self.begun)] = worker, pickle.dumps(task)
        return len(self.begun)

    def wait(self, results, seconds):
        assert set(results) == self.under_way.keys()
        if seconds == 0.0:
            return []
        done = self.random.choice(sorted(results))
        _, task = self.under_way.pop(done)
        try:
            self.outcomes[done] = pickle.dumps(pickle.loads(task)(self.context))
        except Exception as error:
            self.outcomes[done] = error
        return [done]

    def get(self, result):
        outcome = self.outcomes.pop(result)
        if isinstance(outcome, Exception):
            raise outcome
        return pickle.loads(outcome)


class FakeCluster:
    """A `cluster.Cluster` on one model, which its workers share."""

    def __init__(self, lm, n_workers=3):
        self.lm, self.n_workers = lm, n_workers
        self.held = HeldModel(lm.fingerprint, lm.dtype_name, lm.device.type)
        self.tasks = 0

    def map(self, setup, tasks, check):
        workers = FakeWorkers(self.n_workers, pickle.loads(pickle.dumps(setup))(self.lm))
        for result in ordered_map(workers, tasks, check):
            self.tasks += 1
            yield result
