"""Gathers batches until a shard is full: by size, by pairs or by time, whichever comes first (DESIGN 5)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmprobe.store.shards import Answer, ShardContent, ShardFile, write_shard

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmprobe.families import BatchOutput
    from vlmprobe.settings import Settings

__all__ = ["ShardBuilder"]


class ShardBuilder:
    """Collects whole batches; a batch is never split across shards."""

    def __init__(
        self,
        settings: Settings,
        run_id: str,
        layers: tuple[int, ...],
        first: int,
        mark: str = "",
        *,
        step: int = 1,
    ) -> None:
        """Start empty; the next shard is number ``first``, then each ``step`` on; ``mark`` is in the names of all."""
        self._mark, self._step = mark, step
        self._settings, self._run_id, self._layers = settings, run_id, layers
        self._folder = settings.spool_of(run_id)
        self._number = first
        self._clear()

    def _clear(self) -> None:
        self._outputs: list[BatchOutput] = []
        self._answers: list[Answer] = []
        self._certificates: list[dict[str, Any]] = []
        self._n_bytes = 0
        self._since = time.monotonic()
        self._replaces = False

    def add(
        self,
        output: BatchOutput,
        answers: Sequence[Answer],
        *,
        certificate: dict[str, Any] | None = None,
        replaces: bool = False,
    ) -> None:
        """Add one batch."""
        if not self._outputs:
            self._since = time.monotonic()
        self._outputs.append(output)
        self._answers.extend(answers)
        self._n_bytes += output.states.nbytes
        self._replaces |= replaces
        if certificate is not None:
            self._certificates.append(certificate)

    @property
    def is_full(self) -> bool:
        """Whether it is time to write."""
        pairs = sum(len(output.pair_ids) for output in self._outputs)
        return bool(self._outputs) and (
            pairs >= self._settings.shard_pairs
            or self._n_bytes >= self._settings.shard_bytes
            or time.monotonic() - self._since >= self._settings.shard_seconds
        )

    def write(self) -> ShardFile | None:
        """Write the gathered batches, if any, and start the next shard."""
        if not self._outputs:
            return None
        content = ShardContent(
            run_id=self._run_id,
            number=self._number,
            pair_ids=tuple(pair_id for output in self._outputs for pair_id in output.pair_ids),
            states=np.concatenate([output.states for output in self._outputs], axis=1),
            dtype=self._outputs[0].dtype,
            layers=self._layers,
            answers=tuple(self._answers),
            certificates=tuple(self._certificates),
            replaces=self._replaces,
            mark=self._mark,
        )
        shard = write_shard(self._folder, content)
        self._number += self._step
        self._clear()
        return shard
