"""The fast path of every causal family: run image and prompt prefix once, then the questions on their cache.

    questions of one image   [prefix: chat template, image, the words they begin with alike][suffix A]
                                                                                          [suffix B]
    forward 1: the prefixes of a batch's images, padded on the left      -> one KV cache row per image
    forward 2: the suffixes on the cache rows, repeated per question     -> hidden states, logits
    then one forward per generated token

A causal model's states at a token depend on nothing after it, so the states of the last prompt token are those of
a forward over the whole prompt, up to rounding. A family declares its positions, its cache, whether its
prompts may be padded, and whether it is causal at all. One that is not runs one forward over whole prompts.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

from vlmprobe.families.worker.engine.capture import HostStates, LastTokenCapture
from vlmprobe.families.worker.engine.memory import reporting_full_memory
from vlmprobe.families.worker.engine.plain import PlainFamily
from vlmprobe.families.worker.engine.prompts import pad_left
from vlmprobe.families.worker.loading.devices import on_device
from vlmprobe.families.worker.loading.reading import quiet

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from vlmprobe.families.worker.contract import BatchItem, BatchOutput

    Floats = np.ndarray[Any, np.dtype[np.float64]]

__all__ = ["Group", "PreparedBatch", "Prompts", "Rows", "SharedPrefixFamily"]


@dataclass(frozen=True)
class Prompts:
    """The questions of a batch as model input, with image tokens and without padding."""

    ids: Sequence[Sequence[int]]
    """Token ids per question, two questions per pair."""
    image_of_row: Sequence[int]
    """Which of the batch's distinct images each question is about."""
    image_end: Sequence[int]
    """For each question, the place after its last image token; no prefix may end before it."""
    images: Any
    """The distinct images as the family prepared them; passed on to :meth:`SharedPrefixFamily.forward`."""
    positions: Sequence[Tensor] | None = None
    """Per question its position ids, (length,) or (axes, length); 0, 1, 2 ... when None."""


@dataclass(frozen=True)
class Rows:
    """The input of one forward pass, on the model's device, padded on the left."""

    ids: Tensor
    """(rows, length); 0 where the mask is."""
    mask: Tensor
    """(rows, cached + length): 1 for a token, 0 for padding."""
    positions: Tensor
    """(rows, length), or (axes, rows, length)."""
    images: Sequence[int] | None
    """The distinct image that each row holds; None if all image tokens are already in the cache."""


@dataclass(frozen=True)
class Group:
    """Questions that share their forward passes."""

    rows: list[int]
    splits: list[int] | None
    """Where each distinct image's prefix ends; None if nothing is shared."""
    plan: Any = None
    """What :meth:`SharedPrefixFamily.plan` returned."""


@dataclass(frozen=True)
class PreparedBatch:
    """A batch after all preprocessing that needs no model."""

    items: Sequence[BatchItem]
    prompts: Prompts
    groups: list[Group]


