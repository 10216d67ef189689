"""Turns the rows of a file into swap pairs, or into problems that say why not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmprobe.errors import ImageError
from vlmprobe.pairs.forms import RowRejectedError
from vlmprobe.pairs.images import decode_base64, decode_image, image_facts
from vlmprobe.pairs.readers.embspatial import PANDAS_NA
from vlmprobe.pairs.swap_pair import RowProblem, SwapPair

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vlmprobe.pairs.forms import Draft, Form
    from vlmprobe.pairs.tables.delimited import Row

__all__ = ["MAX_INDEX", "MAX_QUESTION", "Reading"]

#: In characters. A longer question would fill a model's memory, a longer index the database's keys.
MAX_QUESTION, MAX_INDEX = 10_000, 1_000


class Reading:
    """The pairs and problems of a file so far."""

    def __init__(self, form: Form, header: list[str], *, decode: bool) -> None:
        """Start with the header; with ``decode``, also decode every image."""
        self.pairs: list[SwapPair] = []
        self.problems: list[RowProblem] = []
        self.n_rows = 0
        self.n_undecodable = 0
        self._form = form
        self._places = {column: header.index(column) for column in form.columns}
        self._decode = decode
        self._line_of: dict[str, int] = {}

    def add_row(self, row: Row | RowProblem) -> None:
        """Process the file's next row."""
        self.n_rows += 1
        if isinstance(row, RowProblem):
            self.problems.append(row)
            return
        cells = {column: row.fields[place] for column, place in self._places.items()}
        try:
            # Always first, even if the row turns out bad: a form's draws depend on the rows before.
            draft = self._form.draft(cells)
            pair = self._complete(draft, cells, row)
        except RowRejectedError as rejected:
            problem = RowProblem(row.line, rejected.what, rejected.why, rejected.column)
            self.problems.append(problem)
        else:
            self._line_of[pair.pair_id] = row.line
            self.pairs.append(pair)

    def _complete(self, draft: Draft, cells: Mapping[str, str], row: Row) -> SwapPair:
        pair_id = self._free_index(cells["index"].strip())
        for question in (draft.orig.text, draft.swap.text):
            if len(question) > MAX_QUESTION:
                why = f"{len(question)} characters, more than the {MAX_QUESTION} a question may have"
                raise RowRejectedError("question", why)
        column = self._form.image_column
        try:
            content = decode_base64(cells[column])
            facts = image_facts(content)
        except ImageError as error:
            raise RowRejectedError("image", str(error), column) from None
        if self._decode:
            self._check_decodes(content, column)
        return SwapPair(
            pair_id=pair_id,
            category=draft.category,
            subject=draft.subject,
            reference=draft.reference,
            orig=draft.orig,
            swap=draft.swap,
            image_sha256=facts.sha256,
            image_width=facts.width,
            image_height=facts.height,
            line=row.line,
            span=row.span,
            question_id=cells["question_id"].strip() or None,
        )

    def _check_decodes(self, content: bytes, column: str) -> None:
        try:
            decode_image(content)
        except ImageError as error:
            self.n_undecodable += 1
            raise RowRejectedError("image", str(error), column) from None

    def _free_index(self, index: str) -> str:
        if index in PANDAS_NA:
            raise RowRejectedError("index", "the row has no index", "index")
        if len(index) > MAX_INDEX:
            raise RowRejectedError("index", f"{len(index)} characters, more than {MAX_INDEX}", "index")
        if index.endswith("/v"):
            raise RowRejectedError(
                "index", f"{index[:40]!r}: the ending '/v' is reserved for vertical partners", "index"
            )
        if index in self._line_of:
            why = f"{index[:40]!r} is already the index of line {self._line_of[index]}"
            raise RowRejectedError("duplicate index", why, "index")
        return index
