"""Processes that outlive their model: they start early, and load the next checkpoint without another start.

A model on a GPU has a process of its own. There, nothing but the model's own Python code starts its thousands of small
kernels; beside the decoding of images, the writing of rows and a tracker's imports it would wait for its turn at each.
Starting a process takes as long as importing PyTorch and transformers, several times what loading a checkpoint takes.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from vlmprobe.families.base import OpenFamily
from vlmprobe.families.pool import DevicePool
from vlmprobe.families.remote import RemoteFamily

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from vlmprobe.families.environments import Environment
    from vlmprobe.families.worker import LoadOptions, ModelOptions

__all__ = ["KeptFamily", "KeptWorkers", "n_processes"]

_NVIDIA = Path("/proc/driver/nvidia/gpus")


def n_processes(options: ModelOptions) -> int:
    """Return how many processes a model will most likely have for its devices, without importing PyTorch to ask it.

    Returns:
        One for each GPU, and for each of several CPUs; 0 where the model will run in this process.
    """
    if options.devices:
        on_a_cpu = all(name.startswith("cpu") for name in options.devices)
        return 0 if on_a_cpu and len(options.devices) == 1 else len(options.devices)
    if options.device in {"auto", "cuda"}:
        return _n_gpus()
    return int(options.device.startswith("cuda") and _n_gpus() > 0)


def _n_gpus() -> int:
    """Count the GPUs that this process is shown, as far as the driver tells."""
    found = 0
    with suppress(OSError):
        found = len(list(_NVIDIA.iterdir()))
    shown = os.environ.get("CUDA_VISIBLE_DEVICES")
    if shown is not None:
        found = min(found, len(list(takewhile(lambda name: name not in {"", "-1"}, shown.split(",")))))
    return found


class KeptWorkers:
    """Idle processes by family and environment; use it as a context, at whose end they stop."""

    def __init__(self) -> None:
        """Start nothing."""
        self._lock = threading.RLock()
        self._idle: dict[tuple[str, Environment], list[tuple[str | None, RemoteFamily]]] = {}

    def begin(self, name: str, environment: Environment, n: int) -> None:
        """Let ``n`` processes be there, which load the family's code meanwhile.

        Raises:
            UsageError: no family has this name.
        """
        with self._lock:
            idle = self._idle.setdefault((name, environment), [])
            while len(idle) < n:
                family = RemoteFamily(name, environment)
                idle.append((None, family))
                family.begin()

    def resolve(self, name: str, environment: Environment, options: LoadOptions) -> LoadOptions:
        """Let an idle process say what options mean on this machine; see :meth:`OpenFamily.resolve`."""
        with self._lock:
            self.begin(name, environment, 1)
            _, family = self._idle[name, environment][0]
        return family.resolve(options)

    def load_ahead(self, name: str, environment: Environment, options: LoadOptions) -> None:
        """Let an idle process of the options' device, or a new one, load a checkpoint while another model is asked."""
        family = self.take(name, environment, options.device)
        family.load_ahead(options)
        with self._lock:
            self._idle.setdefault((name, environment), []).append((options.device, family))

    def take(
        self, name: str, environment: Environment, device: str, options: LoadOptions | None = None
    ) -> RemoteFamily:
        """Return an idle process that used this device or none yet, or one that is still to be started.

        A process that turned to another device would keep some memory of the first. One that ended meanwhile is passed
        over. The first choice is one that loads these options ahead.

        Raises:
            UsageError: no family has this name.
        """
        with self._lock:
            idle = self._idle.get((name, environment), [])

            def rank(entry: tuple[str | None, RemoteFamily]) -> tuple[bool, bool]:
                return options is None or not entry[1].is_ahead(options), entry[0] is None

            for entry in sorted((each for each in idle if each[0] in {device, None}), key=rank):
                idle.remove(entry)
                if entry[1].is_usable:
                    return entry[1]
                entry[1].close()
        return RemoteFamily(name, environment)

    def keep(self, name: str, environment: Environment, device: str, family: RemoteFamily) -> None:
        """Take a process back after its last batch; it forgets its model. One that does not answer is stopped."""
        try:
            family.unload()
        except Exception:  # noqa: BLE001 - whatever is wrong with it, the next model gets another
            family.close()
            return
        with self._lock:
            self._idle.setdefault((name, environment), []).append((device, family))

    def close(self) -> None:
        """Stop all that are idle."""
        with self._lock:
            for families in self._idle.values():
                for _, family in families:
                    family.close()
            self._idle.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class KeptFamily(OpenFamily):
    """A family whose models have a process for each of their devices; the processes are kept for the next model."""

    def __init__(self, name: str, environment: Environment, workers: KeptWorkers) -> None:
        """Start nothing yet.

        Args:
            name: the family.
            environment: the Python that its processes run.
            workers: gives the processes and takes them back.
        """
        self._name, self._environment, self._workers = name, environment, workers

    def resolve(self, options: LoadOptions) -> LoadOptions:
        """See :meth:`OpenFamily.resolve`; this process imports no PyTorch for it."""
        return self._workers.resolve(self._name, self._environment, options)

    def load(self, options: LoadOptions) -> DevicePool:
        """Load the checkpoint on every device of ``options.devices`` at once; see :meth:`OpenFamily.load`."""
        return DevicePool(
            lambda device: self._workers.take(
                self._name, self._environment, device, _on_one(options, device)
            ),
            options,
            lambda device, family: self._workers.keep(self._name, self._environment, device, family),
        )

    def load_ahead(self, options: LoadOptions) -> None:
        """Load a checkpoint where there is room for it, while another model is asked; :meth:`load` then finds it."""
        for device in options.devices:
            self._workers.load_ahead(self._name, self._environment, _on_one(options, device))

    def close(self) -> None:
        """Do nothing; the processes end with ``workers``."""


def _on_one(options: LoadOptions, device: str) -> LoadOptions:
    return replace(options, device=device, devices=(device,))
