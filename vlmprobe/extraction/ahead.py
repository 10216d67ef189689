"""Gets the weights of the next scale while the current one is asked."""

from __future__ import annotations

from contextlib import suppress
from threading import Thread
from typing import TYPE_CHECKING

from vlmprobe.extraction.request import prepare
from vlmprobe.families import KeptFamily, fingerprint, is_local, load_catalog, n_processes
from vlmprobe.workspace import Silent

if TYPE_CHECKING:
    from vlmprobe.extraction.request import ExtractRequest
    from vlmprobe.workspace import Workspace

__all__ = ["get_ahead"]


def get_ahead(workspace: Workspace, now: ExtractRequest, following: ExtractRequest) -> None:
    """Get the next scale's weights in a thread: into a process of its own where models have one, else their pages."""
    workers = workspace.workers

    def read() -> None:
        with suppress(Exception):  # raised again when that scale's turn comes
            load = load_catalog().scale
            spec, before = (
                load(each.family, each.scale, each.checkpoint, each.processor) for each in (following, now)
            )
            if spec.checkpoint == before.checkpoint:
                return
            if workers is not None and n_processes(following.options.model):
                prepared = prepare(
                    following,
                    Silent(),
                    workers=workers,
                    hashes=workspace.hashes,
                    benchmarks=workspace.benchmarks,
                )
                if isinstance(prepared.family, KeptFamily):
                    prepared.family.load_ahead(prepared.options)
            elif is_local(spec.checkpoint):
                fingerprint(spec.checkpoint, following.revision or spec.revision, hashes=workspace.hashes)

    Thread(target=read, name="vlmprobe-weights", daemon=True).start()
