"""Opens a family while the benchmark is read, where that takes long enough to be worth it."""

from __future__ import annotations

from threading import Thread
from typing import TYPE_CHECKING

from vlmprobe.families import open_family, this_python
from vlmprobe.families.kept_workers import KeptWorkers, n_devices

if TYPE_CHECKING:
    from vlmprobe.extraction.request import ExtractOptions
    from vlmprobe.families import OpenFamily, ScaleSpec

__all__ = ["Opening"]

#: A smaller benchmark is read in less time than PyTorch takes to import, and then a mistake in it is seen first.
_LARGE = 16 * 2**20


class Opening:
    """A family that is opened, here or in a thread that has begun."""

    def __init__(self, spec: ScaleSpec, wanted: ExtractOptions, workers: KeptWorkers | None) -> None:
        """Begin if the benchmark is large and the family's code runs in this process.

        Args:
            spec: the scale whose family it is.
            wanted: the benchmark that is read meanwhile, and the devices.
            workers: gets the processes of several devices, which begin, too.
        """
        data, n = wanted.data, n_devices(wanted.model)
        self._spec = spec
        self._family: OpenFamily | None = None
        self._error: BaseException | None = None
        self._thread: Thread | None = None
        if spec.environment is None and data.is_file() and data.stat().st_size >= _LARGE:
            # A daemon thread: the program does not wait for it when the benchmark is refused.
            if workers is not None and n > 1:
                workers.begin(spec.architecture, this_python(), n)
            self._thread = Thread(target=self._open, name="vlmprobe-opens", daemon=True)
            self._thread.start()

    def result(self) -> OpenFamily:
        """Return the family.

        Raises:
            UsageError: no family has this name.
            VlmprobeError: a package is missing, or its code is not there.
        """
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