class SharedPrefixFamily(PlainFamily):
    """A family of decoder models; a subclass defines how to prepare prompts and run one forward pass."""

    causal: bool = True
    """Whether a token's states are independent of later tokens; a subclass may find out when it loads."""
    pads_prefixes: ClassVar[bool] = True
    """Whether prefixes of different lengths may share a forward; otherwise each length runs separately."""

    # What a family fills in.

    @abstractmethod
    def prompts(self, items: Sequence[BatchItem]) -> Prompts:
        """Prepare each distinct image once and write both questions of every pair as token ids."""

    @abstractmethod
    def forward(self, rows: Rows, images: Any, cache: Any) -> tuple[Tensor, Any]:
        """Run one forward pass.

        Args:
            rows: what to read; with ``rows.images`` None there are no image tokens among the ids.
            images: the batch's :attr:`Prompts.images`.
            cache: what an earlier pass returned; None at first.

        Returns:
            The logits after each row's last token, (rows, vocabulary), and the cache of all tokens so far.
        """

    def select_rows(self, cache: Any, rows: Tensor) -> Any:
        """Return the cache with these rows, which may repeat; transformers' caches do it in place."""
        cache.batch_select_indices(rows)
        return cache

    # What all share.

    def run_batch(self, items: Sequence[BatchItem]) -> BatchOutput:
        """See :meth:`Family.run_batch`."""
        return self.run_prepared(self.prepare(items))

    @torch.inference_mode()
    def prepare(self, items: Sequence[BatchItem]) -> PreparedBatch:
        """Write the prompts of N pairs; pairs that hold the same image object share its preparation."""
        with on_device(self.device):
            prompts = self.prompts(items)
            return PreparedBatch(items, prompts, self._groups(prompts))

    @torch.inference_mode()
    def run_prepared(self, prepared: PreparedBatch) -> BatchOutput:
        """Infer N pairs at once; each image is encoded and read once."""
        with on_device(self.device):
            return reporting_full_memory(lambda: self._run_prepared(prepared))

    def first_prompt(self, item: BatchItem) -> dict[str, Any]:
        """Return text and token ids of a pair's original question, as the model gets them."""
        prompts = self.prompts([item])
        ids = list(prompts.ids[0])
        return {"text": self.tokenizer.decode(ids), "token_ids": ids}

    def plan(self, prompts: Prompts, rows: Sequence[int], splits: Sequence[int]) -> Any:
        """Plan on the host what :meth:`read_group` needs of these questions; most families need nothing."""
        del prompts, rows, splits

    def _describe(self) -> dict[str, Any]:
        return {**super()._describe(), "shared_prefix": self.causal}

    def _run_prepared(self, prepared: PreparedBatch) -> BatchOutput:
        items, prompts = prepared.items, prepared.prompts
        answers = [answer for item in items for answer in item.answers]
        n_rows = len(prompts.ids)
        states = HostStates(len(self._modules), n_rows, self.info.dim)
        texts = [""] * n_rows
        margins: Floats = np.full(n_rows, np.nan)
        leads: Floats = np.full(n_rows, np.nan)
        for group in prepared.groups:
            logits, captured, step = self.read_group(prompts, group)
            # The copy goes on while the answers are decoded.
            states.start_copy(group.rows, captured)
            margins[group.rows] = self._margins.read(logits, [answers[row] for row in group.rows])
            with quiet():
                ids = [prompts.ids[row] for row in group.rows]
                new, leads[group.rows] = self._decoder.decode(ids, logits, step)
            for row, tokens in zip(group.rows, new, strict=True):
                texts[row] = self._text(tokens)
        return replace(self._output(items, states.array(), texts, margins), leads=leads.reshape(-1, 2))

    def _groups(self, prompts: Prompts) -> list[Group]:
        """Put the questions into groups that share their forward passes."""
        splits = _shared_lengths(prompts) if self.causal else None
        if self.pads_prefixes:
            return [self._group(prompts, list(range(len(prompts.ids))), splits)]
        by_length: dict[int, list[int]] = {}
        for row, (ids, image) in enumerate(zip(prompts.ids, prompts.image_of_row, strict=True)):
            by_length.setdefault(len(ids) if splits is None else splits[image], []).append(row)
        return [self._group(prompts, rows, splits) for rows in by_length.values()]

    def _group(self, prompts: Prompts, rows: list[int], splits: list[int] | None) -> Group:
        return Group(rows, splits, None if splits is None else self.plan(prompts, rows, splits))

    def read_group(self, prompts: Prompts, group: Group) -> tuple[Tensor, Tensor, Callable[[Tensor], Tensor]]:
        """Run the prompts of a group.

        Returns:
            The logits after each question, (rows, vocabulary); the states of its last token, (layers, rows, dim); and
            a function that reads one more token per question, (rows, 1), and returns the logits after it.
        """
        positions = prompts.positions or [torch.arange(len(ids)) for ids in prompts.ids]
        if group.splits is None:
            parts = [(prompts.ids[row], positions[row]) for row in group.rows]
            rows = self._pad(parts, images=[prompts.image_of_row[row] for row in group.rows])
            cache = None
        else:
            rows, cache = self._read_prefixes(prompts, positions, group.rows, group.splits)
        with LastTokenCapture(self._modules) as capture:
            logits, cache = self.forward(rows, prompts.images, cache)
        ends = torch.stack([positions[row].max() for row in group.rows]).to(self.device)
        return logits, capture.stacked(), _Step(self, prompts.images, cache, rows, ends + 1)

    def _read_prefixes(
        self, prompts: Prompts, positions: Sequence[Tensor], rows: Sequence[int], splits: Sequence[int]
    ) -> tuple[Rows, Any]:
        """Run each image's prefix once; return what is left of the questions, and the cache repeated for them."""
        images = [prompts.image_of_row[row] for row in rows]
        first_row = {prompts.image_of_row[row]: row for row in reversed(rows)}
        distinct = sorted(first_row)
        prefixes = [
            (
                prompts.ids[first_row[image]][: splits[image]],
                positions[first_row[image]][..., : splits[image]],
            )
            for image in distinct
        ]
        prefix = self._pad(prefixes, images=distinct)
        _, cache = self.forward(prefix, prompts.images, None)
        of_row = torch.tensor([distinct.index(image) for image in images], device=self.device)
        cache = self.select_rows(cache, of_row)
        suffixes = [
            (prompts.ids[row][splits[image] :], positions[row][..., splits[image] :])
            for row, image in zip(rows, images, strict=True)
        ]
        return self._pad(suffixes, cached_mask=prefix.mask[of_row]), cache

    def _pad(
        self,
        parts: Sequence[tuple[Sequence[int], Tensor]],
        *,
        images: Sequence[int] | None = None,
        cached_mask: Tensor | None = None,
    ) -> Rows:
        """Put token ids and positions into one block on the model's device, padded on the left."""
        ids = pad_left([tokens for tokens, _ in parts])
        mask = pad_left([[1] * len(tokens) for tokens, _ in parts])
        positions = torch.zeros((*parts[0][1].shape[:-1], *ids.shape), dtype=torch.long)
        for row, (tokens, places) in enumerate(parts):
            positions[..., row, ids.shape[1] - len(tokens) :] = places
        ids, mask, positions = (tensor.to(self.device) for tensor in (ids, mask, positions))
        if cached_mask is not None:
            mask = torch.cat([cached_mask, mask], dim=1)
        return Rows(ids, mask, positions, images)


