"""Which image and which group each vector of a study belongs to."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from vlmprobe.analysis.geometry.unions import Unions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmprobe.analysis.deltas import FloatArray, IntArray

__all__ = ["Layout"]


class Layout:
    """Which image and which group each of N vectors belongs to; the same for every layer of a run."""

    def __init__(self, groups: Sequence[int] | IntArray, images: Sequence[str], n_groups: int) -> None:
        """Sort the vectors by image and, within it, by group; vectors of both alike form a cell.

        Args:
            groups: N numbers from 0 to ``n_groups`` - 1.
            images: N image names or hashes. Studies of the same names have the same order of images.
            n_groups: T.

        Raises:
            ValueError: the lengths differ, or a number is none of a group.
        """
        self.groups = np.asarray(groups, dtype=np.int64)
        if len(self.groups) != len(images):
            raise ValueError(f"{len(self.groups)} vectors need one image each, got {len(images)}")
        if len(self.groups) and not 0 <= self.groups.min() <= self.groups.max() < n_groups:
            raise ValueError(f"groups must be numbers from 0 to {n_groups - 1}")
        self.n_groups = n_groups
        names, self.images = np.unique(np.asarray(images, dtype=np.str_), return_inverse=True)
        self.image_names: tuple[str, ...] = tuple(names.tolist())
        self.order = np.lexsort((self.groups, self.images))
        keys = (self.images * n_groups + self.groups)[self.order]
        self.starts = np.flatnonzero(np.append(True, keys[1:] != keys[:-1])) if len(keys) else keys
        #: Of each cell, in the order of images: its image and its group; of each vector in ``order``, its cell.
        self.cell_images, self.cell_groups = keys[self.starts] // n_groups, keys[self.starts] % n_groups
        self.cell_sizes: IntArray = np.diff(np.append(self.starts, len(keys)))
        self.cell_of = np.repeat(np.arange(len(self.starts)), self.cell_sizes)
        self._unions: dict[tuple[int, bytes], Unions] = {}

    @property
    def n_images(self) -> int:
        """G."""
        return len(self.image_names)

    @cached_property
    def cell_pairs(self) -> tuple[IntArray, IntArray]:
        """(K,) cells, and each one's partners: itself and the later ones of its image. In the order of the first."""
        seconds = self._pair_starts[1:] - self._pair_starts[:-1]
        firsts = np.repeat(np.arange(len(self.starts)), seconds)
        return firsts, firsts + np.arange(len(firsts)) - self._pair_starts[firsts]

    @cached_property
    def _pair_starts(self) -> IntArray:
        """(cells + 1,) where the pairs of each first cell begin in ``cell_pairs``, and the last ones end."""
        of_image = np.bincount(self.cell_images, minlength=self.n_images)
        seconds = np.cumsum(of_image)[self.cell_images] - np.arange(len(self.starts))
        found: IntArray = np.append(0, np.cumsum(seconds))
        return found

    def pair_numbers(self, first: IntArray, second: IntArray) -> IntArray:
        """Return the places in ``cell_pairs`` of pairs of cells of one image, the first no later than the second."""
        return self._pair_starts[first] + second - first

    def unions(self, members: FloatArray) -> Unions:
        """Return unions of groups, prepared once for all layers.

        Args:
            members: (T', T) which groups a union holds, as of ``CrossSums.products``.
        """
        key = len(members), members.tobytes()
        if key not in self._unions:
            self._unions[key] = Unions(self, members)
        return self._unions[key]

    def twice(self) -> Layout:
        """Return the layout of two runs over the same vectors: those of the second, in groups T ... 2T - 1, behind."""
        names = np.array(self.image_names, dtype=np.str_)[self.images]
        groups = np.concatenate([self.groups, self.groups + self.n_groups])
        return Layout(groups, np.concatenate([names, names]).tolist(), 2 * self.n_groups)
