"""Prepares images for the Qwen family: resizes them on the host, cuts them into patches on the device.

An image is transferred as resized bytes, a twelfth of what its patches take. Pillow resizes it, by the
checkpoint's own rule for the size; the rest is arithmetic on pixels, the same up to a last bit on any device.
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL.Image import Image
    from torch import Tensor

__all__ = ["ImagePatches", "ResizedImages"]

#: Threads that resize the images of a batch.
_RESIZERS = 4
#: The processor's own arithmetic and this one's differ by the order of float operations at most.
_SAME = 1e-5


@dataclass(frozen=True)
class ResizedImages:
    """Distinct images of a batch, resized."""

    pixels: Tensor
    """uint8, all images' (height, width, 3) one after the other."""
    grids: tuple[tuple[int, int], ...]
    """Patches in height and width."""
    tokens: tuple[int, ...]
    """How many prompt tokens each takes."""

    def pinned(self) -> ResizedImages:
        """Move the pixels to pinned memory, which a GPU reads while it computes."""
        return ResizedImages(self.pixels.pin_memory(), self.grids, self.tokens)


class ImagePatches:
    """Does the work of a checkpoint's image processor in two steps."""

    def __init__(self, processor: Any) -> None:
        """Read the processor's settings; see :meth:`fits`."""
        self._patch: int = processor.patch_size
        self._merge: int = processor.merge_size
        self._temporal: int = processor.temporal_patch_size
        self._shortest: int = processor.size["shortest_edge"]
        self._longest: int = processor.size["longest_edge"]
        self._resample: int = int(processor.resample)
        self._scale = float(processor.rescale_factor)
        self._mean = torch.tensor(processor.image_mean)
        self._std = torch.tensor(processor.image_std)
        self._smart_resize = sys.modules[type(processor).__module__].smart_resize

    @classmethod
    def of(cls, processor: Any) -> ImagePatches | None:
        """Return an instance that reproduces a processor's patches; None if the processor works differently.

        A test on an image that has to be resized decides.
        """
        if not all(getattr(processor, name, False) for name in ("do_resize", "do_rescale", "do_normalize")):
            return None
        from PIL import Image as Images

        random = np.random.default_rng(0)
        image = Images.fromarray(random.integers(0, 255, (61, 90, 3), dtype=np.uint8))
        try:
            ours = cls(processor)
            resized = ours.resize([image])
            theirs = processor(images=[image], return_tensors="pt", input_data_format="channels_last")
            same = torch.allclose(ours.patches(resized), theirs["pixel_values"], rtol=0.0, atol=_SAME)
        except (AttributeError, KeyError, TypeError, ValueError):
            return None
        grids = [tuple(grid[1:]) for grid in theirs["image_grid_thw"].tolist()]
        return ours if same and grids == list(resized.grids) else None

    def resize(self, images: Sequence[Image]) -> ResizedImages:
        """Resize images as the checkpoint's settings say; on the host.

        Raises:
            ValueError: an image is too long and thin.
        """
        # Pillow releases the GIL. Beside all else of an extraction, one thread could not keep up with an H200.
        with ThreadPoolExecutor(min(_RESIZERS, os.cpu_count() or 1), "vlmprobe-resizes") as pool:
            made = list(pool.map(self._resized, images))
        grids = tuple((len(pixels) // self._patch, len(pixels[0]) // self._patch) for pixels in made)
        tokens = tuple(height * width // self._merge**2 for height, width in grids)
        flat = np.concatenate([pixels.reshape(-1) for pixels in made])
        return ResizedImages(torch.from_numpy(flat), grids, tokens)

    def _resized(self, image: Image) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """Return an image's pixels, (height, width, 3)."""
        height, width = self._smart_resize(
            image.height,
            image.width,
            factor=self._patch * self._merge,
            min_pixels=self._shortest,
            max_pixels=self._longest,
        )
        rgb = image if image.mode == "RGB" else image.convert("RGB")
        return np.asarray(rgb.resize((width, height), self._resample))

    def patches(self, images: ResizedImages, device: torch.device | str = "cpu") -> Tensor:
        """Cut images into normalized patches, float32 (patches, values of a patch), on a device."""
        pixels = images.pixels.to(device, non_blocking=True)
        mean, std = self._mean.to(device), self._std.to(device)
        sizes = [height * width * self._patch**2 * 3 for height, width in images.grids]
        if len(set(images.grids)) == 1:
            return self._cut(pixels.view(len(sizes), -1), images.grids[0], mean, std)
        parts = torch.split(pixels, sizes)
        return torch.cat(
            [self._cut(part[None], grid, mean, std) for part, grid in zip(parts, images.grids, strict=True)]
        )

    def _cut(self, pixels: Tensor, grid: tuple[int, int], mean: Tensor, std: Tensor) -> Tensor:
        n, merge, patch = len(pixels), self._merge, self._patch
        height, width = grid
        image = pixels.view(n, height * patch, width * patch, 3).float() * self._scale
        image = (image - mean) / std
        # As units of merge x merge patches, row by row; in a patch: color, (time,) height, width.
        cut = image.view(n, height // merge, merge, patch, width // merge, merge, patch, 3)
        cut = cut.permute(0, 1, 4, 2, 5, 7, 3, 6)
        cut = cut[..., None, :, :].expand(*cut.shape[:6], self._temporal, patch, patch)
        return cut.reshape(n * height * width, -1)
