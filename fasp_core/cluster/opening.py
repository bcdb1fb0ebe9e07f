"""How a cluster is named and opened: `local`, `auto`, or `ray://HOST:PORT`."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from fasp_core.cluster.cluster import ClusterChoice
from fasp_core.errors import InputError

if TYPE_CHECKING:
    from fasp_core.cluster.cluster import Cluster
    from fasp_core.models.language_model import LanguageModel

CLUSTER = "FASP_CLUSTER"  # the cluster that the Studies page offers
ADDRESS = re.compile(r"local|auto|ray://[A-Za-z0-9_.-]+:[0-9]{1,5}")
INSTALL = "pip install -r requirements-cluster.txt"


def offered_cluster() -> str | None:
    """The cluster that the environment names, where Ray is there to reach it."""
    address = os.environ.get(CLUSTER, "")
    return address if ADDRESS.fullmatch(address) and find_spec("ray") is not None else None


@contextmanager
def open_cluster(choice: ClusterChoice, opening: Callable[..., LanguageModel], device: str) -> Iterator[Cluster]:
    """Workers on all of a cluster, each with the model that `opening(device=…)` opens; they end with the context.

    Raises InputError where Ray is not installed, no such cluster is there, or a worker cannot open the model.
    """
    if not ADDRESS.fullmatch(choice.address):
        raise InputError(f"'{choice.address[:60]}' names no cluster; give local, auto or ray://HOST:PORT")
    try:
        from fasp_core.cluster.ray_workers import RayCluster, connected
    except ImportError as error:
        raise InputError(f"--cluster needs Ray, which is not installed; {INSTALL}") from error

    with connected(choice.address):
        cluster = RayCluster(choice, opening, device)
        try:
            cluster.open()
            yield cluster
        finally:
            cluster.close()
