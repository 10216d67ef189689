"""A column of a benchmark's file that sorts its images into strata, such as where a picture was taken.

What goes with the category, such as indoor and outdoor scenes, passes for an axis unless labels are compared within it.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlmprobe.errors import InputError
from vlmprobe.pairs.forms import RowRejectedError
from vlmprobe.pairs.tables import Row, open_table, unreadable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vlmprobe.pairs.dataset import Dataset

__all__ = ["Strata", "read_strata"]

#: In characters. A longer cell holds an image or a text, which no two images share.
_MAX_VALUE = 1_000
#: Columns and texts are quoted up to here.
_QUOTED = 60


@dataclass(frozen=True, slots=True)
class Strata:
    """The stratum of every image of a benchmark."""

    column: str
    of_image: Mapping[str, str]
    """By the SHA-256 of the image; an empty text where the cell is empty, which is a stratum as well."""

    @property
    def n_strata(self) -> int:
        """How many there are."""
        return len(set(self.of_image.values()))

    @property
    def n_empty(self) -> int:
        """Images whose cell is empty."""
        return sum(not stratum for stratum in self.of_image.values())

    @property
    def facts(self) -> dict[str, str]:
        """What numbers that depend on the strata are kept with: the column, and a hash of its values."""
        values = json.dumps(sorted(self.of_image.items()))
        return {"column": self.column, "sha256": hashlib.sha256(values.encode()).hexdigest()}

    def of(self, images: Sequence[str]) -> list[str]:
        """Return the strata of N images, given by their hashes. Pairs without a row take that of their image.

        Raises:
            InputError: no row of the file has such an image.
        """
        if missing := next((image for image in images if image not in self.of_image), None):
            raise InputError(
                f"no row of the benchmark's file has image {missing[:12]}, so it has no {_quoted(self.column)}; "
                "check the database with 'vlmprobe verify'"
            )
        return [self.of_image[image] for image in images]


def read_strata(dataset: Dataset, column: str) -> Strata:
    """Read a column of a benchmark's file, for all rows that give a pair, whether sampled or not.

    Args:
        dataset: the file, as it was just read.
        column: its name in the header, or the key in its records.

    Raises:
        InputError: the file has no such column, a cell holds no short text, number or truth value, or two rows of one
            image differ.
    """
    texts = _texts(dataset, column)
    of_image: dict[str, str] = {}
    line_of: dict[str, int] = {}
    for pair in dataset.made:
        if (text := texts.get(pair.line)) is None:
            raise InputError(f"{dataset.path} has changed since it was read; rerun the command")
        image = pair.image_sha256
        if of_image.setdefault(image, text) != text:
            raise InputError(
                f"{dataset.path}: {_quoted(column)} differs within an image: {_quoted(of_image[image])} on "
                f"{dataset.unit} {line_of[image]}, {_quoted(text)} on {dataset.unit} {pair.line}; "
                "use a column that is the same in all rows of an image"
            )
        line_of.setdefault(image, pair.line)
    return Strata(column, of_image)


def _texts(dataset: Dataset, column: str) -> dict[int, str]:
    """Return a column's cells by line, of the rows that give a pair."""
    lines = {pair.line for pair in dataset.made}
    texts: dict[int, str] = {}
    try:
        with open_table(dataset.path) as table:
            known = column in table.columns
            for row in table.rows((column,)):
                if isinstance(row, Row) and row.line in lines:
                    texts[row.line] = _text(dataset, row, column)
                    # The columns of JSON are those of its first record, and a key may come later.
                    known = known or column in row.cells
            if not known:
                listed = ", ".join(table.columns)
                raise InputError(f"{dataset.path} has no column {_quoted(column)}; it has {listed}")
    except OSError as error:
        raise InputError(unreadable(dataset.path, error)) from None
    return texts


def _text(dataset: Dataset, row: Row, column: str) -> str:
    cell = row.cells.get(column)
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, float) and math.isnan(cell):
        return ""  # how pandas writes an empty cell
    try:
        text = row.text(column).strip()
    except RowRejectedError as rejected:
        why = str(rejected)
    else:
        if len(text) <= _MAX_VALUE:
            return text
        why = f"{len(text)} characters, more than the {_MAX_VALUE} that a stratum's name may have"
    where = f"{dataset.path}, {dataset.unit} {row.line}, column {_quoted(column)}"
    raise InputError(f"{where}: {why}; use a column that sorts images by a few short names")


def _quoted(text: str) -> str:
    return repr(text[:_QUOTED])
