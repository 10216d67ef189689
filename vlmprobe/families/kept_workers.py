"""Processes that outlive their model: they start early, and load the next checkpoint without another start.

A model on a GPU has a process of its own, so that the next checkpoint can be loaded in another one meanwhile: within
one process, transformers changes the default number format of all threads while it loads. Starting a process takes as
long as importing PyTorch and transformers, several times what loading a checkpoint takes.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import FIRST_COMPLETED, wait
from contextlib import suppress
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from vlmprobe.families.base import Model, OpenFamily
from vlmprobe.families.pool import DevicePool, Place
from vlmprobe.families.remote import RemoteFamily

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future
    from types import TracebackType
    from typing import Self

    from vlmprobe.families.environments import Environment
    from vlmprobe.families.worker import LoadOptions, ModelOptions

__all__ = ["KeptFamily", "KeptWorkers", "n_processes"]

_NVIDIA = Path("/proc/driver/nvidia/gpus")
#: AMD's, and NVIDIA's under WSL and on Jetson.
_OTHER_DRIVERS = (Path("/dev/kfd"), Path("/dev/dxg"), Path("/dev/nvhost-gpu"))
#: How much later than another place an earlier one may answer, and still be the one whose answer counts.
_PREFERRED_S = 10.0


def n_processes(options: ModelOptions, environment: Environment | None = None) -> int:
    """Return how many processes a model will most likely have for its devices, without importing PyTorch to ask it.

    Returns:
        One for each GPU, and for each of several CPUs; 0 where the model will run in this process. With places
        elsewhere, how many at each of them: how many GPUs one has is not known here.
    """
    if environment is not None and environment.launch:
        return max(len(options.devices), 1)
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
    """Idle processes by family and environment, at one place each; use it as a context, at whose end they stop."""

    def __init__(self) -> None:
        """Start nothing."""
        self._lock = threading.RLock()
        self._closed = False
        self._idle: dict[tuple[str, Environment], list[tuple[str | None, RemoteFamily]]] = {}

    def begin(self, name: str, environment: Environment, n: int) -> None:
        """Let ``n`` processes be there, at each place, which load the family's code meanwhile.

        Raises:
            UsageError: no family has this name.
            ValueError: they were stopped; a thread that gets something ahead may come late.
        """
        with self._lock:
            if self._closed:
                raise ValueError("the processes were stopped")
            for place in environment.at_places():
                idle = [entry for entry in self._idle.get((name, place), []) if entry[1].is_usable]
                self._idle[name, place] = idle
                while len(idle) < n:
                    family = RemoteFamily(name, place)
                    idle.append((None, family))
                    family.begin()

    def resolve(self, name: str, environment: Environment, options: LoadOptions) -> LoadOptions:
        """Let an idle process say what options mean where it runs; see :meth:`OpenFamily.resolve`.

        Of several places the first that answers counts, so that one that is out of reach holds up nothing.
        """
        with self._lock:
            self.begin(name, environment, 1)
            asked = []
            for place in environment.at_places():
                # One that is loading a checkpoint answers later.
                _, family = min(self._idle[name, place], key=lambda entry: entry[1].has_ahead)
                asked.append(family.resolving(options))
        return _first_answer(asked)

    def load_ahead(
        self, name: str, environment: Environment, options: LoadOptions, content: str, *, beside: bool = True
    ) -> None:
        """Let an idle process of the options' device, or a new one, load a checkpoint that is asked later.

        ``beside``: see :meth:`RemoteFamily.load_ahead`. A checkpoint that was loaded ahead before is not loaded again.
        """
        with self._lock:
            idle = self._idle.get((name, environment), [])
            if self._closed or any(
                family.is_ahead(options, content) and family.is_usable for _, family in idle
            ):
                return
            family = self.take(name, environment, options.device)
            family.load_ahead(options, content, beside=beside)
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
            environment: the Python that its processes run, and the places where they do.
            workers: gives the processes and takes them back.
        """
        self._name, self._environment, self._workers = name, environment, workers
        self.content = ""
        """The fingerprint of the checkpoint that is meant: another of the same name may have been loaded ahead."""

    def resolve(self, options: LoadOptions) -> LoadOptions:
        """See :meth:`OpenFamily.resolve`; this process imports no PyTorch for it."""
        return self._workers.resolve(self._name, self._environment, options)

    def load(self, options: LoadOptions) -> DevicePool:
        """Load the checkpoint on every device of ``options.devices`` at once; see :meth:`OpenFamily.load`.

        With places elsewhere: on these devices of each of them.
        """
        places = [
            self._place(environment, device, options)
            for environment in self._environment.at_places()
            for device in options.devices
        ]
        return DevicePool(places, options, elsewhere=bool(self._environment.launch))

    def _place(self, environment: Environment, device: str, options: LoadOptions) -> Place:
        def open_one() -> _Ahead:
            wanted = _on_one(options, device)
            return _Ahead(
                self._workers.take(self._name, environment, device, wanted, self.content), self.content
            )

        def keep(opened: _Ahead) -> None:
            self._workers.keep(self._name, environment, device, opened.family)

        words = [] if environment.place is None else [environment.place.name]
        if not words or len(options.devices) > 1:
            words.append(device)
        return Place(", ".join(words), device, open_one, keep)

    def load_ahead(self, options: LoadOptions, *, beside: bool = True) -> None:
        """Begin to load a checkpoint; :meth:`load` then finds it.

        Not elsewhere: what starts a process there may wait until the one that is there has ended.

        Args:
            options: what to load.
            beside: another model is asked meanwhile, and this one is loaded only where there is room for both.
        """
        if self._environment.launch:
            return
        for device in options.devices:
            self._workers.load_ahead(
                self._name, self._environment, _on_one(options, device), self.content, beside=beside
            )

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


def _first_answer(asked: Sequence[Future[LoadOptions]]) -> LoadOptions:
    """Return the answer of the first place, unless that fails or comes much later than another's.

    Raises:
        Exception: what the first place raised, if none answers.
    """
    open_ = set(asked)
    while open_:
        done, open_ = wait(open_, return_when=FIRST_COMPLETED)
        if any(each.exception() is None for each in done):
            break
    earlier = next((place for place, each in enumerate(asked) if _is_answer(each)), 0)
    wait(asked[:earlier], _PREFERRED_S)
    return next(filter(_is_answer, asked), asked[0]).result()


def _is_answer(asked: Future[LoadOptions]) -> bool:
    return asked.done() and asked.exception() is None
