"""A checkpoint's output layer, as far as controls need it: rows of words, the gain before them, and a covariance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy.typing as npt

    from vlmprobe.analysis.deltas import FloatArray

__all__ = ["OutputLayer"]


@dataclass(frozen=True, slots=True, eq=False)
class OutputLayer:
    """How a model turns its last hidden state, of length D, into logits."""

    spellings: Mapping[str, tuple[int | None, ...]]
    """Word -> the first token of ``w``, ``W``, ``" w"`` and ``" W"``; None where that token is only space."""
    tokens: tuple[int, ...]
    """Of the rows, ascending."""
    controls: tuple[int, ...]
    """Tokens of other words."""
    rows: npt.NDArray[Any]
    """(R, D), a row for each token, without the gain."""
    gain: npt.NDArray[Any]
    """(D,), by which the final norm multiplies each dimension."""
    covariance: npt.NDArray[Any]
    """(D, D), of the rows of all tokens of the vocabulary, without the gain."""
    n_tokens: int
    """Of the vocabulary."""
    tied: bool
    """Whether the output layer is the input embedding."""
    seed: int
    """Of the draw of ``controls``."""

    @property
    def scaled_rows(self) -> FloatArray:
        """(R, D) rows times the gain: along them a last hidden state raises the logits of the tokens."""
        return np.asarray(np.multiply(self.rows, self.gain, dtype=np.float64))

    @property
    def logit_covariance(self) -> FloatArray:
        """(D, D) covariance of the rows times the gain."""
        gain = np.asarray(self.gain, dtype=np.float64)
        return np.asarray(gain[:, None] * self.covariance * gain)

    @property
    def words(self) -> list[int]:
        """Numbers of the rows of the control's words."""
        place = {token: number for number, token in enumerate(self.tokens)}
        return [place[token] for token in self.controls]

    def answers(self, opposites: Iterable[tuple[str, str]]) -> list[tuple[int, int]]:
        """Return the numbers of the rows of two opposite words, for each pair of words and each spelling of both.

        A spelling whose first token is the same for both, or only space, tells nothing.

        Raises:
            KeyError: a word has no rows.
        """
        place = {token: number for number, token in enumerate(self.tokens)}
        found = [
            (place[one], place[other])
            for first, second in opposites
            for one, other in zip(self.spellings[first], self.spellings[second], strict=True)
            if one is not None and other is not None and one != other
        ]
        return list(dict.fromkeys(found))
