"""The slow way: loops over pairs of vectors of different images, and everything again without each image."""

from __future__ import annotations

from math import nan, sqrt

import numpy as np

__all__ = ["axis_product", "cosine", "leave_outs", "product", "study"]


def study(seed, *, n=30, n_images=8, groups=4, dim=5):
    """Vectors with something in common, several an image."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(groups, size=n)
    images = [f"image {i}" for i in rng.integers(n_images, size=n)]
    vectors = rng.normal(size=(n, dim)) + rng.normal(size=(groups, dim))[codes]
    return vectors, codes, images


def product(vectors, codes, images, first, second):
    """Average the inner product over all ordered pairs of a vector of one group and one of the other, images apart."""
    found = [
        float(vectors[i] @ vectors[j])
        for i in range(len(vectors))
        for j in range(len(vectors))
        if codes[i] == first and codes[j] == second and images[i] != images[j]
    ]
    return float(np.mean(found)) if found else nan


def leave_outs(function, vectors, codes, images):
    """Compute a function of the study again without each image, in the order of the images' names."""
    found = []
    for image in sorted(set(images)):
        rows = [i for i, name in enumerate(images) if name != image]
        found.append(function(vectors[rows], codes[rows], [images[i] for i in rows]))
    return np.array(found)


def axis_product(vectors, codes, images, first, second):
    """<alpha, alpha'> of two axes, each a pair of groups."""
    signs = (
        (first[0], second[0], 1),
        (first[0], second[1], -1),
        (first[1], second[0], -1),
        (first[1], second[1], 1),
    )
    return sum(sign * product(vectors, codes, images, one, two) for one, two, sign in signs) / 4


def cosine(vectors, codes, images, first=(0, 1), second=(2, 3)):
    """Cosine of two axes from products of different images."""
    a = axis_product(vectors, codes, images, first, first)
    b = axis_product(vectors, codes, images, second, second)
    return axis_product(vectors, codes, images, first, second) / sqrt(a * b) if a > 0 and b > 0 else nan
