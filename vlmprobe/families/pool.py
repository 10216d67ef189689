"""One model on one device or several, with a process for each; a batch goes to the least busy device."""

from __future__ import annotations

import threading
from concurrent.futures import Future, InvalidStateError, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from vlmprobe.errors import WorkerError, first_line
from vlmprobe.families.base import Model, NotExactError
from vlmprobe.families.worker import OutOfMemoryError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vlmprobe.families.base import How, OpenFamily
    from vlmprobe.families.worker import BatchItem, BatchOutput, LoadOptions, Unembedding

__all__ = ["DevicePool"]


@dataclass
class _Call:
    """A submitted batch and the future of its output."""

    items: Sequence[BatchItem]
    how: How
    promised: Future[BatchOutput]


@dataclass
class _Device:
    """One device, its process and its pending batches."""

    name: str
    family: OpenFamily
    model: Model
    calls: list[_Call] = field(default_factory=list)
    restarts: int = 0
    failed: bool = False
    """Whether a call ended in an error that may have left the process unusable."""
    starting: bool = False


class DevicePool(Model):
    """One process per device; one that dies is restarted once, and its pending batches are rerun."""

    def __init__(
        self,
        open_one: Callable[[str], OpenFamily],
        options: LoadOptions,
        keep: Callable[[str, Any], None] | None = None,
    ) -> None:
        """Start one process per device and load the checkpoint in all of them in parallel.

        Args:
            open_one: opens the family in a process of its own, for a device.
            options: with the names of the devices.
            keep: takes back the process of a device when it is idle; None = it is stopped.
        """
        self._open_one, self._options, self._keep = open_one, options, keep
        self._lock = threading.RLock()
        self._closed = False
        self._loading: list[OpenFamily] = []
        threads = ThreadPoolExecutor(len(options.devices), "vlmprobe-load")
        try:
            loading = [threads.submit(self._start, device) for device in options.devices]
            wait(loading)
        except BaseException:
            # Ctrl-C: a load that goes on for minutes ends with its process.
            self._closed = True
            for family in self._loading:
                family.close()
            raise
        finally:
            threads.shutdown(wait=False)
        broken = next((error for each in loading if (error := each.exception()) is not None), None)
        self._devices = [_Device(*each.result()) for each in loading if each.exception() is None]
        if broken is not None:
            self.close()
            raise broken
        first = self._devices[0].model.info
        self.info = replace(first, manifest={**first.manifest, "devices": list(options.devices)})
        self.depth = sum(device.model.depth for device in self._devices)

    def submit(self, items: Sequence[BatchItem], *, how: How = "fast") -> Future[BatchOutput]:
        """See :meth:`Model.submit`."""
        call = _Call(items, how, Future())
        with self._lock:
            device = min(self._devices, key=lambda device: len(device.calls))
            device.calls.append(call)
            if not device.starting:
                self._send(device, call)
        return call.promised

    def first_prompt(self, item: BatchItem) -> dict[str, Any]:
        """See :meth:`Model.first_prompt`."""
        return self._devices[0].model.first_prompt(item)

    def unembedding(self, words: Sequence[str]) -> Unembedding | None:
        """See :meth:`Model.unembedding`; all devices hold the same."""
        return self._devices[0].model.unembedding(words)

    def fitting_batch(self, items: Sequence[BatchItem]) -> int:
        """See :meth:`Model.fitting_batch`; the smallest of all devices."""
        with ThreadPoolExecutor(len(self._devices)) as threads:
            found = [threads.submit(device.model.fitting_batch, items) for device in self._devices]
        return min(each.result() for each in found)

    def close(self) -> None:
        """Stop all processes, or give those back that are idle."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            devices = list(self._devices)
        for device in devices:
            if self._keep is not None and not (device.calls or device.starting or device.failed):
                self._keep(device.name, device.family)
                continue
            device.model.close()
            device.family.close()

    def _start(self, device: str) -> tuple[str, OpenFamily, Model]:
        family = self._open_one(device)
        self._loading.append(family)
        if self._closed:
            family.close()
        try:
            return device, family, family.load(replace(self._options, device=device, devices=(device,)))
        except BaseException:
            family.close()
            raise

    def _send(self, device: _Device, call: _Call) -> None:
        model = device.model
        begun = model.submit(call.items, how=call.how)
        begun.add_done_callback(lambda done: self._finish(device, model, call, done))

    def _finish(self, device: _Device, model: Model, call: _Call, done: Future[BatchOutput]) -> None:
        error: BaseException | None
        if done.cancelled() and not self._closed:
            # A process that dies cancels the batches it had not begun. Left cancelled, a batch would be
            # rerun pair by pair, with other last bits than the whole batch.
            error = WorkerError(f"{device.name}: its process died")
        else:
            error = None if done.cancelled() else done.exception()
        if error is not None and not isinstance(error, (NotExactError, OutOfMemoryError)):
            device.failed = True
        if isinstance(error, WorkerError) and self._restart(device, model, error):
            return
        with self._lock, suppress(ValueError):
            device.calls.remove(call)
        with suppress(InvalidStateError):  # nobody waits for it any more
            if error is not None:
                call.promised.set_exception(error)
            elif done.cancelled():
                call.promised.cancel()
            else:
                call.promised.set_result(done.result())

    def _restart(self, device: _Device, model: Model, error: WorkerError) -> bool:
        """Restart a process that died; return whether its calls will be handled."""
        with self._lock:
            if self._closed:
                return False
            if device.starting or device.model is not model:
                return True
            if device.restarts:
                return False
            device.restarts, device.starting = 1, True
        self.warn(f"{device.name}: its process died and is being restarted ({first_line(error)})")
        threading.Thread(target=self._start_again, args=(device,), daemon=True).start()
        return True

    def _start_again(self, device: _Device) -> None:
        device.model.close()
        device.family.close()
        try:
            _, device.family, device.model = self._start(device.name)
        except Exception as error:  # noqa: BLE001  (whoever waits for its batches gets it)
            with self._lock:
                lost, device.calls, device.starting = device.calls, [], False
            for call in lost:
                call.promised.set_exception(error)
            return
        with self._lock:
            device.starting = False
            for call in list(device.calls):
                self._send(device, call)
