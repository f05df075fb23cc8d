"""Batches on Ray actors: on the cluster of RAY_ADDRESS, or on one started here for the build.

Anyone who reaches the ports of a Ray cluster can run code on it: one that is started here listens
on 127.0.0.1 alone and has no dashboard.
"""

import dataclasses
import ipaddress
import os
import socket
import sys
from collections.abc import Iterator
from typing import Any

import torch

from featviz.atlas.building.executors import TRIES, Queue
from featviz.atlas.building.plan import AtlasPlan, Batch
from featviz.atlas.building.worker import Outcome, Setup
from featviz.errors import ConfigError, FeatvizError, RenderError

MAX_RESTARTS = 20
_DEAD_ACTORS = 5
_LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
_HERE = ("127.0.0.1", "localhost", "::1")
_REACH_S = 5.0


def import_ray() -> Any:
    """Return the module of Ray.

    Raises:
        ConfigError: If it is not installed.
    """
    if _address() is None:
        # Read while Ray is imported: a cluster of this machine alone, on the loopback address.
        os.environ.setdefault(_LOOPBACK, "0")
    try:
        import ray
    except ImportError as error:
        raise ConfigError(
            "the executor 'ray' needs Ray, which is not installed here: pip install 'featviz[ray]',"
            " or take --executor spawn"
        ) from error
    return ray


class _RayWorker:
    """What an actor holds: a worker, or why there is none."""

    def __init__(self, setup: Setup, path: list[str]) -> None:
        sys.path.extend(entry for entry in path if entry not in sys.path)
        from featviz.atlas.building.worker import Worker

        self._error: FeatvizError | None = None
        try:
            self._worker = Worker(setup)
        except FeatvizError as error:
            self._error = error

    def render(self, batch: Batch) -> Outcome | FeatvizError:
        """Return what became of a batch, or why the model could not be loaded."""
        return self._error or self._worker.render(batch)


class RayActors:
    """Runs batches on Ray actors; the model is loaded once an actor.

    Ray restarts actors that die and sends them their batch again. What kills them each time is
    rendered job by job, so that only the one that does it fails.

    Args:
        plan: Of the atlas.
        setup: What the workers must know.
        workers: How many actors; each gets its share of the cores, and of the GPUs if there are.

    Raises:
        ConfigError: If Ray is not installed, or there is no cluster at RAY_ADDRESS.
        RenderError: From `run`, if actors cannot start.
    """

    def __init__(self, plan: AtlasPlan, setup: Setup, *, workers: int) -> None:
        self._ray = import_ray()
        self.workers = workers
        self._plan = plan
        self._own = not self._ray.is_initialized()
        if self._own:
            _connect(self._ray, workers)
        there = self._ray.cluster_resources()
        cores, gpus = there.get("CPU", 1.0), there.get("GPU", 0.0)
        on_gpu = gpus and not setup.source.device.startswith("cpu")
        self._setup = dataclasses.replace(
            setup, threads=max(1, min(int(cores), torch.get_num_threads()) // workers)
        )
        self._kind = self._ray.remote(_RayWorker).options(
            num_cpus=min(1.0, cores / workers),
            num_gpus=min(1.0, gpus / workers) if on_gpu else 0,
            max_restarts=MAX_RESTARTS,
            max_task_retries=TRIES,
        )
        self._actors: list[Any] = []

    def run(self, batches: Iterator[Batch]) -> Iterator[Outcome]:
        """Yield what became of batches, in any order.

        Raises:
            RenderError: If actors cannot start.
            InputError: If the model cannot be loaded there.
        """
        queue = Queue(batches, self._plan)
        running: dict[Any, tuple[Any, Batch]] = {}
        idle: list[Any] = []
        dead = 0
        while queue.waiting or running:
            while queue.waiting and len(running) < self.workers:
                actor, batch = idle.pop() if idle else self._start(), queue.take()
                running[actor.render.remote(batch)] = actor, batch
            (done,), _ = self._ray.wait(list(running), num_returns=1)
            actor, batch = running.pop(done)
            try:
                outcome = self._ray.get(done)
            except self._ray.exceptions.RayError as error:
                self._stop(actor)
                dead += 1
                if dead >= _DEAD_ACTORS:
                    raise RenderError(
                        f"{dead} Ray actors in a row died: {_first_line(error)}; is there memory "
                        "for so many? Try fewer --workers"
                    ) from error
                # Ray has tried several times itself.
                outcome = queue.lost(batch, _first_line(error), tries=TRIES)
            else:
                idle.append(actor)
                dead = 0
            if isinstance(outcome, FeatvizError):
                raise outcome
            if outcome is not None:
                dead = 0
                yield outcome

    def _start(self) -> Any:
        actor = self._kind.remote(self._setup, list(sys.path))
        self._actors.append(actor)
        return actor

    def _stop(self, actor: Any) -> None:
        self._actors.remove(actor)
        self._ray.kill(actor)

    def close(self) -> None:
        """End the actors, and the cluster if it was started here."""
        while self._actors:
            self._ray.kill(self._actors.pop())
        if self._own:
            self._ray.shutdown()


def _address() -> str | None:
    """Return where the cluster is; None: one is to be started here."""
    address = os.environ.get("RAY_ADDRESS", "").strip()
    return None if address in ("", "local") else address


def _connect(ray: Any, workers: int) -> None:
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    address = _address()
    try:
        if address:
            _check_reachable(ray, address)
            ray.init(address=address, **quiet)
            return
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        ray.init(
            address="local",  # without it Ray joins any cluster that it finds on this machine
            num_cpus=max(workers, os.cpu_count() or 1),
            include_dashboard=False,
            _node_ip_address="127.0.0.1",
            **quiet,
        )
    except (ConnectionError, ValueError, RuntimeError, OSError) as error:
        where = f"at RAY_ADDRESS {address!r}" if address else "on this machine"
        raise ConfigError(
            f"cannot use Ray {where}: {_first_line(error)}; see that it runs, or take --executor "
            "spawn"
        ) from error
    found = ray.util.get_node_ip_address()
    if not ipaddress.ip_address(found).is_loopback:
        ray.shutdown()
        raise ConfigError(
            f"Ray would listen on {found}, where others could run code on this machine, because it "
            f"was imported before the build began; set {_LOOPBACK}=0 before, or call ray.init "
            "yourself"
        )


def _check_reachable(ray: Any, address: str) -> None:
    """Raise OSError if nobody listens there; Ray itself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        return  # such as auto
    host = host.strip("[]")
    # Ray takes the address of the network for that of the machine itself.
    hosts = [host, ray.util.get_node_ip_address()] if host in _HERE else [host]
    for k, each in enumerate(hosts, 1):
        try:
            socket.create_connection((each, int(port)), timeout=_REACH_S).close()
        except OSError:
            if k == len(hosts):
                raise
        else:
            return


def _first_line(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:500]
