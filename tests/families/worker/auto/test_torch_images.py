"""An image processor that exists for torchvision alone, run without it: to the same bytes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers.utils
from PIL import Image
from PIL.Image import Resampling

from vlmprobe.families.worker.auto.torch_images import without_torchvision

MOLMO2 = "Molmo2ImageProcessor"
#: A small model's settings, and those of the published ones.
SETTINGS = [{"size": {"height": 56, "width": 56}, "max_crops": 4, "overlap_margins": [1, 1]}, {}]


@pytest.fixture
def ours(monkeypatch):
    """Return the class for a machine without torchvision, whether or not this one has it."""
    # What is imported from now on may not believe it: the library's own processor is compared with.
    import transformers.models.molmo2.image_processing_molmo2

    monkeypatch.setattr(transformers.utils, "is_torchvision_available", lambda: False)
    return without_torchvision(MOLMO2)


def noise(width: int, height: int) -> Image.Image:
    """Make every pixel another one, so that each resized one shows where it was taken from."""
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("settings", SETTINGS, ids=["small", "published"])
def test_what_it_makes_is_bit_equal_to_torchvisions(ours, settings):
    """Crops, whole image, pooling and grid, for images larger, smaller and as large as a crop."""
    pytest.importorskip("torchvision", reason="there is nothing to compare with; with torchvision it is run")
    from transformers import Molmo2ImageProcessor

    sizes = [(640, 480), (480, 640), (378, 378), (56, 56), (100, 37), (33, 900), (1, 1)]
    images = [noise(*size) for size in sizes]
    made, wanted = (code(**settings)(images, return_tensors="pt") for code in (ours, Molmo2ImageProcessor))
    assert made.keys() == wanted.keys()
    assert all(torch.equal(made[name], wanted[name]) for name in wanted)


def test_an_image_is_resized_by_the_bilinear_formula(ours):
    """The first crop is the whole image: each pixel is weighed from its four neighbours, centres on centres."""
    image = noise(100, 37)
    patches = ours(**SETTINGS[0])([image], return_tensors="pt")["pixel_values"][0]
    whole = patches.reshape(4, 4, 14, 14, 3).permute(0, 2, 1, 3, 4).reshape(56, 56, 3).numpy()

    def stretch(values, length):
        places = (np.arange(length) + 0.5) * len(values) / length - 0.5
        known = np.arange(len(values))
        return np.apply_along_axis(lambda line: np.interp(places, known, line), 0, values)

    pixels = np.asarray(image, np.float64)
    wanted = stretch(stretch(pixels, 56).swapaxes(0, 1), 56).swapaxes(0, 1)
    one_step = 1 / 127.5
    np.testing.assert_allclose(whole, wanted / 127.5 - 1, atol=0.51 * one_step)


def test_ways_that_were_not_compared_are_refused(ours):
    """Antialiasing, or another kernel, would give numbers that torchvision may not give."""
    processor = ours()
    image = torch.zeros(1, 3, 10, 10)
    size = transformers.image_utils.SizeDict(height=5, width=5)
    for how in (
        {"resample": Resampling.BICUBIC, "antialias": False},
        {"resample": Resampling.BILINEAR, "antialias": True},
    ):
        with pytest.raises(ValueError, match="only bilinear resizing to a height and width works"):
            processor.resize(image, size, **how)


def test_with_torchvision_and_for_other_processors_nothing_is_replaced(monkeypatch):
    """The library's own code goes first."""
    monkeypatch.setattr(transformers.utils, "is_torchvision_available", lambda: True)
    assert without_torchvision(MOLMO2) is None
    monkeypatch.setattr(transformers.utils, "is_torchvision_available", lambda: False)
    assert without_torchvision("Qwen2VLImageProcessor") is None
    assert without_torchvision(None) is None
