"""The margin: how much a model prefers the expected word to its opposite at the first generated position."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

__all__ = ["MarginReader"]


class MarginReader:
    """Margins of label words under one tokenizer.

    margin = logsumexp of log p over the distinct first tokens of {w, W, " w", " W"} of the expected word,
    minus the same of its opposite. The two log p share their normalizer, so it is a log odds in nats.

    A first token that is only space says nothing about the word that follows and is left out: a small tokenizer
    splits " Left" and " Right" into a space and the rest, and every margin would be NaN.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._first_tokens: dict[str, frozenset[int]] = {}

    def first_tokens(self, word: str) -> frozenset[int]:
        """Return the first token ids of the word, lower-case and capitalized, with and without a space."""
        if word not in self._first_tokens:
            self._first_tokens[word] = frozenset(token for token in self.spellings(word) if token is not None)
        return self._first_tokens[word]

    def spellings(self, word: str) -> tuple[int | None, ...]:
        """Return the first token of each spelling in turn; None where it is only space."""
        small, large = word.lower(), word.capitalize()
        encoded = (
            self._tokenizer.encode(text, add_special_tokens=False)
            for text in (small, large, f" {small}", f" {large}")
        )
        return tuple(ids[0] if ids and self._tokenizer.decode([ids[0]]).strip() else None for ids in encoded)

    def read(
        self, logits: Tensor, answers: Sequence[tuple[str, str]]
    ) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Return one margin per row.

        Args:
            logits: shape (rows, vocabulary), raw: before any logits processor.
            answers: per row the expected word and its opposite.

        Returns:
            Shape (rows,); NaN where the two words share a first token or one of them has none.
        """
        sets = [(self.first_tokens(expected), self.first_tokens(opposite)) for expected, opposite in answers]
        used = sorted(set().union(*(tokens for pair in sets for tokens in pair)))
        column = {token: place for place, token in enumerate(used)}
        picked = torch.tensor(used, device=logits.device)
        log_p = torch.log_softmax(logits.float(), dim=-1)[:, picked].cpu().numpy().astype(np.float64)
        margins = np.full(len(answers), np.nan)
        for row, (expected, opposite) in enumerate(sets):
            if expected and opposite and expected.isdisjoint(opposite):
                # Logits that are not finite give NaN, without a warning: such a pair fails by its states.
                with np.errstate(invalid="ignore"):
                    ours, other = (
                        np.logaddexp.reduce(log_p[row, [column[token] for token in sorted(tokens)]])
                        for tokens in (expected, opposite)
                    )
                    margins[row] = ours - other
        return margins
