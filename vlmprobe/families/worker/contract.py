"""The input and output of a model: the values that pass between vlmprobe and a family's code.

This module imports no torch, so that listing families and parsing options stays quick.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

__all__ = [
    "DTYPES",
    "MAX_NEW_TOKENS",
    "BatchItem",
    "BatchOutput",
    "LoadOptions",
    "ModelInfo",
    "ModelOptions",
    "Unembedding",
]

#: Greedy decoding stops here if no end token comes first (DESIGN 6).
MAX_NEW_TOKENS = 20


#: Number formats that a model can be run in.
DTYPES = ("auto", "float32", "bfloat16", "float16")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOptions:
    """How to run a model, for any checkpoint."""

    dtype: str = "auto"
    """``auto`` (bfloat16 on a GPU, float32 on a CPU), ``float32``, ``bfloat16`` or ``float16``."""
    device: str = "auto"
    layers: tuple[int, ...] | None = None
    """Decoder layers to keep, 0-based; all when None."""
    trust_remote_code: bool = False
    """Whether Python files that come with a checkpoint may be run."""
    devices: tuple[str, ...] = ()
    """Devices that share the work, as requested; after :meth:`Family.resolve` those that there are."""
    compile: bool = True
    """Whether to use kernels of our own where there are any (on a GPU), which a machine compiles once."""


@dataclass(frozen=True, slots=True)
class LoadOptions(ModelOptions):
    """Where a checkpoint is and how to load it."""

    checkpoint: str
    """A local folder or a hub id."""
    processor: str | None = None
    """Where tokenizer and image processor are; the checkpoint itself when None."""
    revision: str | None = None
    processor_revision: str | None = None
    """Commit, branch or tag of the processor's hub id, if that is not the checkpoint's."""
    random_weights: int | None = None
    """The seed that the model is initialized under, as its config says, in place of the checkpoint's weights."""

    @property
    def processor_place(self) -> tuple[str, str | None]:
        """Location and revision of the tokenizer and the image processor."""
        if self.processor is None:
            return self.checkpoint, self.revision
        return self.processor, self.processor_revision


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What was loaded, for the run's manifest."""

    n_layers: int
    """Decoder layers of the model (not of the selection)."""
    layers: tuple[int, ...]
    """The layers whose hidden states are kept, ascending."""
    dim: int
    dtype: str
    device: str
    manifest: dict[str, Any] = field(default_factory=dict)
    """Anything JSON: versions, image backend, attention kernel, end tokens, logits processors, revision."""


@dataclass(frozen=True, slots=True)
class BatchItem:
    """One swap pair as a model sees it."""

    pair_id: str
    image: Image
    questions: tuple[str, str]
    """The original and the swapped question, as plain text."""
    answers: tuple[tuple[str, str], tuple[str, str]]
    """Per side the expected word and its opposite, for the margin."""


@dataclass(frozen=True, slots=True)
class BatchOutput:
    """A model's output for a batch of N pairs.

    ``states`` has shape (layers, N, 2, dim) in the model's own dtype; NumPy has no bfloat16, so there it is
    uint16 holding the bits, and ``dtype`` says ``bfloat16``.
    """

    pair_ids: tuple[str, ...]
    states: np.ndarray[Any, Any]
    dtype: str
    texts: tuple[tuple[str, str], ...]
    margins: np.ndarray[Any, np.dtype[np.float64]]
    """(N, 2); NaN where the two words share a first token."""
    leads: np.ndarray[Any, np.dtype[np.float64]] | None = None
    """(N, 2) if known: the smallest lead, in nats, of a chosen token over the next best in an answer."""


@dataclass(frozen=True, slots=True)
class Unembedding:
    """How a model turns its last hidden state, of length D, into logits: the final norm's gain, and a row per token."""

    spellings: dict[str, tuple[int | None, ...]]
    """Word -> the first token of ``w``, ``W``, ``" w"`` and ``" W"``; None where that token is only space."""
    tokens: tuple[int, ...]
    """The tokens whose rows are here: those of the spellings, and the control's, ascending."""
    controls: tuple[int, ...]
    """Tokens of other words, drawn from the tokenizer: a space and at least three letters."""
    rows: np.ndarray[Any, np.dtype[np.float32]]
    """(R, D), a row for each of ``tokens``, without the gain."""
    gain: np.ndarray[Any, np.dtype[np.float32]]
    """(D,), by which the final norm multiplies each dimension."""
    covariance: np.ndarray[Any, np.dtype[np.float32]]
    """(D, D), of the rows of all tokens, without the gain."""
    n_tokens: int
    """Rows of the output layer, with those that pad it."""
    tied: bool
    """Whether the output layer is the input embedding."""
    seed: int
    """Of the draw of ``controls``."""
