"""What a script of the usual kind does with the states of one layer: the baseline of ``analyze.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from sklearn.decomposition import PCA
from sklearn.metrics.pairwise import cosine_similarity

mpl.use("Agg")
import matplotlib.pyplot as plt

if TYPE_CHECKING:
    from pathlib import Path

SIX = ("left", "right", "above", "below", "far", "close")
THREE = {"horizontal": ("left", "right"), "vertical": ("above", "below"), "distance": ("far", "close")}
COLORS = dict(zip(SIX, ("tab:blue", "tab:cyan", "tab:green", "lime", "tab:red", "tab:orange"), strict=True))
#: Dots an inch of the heatmap and of the projections.
HEATMAP_DPI, PCA_DPI = 300, 200


def metrics(
    orig: np.ndarray, swap: np.ndarray, categories: np.ndarray, both_correct: np.ndarray
) -> dict[tuple[str, str, str], float]:
    """Return mean and std of the cosines of each set, from its N x N matrix, and the cosines of the means."""
    delta = swap - orig
    signs = np.where(np.isin(categories, ("left", "above", "far")), 1, -1).astype(delta.dtype)
    found: dict[tuple[str, str, str], float] = {}
    for subset, inside in (("all", np.ones(len(delta), dtype=bool)), ("both_correct", both_correct)):
        means = []
        for name in SIX:
            members = delta[(categories == name) & inside]
            means.append(members.mean(axis=0))
            found[subset, "mean", name], found[subset, "std", name] = _mean_and_std(members)
        for axis, names in THREE.items():
            rows = np.isin(categories, names) & inside
            signed = delta[rows] * signs[rows, None]
            found[subset, "mean", axis], found[subset, "std", axis] = _mean_and_std(signed)
        similarity = cosine_similarity(np.array(means))
        for i, first in enumerate(SIX):
            for j in range(i + 1, 6):
                found[subset, "cosine", f"{first}/{SIX[j]}"] = float(similarity[i, j])
    return found


def _mean_and_std(vectors: np.ndarray) -> tuple[float, float]:
    similarity = cosine_similarity(vectors)
    upper = similarity[np.triu_indices(len(vectors), k=1)]
    return float(upper.mean()), float(upper.std())


def members(layer: int, orig: np.ndarray, swap: np.ndarray, categories: np.ndarray) -> dict[str, np.ndarray]:
    """Return what the usual NPZ file keeps of a layer."""
    return {
        f"orig_L{layer}": orig,
        f"swap_L{layer}": swap,
        f"labels_L{layer}": categories,
        f"delta_L{layer}": swap - orig,
    }


def figures(
    folder: Path,
    layer: int,
    orig: np.ndarray,
    swap: np.ndarray,
    categories: np.ndarray,
    found: dict[tuple[str, str, str], float],
) -> None:
    """Draw the heatmap, the three panels of principal components and the 3-D one, each into its file."""
    _heatmap(folder / f"heatmap_L{layer}.png", layer, found)
    delta = swap - orig
    states = PCA(3).fit(np.vstack([orig, swap]))
    both = states.transform(np.vstack([orig, swap]))
    deltas = PCA(3).fit(delta)
    points = deltas.transform(delta)
    fig, panels = plt.subplots(1, 3, figsize=(24, 7))
    for name in SIX:
        rows = np.flatnonzero(categories == name)
        axis = next(axis for axis, names in THREE.items() if name in names)
        panels[0].scatter(*both[rows, :2].T, s=15, alpha=0.6, c=COLORS[name], label=f"{name} (orig)")
        panels[0].scatter(
            *both[rows + len(orig), :2].T,
            s=15,
            alpha=0.6,
            facecolors="none",
            edgecolors=COLORS[name],
            label=name,
        )
        panels[1].scatter(*points[rows, :2].T, s=15, alpha=0.6, c=COLORS[THREE[axis][0]], label=axis)
        panels[2].scatter(*points[rows, :2].T, s=15, alpha=0.6, c=COLORS[name], label=name)
    for panel, title, shares in zip(
        panels,
        ("states", "deltas by axis", "deltas by category"),
        (states, deltas, deltas),
        strict=True,
    ):
        panel.set_title(title)
        panel.set_xlabel(f"PC1 ({shares.explained_variance_ratio_[0]:.1%})")
        panel.set_ylabel(f"PC2 ({shares.explained_variance_ratio_[1]:.1%})")
        panel.legend(fontsize=8)
        panel.grid(alpha=0.3)
    fig.suptitle(f"layer {layer}")
    _save(fig, folder / f"pca_L{layer}.png", PCA_DPI)

    fig = plt.figure(figsize=(10, 8))
    panel = fig.add_subplot(projection="3d")
    for name in SIX:
        panel.scatter(*points[categories == name].T, s=15, alpha=0.6, c=COLORS[name], label=name)
    panel.set(title=f"layer {layer}", xlabel="PC1", ylabel="PC2", zlabel="PC3")
    panel.legend()
    _save(fig, folder / f"pca_3d_L{layer}.png", PCA_DPI)


def _heatmap(path: Path, layer: int, found: dict[tuple[str, str, str], float]) -> None:
    matrix = np.eye(6)
    for i, first in enumerate(SIX):
        for j in range(i + 1, 6):
            matrix[i, j] = matrix[j, i] = found["all", "cosine", f"{first}/{SIX[j]}"]
    fig, panel = plt.subplots(figsize=(10, 8))
    image = panel.imshow(matrix, cmap="RdBu_r", vmin=-1, vmax=1)
    fig.colorbar(image, ax=panel)
    panel.set_xticks(range(6), SIX, rotation=45)
    panel.set_yticks(range(6), SIX)
    for i in range(6):
        for j in range(6):
            panel.text(j, i, f"{matrix[i, j]:.2f}", ha="center", va="center")
    panel.set_title(f"layer {layer}")
    _save(fig, path, HEATMAP_DPI)


def _save(fig: plt.Figure, path: Path, dpi: int) -> None:
    fig.tight_layout()
    fig.savefig(path, dpi=dpi, bbox_inches="tight")
    plt.close(fig)
