"""Processes that outlive their model: they start early, and load the next checkpoint without another start.

A model on a GPU has a process of its own, so that the next checkpoint can be loaded in another one meanwhile: within
one process, transformers changes the default number format of all threads while it loads. Starting a process takes as
long as importing PyTorch and transformers, several times what loading a checkpoint takes.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from vlmprobe.families.base import Model, OpenFamily
from vlmprobe.families.pool import DevicePool
from vlmprobe.families.remote import RemoteFamily

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from vlmprobe.families.environments import Environment
    from vlmprobe.families.worker import LoadOptions, ModelOptions

__all__ = ["KeptFamily", "KeptWorkers", "n_processes"]

_NVIDIA = Path("/proc/driver/nvidia/gpus")
#: AMD's, and NVIDIA's under WSL and on Jetson.
_OTHER_DRIVERS = (Path("/dev/kfd"), Path("/dev/dxg"), Path("/dev/nvhost-gpu"))


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
    # Of other drivers only that they are there.
    found = int(any(driver.exists() for driver in _OTHER_DRIVERS))
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
        self._closed = False
        self._idle: dict[tuple[str, Environment], list[tuple[str | None, RemoteFamily]]] = {}

    def begin(self, name: str, environment: Environment, n: int) -> None:
        """Let ``n`` processes be there, which load the family's code meanwhile.

        Raises:
            UsageError: no family has this name.
            ValueError: they were stopped; a thread that gets something ahead may come late.
        """
        with self._lock:
            if self._closed:
                raise ValueError("the processes were stopped")
            idle = [entry for entry in self._idle.get((name, environment), []) if entry[1].is_usable]
            self._idle[name, environment] = idle
            while len(idle) < n:
                family = RemoteFamily(name, environment)
                idle.append((None, family))
                family.begin()

    def resolve(self, name: str, environment: Environment, options: LoadOptions) -> LoadOptions:
        """Let an idle process say what options mean on this machine; see :meth:`OpenFamily.resolve`."""
        with self._lock:
            self.begin(name, environment, 1)
            # One that is loading a checkpoint answers later.
            _, family = min(self._idle[name, environment], key=lambda entry: entry[1].has_ahead)
        return family.resolve(options)

    def load_ahead(self, name: str, environment: Environment, options: LoadOptions, content: str) -> None:
        """Let an idle process of the options' device, or a new one, load a checkpoint while another model is asked."""
        with self._lock:
            if self._closed:
                return
            family = self.take(name, environment, options.device)
            family.load_ahead(options, content)
            self._idle.setdefault((name, environment), []).append((options.device, family))

    def take(
        self,
        name: str,
        environment: Environment,
        device: str,
        options: LoadOptions | None = None,
        content: str = "",
    ) -> RemoteFamily:
        """Return an idle process that used this device or none yet, or one that is still to be started.

        A process that turned to another device would keep some memory of the first. One that ended meanwhile is passed
        over. The first choice is one that loaded these options ahead, the next one that loaded others, to no purpose.

        Raises:
            UsageError: no family has this name.
        """

        def rank(entry: tuple[str | None, RemoteFamily]) -> tuple[bool, bool, bool]:
            known, family = entry
            expected = options is not None and family.is_ahead(options, content)
            return not expected, not family.has_ahead, known is None

        with self._lock:
            idle = self._idle.get((name, environment), [])
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
        """Stop all that are idle; from now on nothing is loaded ahead."""
        with self._lock:
            self._closed = True
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
        self.content = ""
        """The fingerprint of the checkpoint that is meant: another of the same name may have been loaded ahead."""

    def resolve(self, options: LoadOptions) -> LoadOptions:
        """See :meth:`OpenFamily.resolve`; this process imports no PyTorch for it."""
        return self._workers.resolve(self._name, self._environment, options)

    def load(self, options: LoadOptions) -> DevicePool:
        """Load the checkpoint on every device of ``options.devices`` at once; see :meth:`OpenFamily.load`."""

        def open_one(device: str) -> _Ahead:
            wanted = _on_one(options, device)
            family = self._workers.take(self._name, self._environment, device, wanted, self.content)
            return _Ahead(family, self.content)

        return DevicePool(
            open_one,
            options,
            lambda device, opened: self._workers.keep(self._name, self._environment, device, opened.family),
        )

    def load_ahead(self, options: LoadOptions) -> None:
        """Load a checkpoint where there is room for it, while another model is asked; :meth:`load` then finds it."""
        for device in options.devices:
            self._workers.load_ahead(self._name, self._environment, _on_one(options, device), self.content)

    def close(self) -> None:
        """Do nothing; the processes end with ``workers``."""


class _Ahead(OpenFamily):
    """A process that may have loaded the checkpoint of this content ahead."""

    def __init__(self, family: RemoteFamily, content: str) -> None:
        self.family, self._content = family, content

    def resolve(self, options: LoadOptions) -> LoadOptions:
        return self.family.resolve(options)

    def load(self, options: LoadOptions) -> Model:
        return self.family.load(options, self._content)

    def close(self) -> None:
        self.family.close()


def _on_one(options: LoadOptions, device: str) -> LoadOptions:
    return replace(options, device=device, devices=(device,))
