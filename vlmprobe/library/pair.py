"""One pair of a run: the picture, what was asked about it, and what the model answered."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from io import BytesIO
from typing import TYPE_CHECKING

from vlmprobe.errors import InputError, VlmprobeError
from vlmprobe.pairs import read_dataset

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from PIL.Image import Image

    from vlmprobe.library.run import Run
    from vlmprobe.pairs import AxisSet, Dataset, SwapPair

__all__ = ["Pair", "PairRow", "Pictures"]

#: A picture in a notebook is shown at most this many pixels wide and high.
_SHOWN_PIXELS = 480


@dataclass(frozen=True, slots=True)
class PairRow:
    """A row of the query ``runs/pairs``."""

    pair_id: str
    category: str
    axis: str
    subject: str | None
    reference: str | None
    orig_question: str | None
    orig_expected: str
    orig_text: str | None
    orig_correct: bool
    orig_margin: float
    swap_question: str | None
    swap_expected: str
    swap_text: str | None
    swap_correct: bool
    swap_margin: float
    perspective: str | None
    origin: str
    image_sha256: str | None


@dataclass(frozen=True, repr=False)
class Pair:
    """Two questions about one image that differ in the order of two objects, and the answers of one run.

    What is said per side is a tuple: the original question's, then the swapped one's.
    """

    run: Run
    pair_id: str
    category: str
    axis: str
    subject: str | None
    reference: str | None
    questions: tuple[str | None, str | None]
    """None if the run was imported without them."""
    expected: tuple[str, str]
    answers: tuple[str | None, str | None]
    correct: tuple[bool, bool]
    margins: tuple[float, float]
    """How much likelier the expected word begins the answer than its opposite, as log odds; NaN = not known."""
    perspective: str | None
    origin: str
    """``row``: of the benchmark; ``quad``: added because a quad needs it."""
    _open: Callable[[], Image] = field(compare=False)

    @classmethod
    def of(cls, run: Run, row: PairRow, open_picture: Callable[[], Image]) -> Pair:
        """Build it from its row; ``open_picture`` reads the picture when it is first looked at."""
        return cls(
            run=run,
            pair_id=row.pair_id,
            category=row.category,
            axis=row.axis,
            subject=row.subject,
            reference=row.reference,
            questions=(row.orig_question, row.swap_question),
            expected=(row.orig_expected, row.swap_expected),
            answers=(row.orig_text, row.swap_text),
            correct=(row.orig_correct, row.swap_correct),
            margins=(row.orig_margin, row.swap_margin),
            perspective=row.perspective,
            origin=row.origin,
            _open=open_picture,
        )

    @cached_property
    def picture(self) -> Image:
        """The image that was asked about, as RGB, read from the benchmark's file.

        Raises:
            InputError: the file is gone or has changed, or the database does not know the picture.
        """
        return self._open()

    def __repr__(self) -> str:
        head = f"<Pair {self.pair_id} of {self.run.name}: {self.category}"
        return f"{head}\n" + "\n".join(f"  {line}" for line in self._lines()) + ">"

    def _lines(self) -> list[str]:
        sides = zip(self.questions, self.answers, self.expected, self.correct, strict=True)
        return [
            f"{question or '(question unknown)'} -> {answer!r}: "
            + ("right" if correct else f"wrong, expected {expected!r}")
            for question, answer, expected, correct in sides
        ]

    def _repr_html_(self) -> str:
        lines = "".join(f"<div>{escape(line)}</div>" for line in self._lines())
        head = escape(f"Pair {self.pair_id} of {self.run.name}: {self.category}")
        return f"<div><div><b>{head}</b></div>{self._picture_html()}{lines}</div>"

    def _picture_html(self) -> str:
        try:
            shown = self.picture.copy()
        except VlmprobeError as error:
            return f"<div><i>{escape(str(error))}</i></div>"
        shown.thumbnail((_SHOWN_PIXELS, _SHOWN_PIXELS))
        buffer = BytesIO()
        shown.save(buffer, "PNG")
        return f'<img src="data:image/png;base64,{b64encode(buffer.getvalue()).decode()}">'


class Pictures:
    """Finds pictures in benchmark files by their hash; keeps what it learned of the file that it read last."""

    def __init__(self) -> None:
        self._read: tuple[Path, int, int] | None = None
        self._dataset: Dataset | None = None
        self._of_hash: dict[str, SwapPair] = {}

    def open(self, path: Path, row: PairRow, axes: AxisSet) -> Image:
        """Return the picture of a pair.

        Args:
            path: the benchmark's file.
            row: the pair.
            axes: the dataset's.

        Raises:
            InputError: the file is gone, does not hold the picture anymore, or the picture is not known.
        """
        what = f"the picture of pair {row.pair_id}"
        if not row.image_sha256:
            raise InputError(f"{what} is not known: the run was imported without it")
        if not path.exists():
            raise InputError(f"{what} is in {path}, which is not there; pass the file's place as data=")
        dataset = self._dataset_of(path, axes)
        if (found := self._of_hash.get(row.image_sha256)) is None:
            raise InputError(f"{what} is not in {path} anymore; pass the file that was extracted as data=")
        return dataset.image(found)

    def _dataset_of(self, path: Path, axes: AxisSet) -> Dataset:
        status = path.stat()
        read = (path, status.st_mtime_ns, status.st_size)
        if self._dataset is None or self._read != read:
            self._dataset = read_dataset(path, max_per_category=0, axes=axes, allow_contradictions=True)
            self._of_hash = {pair.image_sha256: pair for pair in self._dataset.pairs}
            self._read = read
        return self._dataset