class _Step:
    """Runs decoding steps on the KV cache; each moves the text on by one position on every axis."""

    def __init__(
        self, family: SharedPrefixFamily, images: Any, cache: Any, rows: Rows, next_position: Tensor
    ) -> None:
        self._family, self._images, self._cache = family, images, cache
        self._mask = rows.mask
        self._axes = rows.positions.shape[:-2]
        self._position = next_position

    def __call__(self, tokens: Tensor) -> Tensor:
        self._mask = torch.cat([self._mask, torch.ones_like(tokens)], dim=1)
        positions = self._position[:, None].expand(*self._axes, -1, 1)
        rows = Rows(tokens, self._mask, positions, None)
        logits, self._cache = self._family.forward(rows, self._images, self._cache)
        self._position = self._position + 1
        return logits


def _shared_lengths(prompts: Prompts) -> list[int] | None:
    """Return per image how many leading tokens its questions share, fewer than the shortest has.

    None if the questions of an image differ before its last image token, as nothing can be shared then.
    """
    rows_of: dict[int, list[int]] = {}
    for row, image in enumerate(prompts.image_of_row):
        rows_of.setdefault(image, []).append(row)
    lengths = []
    for image in sorted(rows_of):
        rows = rows_of[image]
        shortest = min(len(prompts.ids[row]) for row in rows)
        columns = zip(*(prompts.ids[row][: shortest - 1] for row in rows), strict=True)
        alike = next((place for place, column in enumerate(columns) if len(set(column)) > 1), shortest - 1)
        if alike < max(prompts.image_end[row] for row in rows):
            return None
        lengths.append(alike)
    return lengths
