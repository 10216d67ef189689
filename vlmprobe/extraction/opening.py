"""Opens a family while the benchmark is read, where that takes long enough to be worth it."""

from __future__ import annotations

from threading import Thread
from typing import TYPE_CHECKING

from vlmprobe.families import Environment, open_family, open_in_processes
from vlmprobe.families.kept_workers import KeptWorkers, n_processes

if TYPE_CHECKING:
    from vlmprobe.extraction.request import ExtractOptions
    from vlmprobe.families import OpenFamily, ScaleSpec

__all__ = ["Opening"]

#: A smaller benchmark is read in less time than PyTorch takes to import, and then a mistake in it is seen first.
#: Imports in another process do not delay that.
_LARGE = 16 * 2**20


class Opening:
    """A family that is opened: in processes of its own, which may have begun, here, or in a thread that has begun."""

    def __init__(self, spec: ScaleSpec, wanted: ExtractOptions, workers: KeptWorkers) -> None:
        """Begin if the benchmark is large, and in processes on this machine whatever its size.

        Args:
            spec: the scale whose family it is.
            wanted: the benchmark that is read meanwhile, and the devices.
            workers: has the processes of a model's devices.

        Raises:
            UsageError: no family has this name.
        """
        data, n = wanted.data, n_processes(wanted.model, spec.environment)
        self._spec, self._workers = spec, workers
        self._has_processes = n > 0
        self._family: OpenFamily | None = None
        self._error: BaseException | None = None
        self._thread: Thread | None = None
        if not data.is_file():
            return
        environment = spec.environment or Environment.of_this_process()
        is_large = data.stat().st_size >= _LARGE
        if n and (is_large or not environment.launch):
            workers.begin(spec.architecture, environment, n)
        elif not n and is_large and spec.environment is None:
            # A daemon thread: the program does not wait for it when the benchmark is refused.
            self._thread = Thread(target=self._open, name="vlmprobe-opens", daemon=True)
            self._thread.start()

    def result(self) -> OpenFamily:
        """Return the family.

        Raises:
            UsageError: no family has this name.
            VlmprobeError: a package is missing, or its code is not there.
        """
        if self._has_processes:
            return open_in_processes(self._spec.architecture, self._spec.environment, self._workers)
        if self._thread is None:
            return open_family(self._spec.architecture, self._spec.environment)
        self._thread.join()
        if self._error is not None:
            raise self._error
        assert self._family is not None  # noqa: S101  (one of the two was set)
        return self._family

    def _open(self) -> None:
        try:
            self._family = open_family(self._spec.architecture, self._spec.environment)
        except BaseException as error:  # noqa: BLE001 - raised where the family is asked for
            self._error = error
