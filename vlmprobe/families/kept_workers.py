"""Processes that outlive their model: they start early, and load the next checkpoint without another start.

Starting one takes as long as importing PyTorch and transformers, several times what loading a checkpoint takes.
"""

from __future__ import annotations

import os
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from vlmprobe.families.remote import RemoteFamily

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from vlmprobe.families.environments import Environment
    from vlmprobe.families.worker import ModelOptions

__all__ = ["KeptWorkers", "n_devices"]

_NVIDIA = Path("/proc/driver/nvidia/gpus")


def n_devices(options: ModelOptions) -> int:
    """Return how many devices will most likely share the work, without importing PyTorch to ask it."""
    if options.devices:
        return len(options.devices)
    if options.device not in {"auto", "cuda"}:
        return 1
    found = 1
    with suppress(OSError):
        found = len(list(_NVIDIA.iterdir()))
    shown = os.environ.get("CUDA_VISIBLE_DEVICES")
    if shown is not None:
        found = min(found, len(list(takewhile(lambda name: name not in {"", "-1"}, shown.split(",")))))
    return max(found, 1)


class KeptWorkers:
    """Idle processes by family and environment; use it as a context, at whose end they stop."""

    def __init__(self) -> None:
        """Start nothing."""
        self._idle: dict[tuple[str, Environment], list[tuple[str | None, RemoteFamily]]] = {}

    def begin(self, name: str, environment: Environment, n: int) -> None:
        """Let ``n`` processes be there, which load the family's code meanwhile.

        Raises:
            UsageError: no family has this name.
        """
        idle = self._idle.setdefault((name, environment), [])
        while len(idle) < n:
            family = RemoteFamily(name, environment)
            idle.append((None, family))
            family.begin()

    def take(self, name: str, environment: Environment, device: str) -> RemoteFamily:
        """Return an idle process that used this device or none yet, or one that is still to be started.

        A process that turned to another device would keep some memory of the first. One that ended meanwhile is passed
        over.

        Raises:
            UsageError: no family has this name.
        """
        idle = self._idle.get((name, environment), [])
        for known in (device, None):
            for entry in list(idle):
                if entry[0] == known:
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
        self._idle.setdefault((name, environment), []).append((device, family))

    def close(self) -> None:
        """Stop all that are idle."""
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
