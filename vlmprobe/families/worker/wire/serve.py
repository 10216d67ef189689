"""A worker's loop: one call in, one answer out, until the parent is gone."""

from __future__ import annotations

import gc
import os
import queue
import sys
import threading
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from vlmprobe.families.worker.faults import Fault, OutOfMemoryError, of_checkpoint
from vlmprobe.families.worker.wire import protocol
from vlmprobe.families.worker.wire.beside import fits_beside, read_through
from vlmprobe.families.worker.wire.family_code import load_code

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import IO

    from vlmprobe.families.worker.contract import BatchOutput
    from vlmprobe.families.worker.engine.family import Family

__all__ = ["serve"]

_TURN_S = 0.0005
#: Threads that share an operation on a processor, beside a GPU.
_GPU_THREADS = 4

Answer = tuple[dict[str, Any], list[bytes]]


def serve(target: str, calls: IO[bytes], answers: IO[bytes]) -> None:
    """Serve calls to the family at ``module:class``; exit with the parent, even in the middle of a batch.

    A batch is prepared while the model infers the one before.
    """
    # Preparing images waits for the GIL: half a millisecond at a time, not five.
    sys.setswitchinterval(_TURN_S)
    waiting: queue.Queue[Answer] = queue.Queue()
    ready: queue.Queue[Callable[[], Answer]] = queue.Queue(maxsize=1)
    worker = _Worker(target)
    threading.Thread(target=_listen, args=(calls, waiting), daemon=True).start()
    threading.Thread(target=_make_ready, args=(worker, waiting, ready), daemon=True).start()
    while True:
        answer = ready.get()
        try:
            header, out = answer()
        except Fault as fault:
            header, out = {"fault": fault.kind, "message": str(fault)}, []
        except OutOfMemoryError as error:
            header, out = {"fault": error.kind, "message": str(error)}, []
        except Exception as error:  # noqa: BLE001  (whatever a model raises is the parent's to judge)
            header, out = {"error": type(error).__name__, "message": str(error)}, []
        protocol.send(answers, header, out)


def _make_ready(
    worker: _Worker, waiting: queue.Queue[Answer], ready: queue.Queue[Callable[[], Answer]]
) -> None:
    while True:
        said, blobs = waiting.get()
        try:
            ready.put(worker.make_ready(said, blobs))
        except Exception as error:  # noqa: BLE001  (raised again where its answer is due)
            ready.put(partial(_raise, error))


def _raise(error: Exception) -> Answer:
    raise error


def _listen(calls: IO[bytes], waiting: queue.Queue[Answer]) -> None:
    while True:
        try:
            frame = protocol.receive(calls)
        except (protocol.ProtocolError, OSError):
            frame = None
        if frame is None:
            # The parent is gone; nobody will read an answer.
            os._exit(0)
        waiting.put(frame)


class _Worker:
    """One family's code and, once loaded, its model."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._code: type[Family] | None = None
        self._model: Family | None = None

    def make_ready(self, said: dict[str, Any], blobs: list[bytes]) -> Callable[[], Answer]:
        """Do the part that needs no model; return a function that computes the reply."""
        call = said["call"]
        if call == "resolve":
            return lambda: self._resolve(said)
        if call == "load":
            return lambda: self._load(said)
        if call == "begin":
            return self._begin
        if call == "unload":
            return self._unload
        if self._model is None:
            raise ValueError(f"{call} was called before a model was loaded")
        model = self._model
        if call == "room":
            return lambda: ({"bytes": _room(model.info.device)}, [])
        if call == "unembedding":
            return lambda: protocol.write_unembedding(model.unembedding(said["words"]))
        items = protocol.read_items(said, blobs)
        if call == "first_prompt":
            return lambda: ({"prompt": model.first_prompt(items[0])}, [])
        if call == "fitting_batch":
            return lambda: ({"pairs": model.fitting_batch(items)}, [])
        if call == "run_exact":
            return lambda: _exact(model.run_exact(items))
        if call == "run_plain":
            return lambda: protocol.write_output(model.run_plain(items))
        prepared = model.prepare(items)
        return lambda: protocol.write_output(model.run_prepared(prepared))

    def _resolve(self, said: dict[str, Any]) -> Answer:
        given = protocol.read_options(said["options"])
        code = self._family()
        with of_checkpoint(given.checkpoint):
            options = code.resolve(given)
        return {"options": protocol.write_options(options)}, []

    def _load(self, said: dict[str, Any]) -> Answer:
        options = protocol.read_options(said["options"])
        code = self._family()
        self._model = None
        if not said.get("beside"):
            with of_checkpoint(options.checkpoint):
                self._model = code.load(options)
            _limit_threads()
            return {"info": protocol.write_info(self._model.info)}, []
        if not fits_beside(options):
            read_through(options.checkpoint)
            return {"none": True}, []
        try:
            with of_checkpoint(options.checkpoint):
                self._model = code.load(options)
        except BaseException:
            # Another model needs what this attempt left on the device.
            self._unload()
            raise
        _limit_threads()
        return {"info": protocol.write_info(self._model.info)}, []

    def _begin(self) -> Answer:
        # What is wrong with it is said where it is needed.
        with suppress(Exception):
            self._family()
        return {}, []

    def _unload(self) -> Answer:
        self._model = None
        gc.collect()
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_initialized():
            torch.cuda.empty_cache()
        return {}, []

    def _family(self) -> type[Family]:
        if self._code is None:
            self._code = load_code(self._target)
        return self._code


def _limit_threads() -> None:
    """Let few threads share what a GPU's model leaves to processors, unless the user says how many.

    Sixteen on 16 cores hold up the thread that starts the GPU's work: 3,600 pairs took 55.5 s, and 50.5 s with four.
    """
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized() and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(min(_GPU_THREADS, torch.get_num_threads()))


def _room(device: str) -> int | None:
    """Return a GPU's free memory; a family without one need not have PyTorch."""
    if not device.startswith("cuda"):
        return None
    from vlmprobe.families.worker.engine.memory import free_memory

    return free_memory(device)


def _exact(output: BatchOutput | None) -> Answer:
    return ({"none": True}, []) if output is None else protocol.write_output(output)
