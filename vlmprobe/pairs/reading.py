"""Turns the rows of a file into swap pairs, or into problems that say why not."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING

from vlmprobe.errors import DamagedImageError, ImageError, InputError, RefusedImageError
from vlmprobe.file_hashes import FileFacts
from vlmprobe.pairs.cells import is_plain
from vlmprobe.pairs.contradictions import Claims
from vlmprobe.pairs.forms import PANDAS_NA, RowRejectedError
from vlmprobe.pairs.image_source import in_file
from vlmprobe.pairs.images import image_facts
from vlmprobe.pairs.swap_pair import RowProblem, SwapPair

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from vlmprobe.pairs.forms import Draft, Reader
    from vlmprobe.pairs.image_source import ImageSource
    from vlmprobe.pairs.images import ImageFacts
    from vlmprobe.pairs.tables import Row

__all__ = ["MAX_INDEX", "MAX_QUESTION", "Reading", "no_pair", "too_many"]

#: In characters. A longer question would fill a model's memory, a longer index the database's keys.
MAX_QUESTION, MAX_INDEX = 10_000, 1_000


class Reading:
    """The pairs and problems of a file so far."""

    def __init__(
        self,
        reader: Reader,
        *,
        unit: str = "line",
        decode: bool,
        allow_contradictions: bool = False,
        known: dict[bytes, ImageFacts] | None = None,
    ) -> None:
        """Start with the reader of the file.

        Args:
            reader: makes the pairs.
            unit: what lines count.
            decode: whether every image is decoded.
            allow_contradictions: whether rows whose labels contradict each other give pairs.
            known: facts of images by the digest of their bytes; those of other images are added.
        """
        self.pairs: list[SwapPair] = []
        self.problems: list[RowProblem] = []
        self.contradictions: list[RowProblem] = []
        """Rows whose labels contradict each other; also among the problems, unless they are allowed."""
        self.n_rows = 0
        self.n_undecodable = 0
        self.n_refused = 0
        """Rows without a pair because of their image's mode."""
        self.n_not_plain = 0
        """Pairs whose image is in a cell of another kind than the plain ones."""
        self.image_files: dict[Path, FileFacts | None] = {}
        """Image files that were looked for, as they were before they were read first."""
        self._allow = allow_contradictions
        self._claims = Claims()
        self._reader = reader
        self._unit = unit
        self._decode = decode
        self._line_of: dict[str, int] = {}
        self._known = {} if known is None else known
        self._facts = dict(self._known)

    def add_row(self, row: Row | RowProblem) -> None:
        """Process the file's next row."""
        self.n_rows += 1
        if isinstance(row, RowProblem):
            self.problems.append(row)
            return
        try:
            # Always first, even if the row turns out bad: a reader's draws depend on the rows before.
            pairs = self._complete_all(tuple(self._reader.drafts(row)), row)
        except RowRejectedError as rejected:
            problem = RowProblem(row.line, rejected.what, rejected.why, rejected.column)
            self.problems.append(problem)
        else:
            self._line_of.update((pair_id, row.line) for pair_id in pairs)
            self.pairs.extend(pairs.values())
            for pair in pairs.values():
                self._claims.add(pair)
            if not is_plain(row.cells.get(self._reader.image_column)):
                self.n_not_plain += 1

    def settle(self) -> None:
        """Compare the rows with each other; call it once, after the last one."""
        conflicts = self._claims.conflicts(self._unit, self._picture)
        found = [RowProblem(line, "contradiction", why, "category") for line, why in conflicts.items()]
        self.contradictions = sorted((*self.contradictions, *found), key=lambda problem: problem.line)
        if found and not self._allow:
            self.pairs = [pair for pair in self.pairs if pair.line not in conflicts]
            self.problems = sorted((*self.problems, *found), key=lambda problem: problem.line)

    def _complete_all(self, drafts: Iterable[Draft], row: Row) -> dict[str, SwapPair]:
        pairs: dict[str, SwapPair] = {}
        for draft in drafts:
            pair = self._complete(draft, row)
            if pair.pair_id in pairs:
                raise RowRejectedError("duplicate index", f"{pair.pair_id[:40]!r} comes twice in this row")
            pairs[pair.pair_id] = pair
        if not pairs:
            raise RowRejectedError("row", f"form {self._reader.name} makes no pair of it")
        return pairs

    def _complete(self, draft: Draft, row: Row) -> SwapPair:
        pair_id = self._free_index(draft.index.strip())
        for question in (draft.orig.text, draft.swap.text):
            if len(question) > MAX_QUESTION:
                why = f"{len(question)} characters, more than the {MAX_QUESTION} a question may have"
                raise RowRejectedError("question", why)
        column = self._reader.image_column
        try:
            content = self._read(draft.image)
            facts = self._facts_of(content, decode=self._decode)
        except ImageError as found:
            error = in_file(draft.image.file, found)
            self.n_refused += isinstance(error, RefusedImageError)
            self.n_undecodable += isinstance(error, DamagedImageError)
            raise RowRejectedError("image", str(error), column) from None
        if draft.contradiction is not None:
            why, column_of_it = draft.contradiction.why, draft.contradiction.column
            self.contradictions.append(RowProblem(row.line, "contradiction", why, column_of_it))
            if not self._allow:
                raise RowRejectedError("contradiction", why, column_of_it)
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
            image_source=draft.image,
            image_notes=facts.notes,
            image_treated=facts.treated,
            question_id=draft.question_id,
            subject_box=draft.subject_box,
            reference_box=draft.reference_box,
            subject_depth=draft.subject_depth,
            reference_depth=draft.reference_depth,
            answer_option=draft.answer_option,
        )

    def _facts_of(self, content: bytes, *, decode: bool) -> ImageFacts:
        """Return what is known about an image; each is opened once, however many rows have it."""
        digest = hashlib.sha256(content).digest()
        facts = self._facts.get(digest)
        if facts is None or (decode and facts.pixels is None):
            facts = self._facts[digest] = image_facts(content, decode=decode)
            if not decode:
                # Decoding all images shows more of them; what is said must not depend on earlier readings.
                self._known[digest] = facts
        return facts

    def _picture(self, pair: SwapPair) -> bytes:
        """Return the digest of a pair's pixels, decoding them if that was not done; of what cannot be, its hash."""
        try:
            return self._facts_of(self._read(pair.image_source), decode=True).pixels or b""
        except InputError:
            return bytes.fromhex(pair.image_sha256)

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
            why = f"{index[:40]!r} is already the index of {self._unit} {self._line_of[index]}"
            raise RowRejectedError("duplicate index", why, "index")
        return index

    def _read(self, source: ImageSource) -> bytes:
        if source.file is not None and source.file not in self.image_files:
            self.image_files[source.file] = FileFacts.find(source.file)
        try:
            return source.read()
        except InputError as error:
            if source.file is None or isinstance(error, ImageError):
                raise
            # An image that is missing costs its row; a benchmark that is missing, everything.
            raise ImageError(str(error)) from None


def too_many(path: Path, unit: str, first: RowProblem, most: int) -> str:
    """Say that more than ``most`` rows of a file give no pair."""
    return (
        f"{path}: more than {most} rows give no pair, the first on {unit} {first.line} "
        f"({first.what}: {first.why}); use a benchmark file"
    )


def no_pair(path: Path, unit: str, reading: Reading) -> str:
    """Say that no row of a file gives a pair, and what is wrong with the first."""
    if not reading.problems:
        head = "a header" if unit == "line" else "columns"
        return f"{path} has {head} but no rows; use a file with at least one pair"
    counts = Counter(problem.what for problem in reading.problems)
    listed = ", ".join(f"{what} {n}" for what, n in counts.most_common())
    first = reading.problems[0]
    where = f"{unit} {first.line}" + (f", column {first.column}" if first.column else "")
    return (
        f"{path}: none of its {reading.n_rows} rows gives a pair (problems: {listed}); "
        f"correct the file, starting with {where}: {first.what}: {first.why}"
    )
