"""A benchmark file as swap pairs: read once and checked here, trusted everywhere else."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from vlmprobe.errors import ImageError, InputError, UsageError
from vlmprobe.pairs.axes import CATEGORIES
from vlmprobe.pairs.drafts import RowRejectedError
from vlmprobe.pairs.embspatial import PANDAS_NA, EmbSpatialForm
from vlmprobe.pairs.images import decode_base64, decode_image, image_facts
from vlmprobe.pairs.ready_made import ReadyMadeForm
from vlmprobe.pairs.sampling import sample_pairs
from vlmprobe.pairs.swap_pair import RowProblem, SwapPair
from vlmprobe.pairs.tsv import Row, TsvReader, parse_row

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from os import PathLike

    from PIL.Image import Image

    from vlmprobe.pairs.axes import Category
    from vlmprobe.pairs.drafts import Draft, Form

__all__ = ["MAX_INDEX", "MAX_PROBLEMS", "MAX_QUESTION", "READER_VERSION", "Dataset", "read_dataset"]

#: Part of the dataset's id; raised when the same file would give other pairs than before.
READER_VERSION = 1

#: Characters: a longer question fills a model's memory, a longer index the database's keys.
MAX_QUESTION, MAX_INDEX = 10_000, 1_000
#: With more rows that give no pair it is another kind of file, and remembering them all would fill the memory.
MAX_PROBLEMS = 100_000

_FORMS: tuple[type[Form], ...] = (EmbSpatialForm, ReadyMadeForm)


@dataclass(frozen=True, slots=True)
class Dataset:
    """The pairs of one file. The images stay in the file and are read from it when asked for."""

    path: Path
    name: str
    """The file's name without its ending."""
    form: str
    """``embspatial`` or ``ready-made``."""
    template: str
    """``published``, or ``as-written`` where the file spells its questions out."""
    dataset_id: str
    """SHA-256 of the file's content and of the options that decide what is read from it."""
    pairs: tuple[SwapPair, ...]
    """The sampled pairs, in file order."""
    problems: tuple[RowProblem, ...]
    """The rows that give no pair, in file order, at most one problem each."""
    n_rows: int
    """Rows of the file, good and bad, without its header and blank lines."""
    n_made: Mapping[Category, int]
    """Pairs of each category before sampling; every category has an entry."""
    options: Mapping[str, object]
    """The reading options that decide which pairs there are."""
    image_field: int = field(repr=False)
    """Where the image is in a row's fields, 0-based."""
    made: tuple[SwapPair, ...] = field(default=(), repr=False)
    """All pairs of the file before sampling, in file order, those of ``pairs`` among them."""

    def image_bytes(self, pair: SwapPair) -> bytes:
        """Read the encoded image (PNG, JPEG ...) of a pair from the file; safe in threads.

        Raises:
            InputError: the file is gone, or is not the one that was read.
        """
        offset, length = pair.span
        try:
            with self.path.open("rb") as file:
                file.seek(offset)
                row = file.read(length)
            content = decode_base64(parse_row(row)[self.image_field])
        except OSError as error:
            raise InputError(_unreadable(self.path, error)) from None
        except (ValueError, IndexError, ImageError):
            content = b""
        if hashlib.sha256(content).hexdigest() != pair.image_sha256:
            where = f"line {pair.line} of {self.path}"
            raise InputError(f"{where} has changed since it was read; start the command again")
        return content

    def image(self, pair: SwapPair) -> Image:
        """Read and decode the image of a pair, as RGB; safe in threads.

        Raises:
            ImageError: the image is damaged or cut off.
            InputError: the file is gone, or is not the one that was read.
        """
        content = self.image_bytes(pair)
        try:
            return decode_image(content)
        except ImageError as error:
            raise ImageError(f"{self.path}, line {pair.line}: image: {error}") from None


def read_dataset(
    path: str | PathLike[str],
    *,
    max_per_category: int = 200,
    seed: int = 42,
    decode: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Dataset:
    """Read a benchmark file in one of the two TSV forms, which its header tells apart.

    Only one row is held at a time. A row that gives no pair becomes a ``RowProblem``, whose ``what`` is one
    of ``columns``, ``quoting``, ``encoding``, ``size`` (the row as text), ``category``, ``group``,
    ``question``, ``answer``, ``option``, ``objects`` (its content), ``index``, ``duplicate index`` or
    ``image``. Of rows with the same index the first that gives a pair keeps it.

    Args:
        path: a UTF-8 file with tabs between its fields.
        max_per_category: keep at most this many pairs of each category; 0 keeps all.
        seed: for the draw of the references and for the sampling, which have a generator each.
        decode: also decode every image, so that a cut-off one is found now rather than during a run. Where
            one is found there are fewer pairs, so the dataset's id is another one.
        progress: called with the bytes read so far and the bytes of the file, after each row.

    Raises:
        InputError: there is no such file, it is not one of the two forms, no row of it gives a pair, or more than
            ``MAX_PROBLEMS`` rows give none.
        UsageError: ``max_per_category`` is negative.
    """
    if max_per_category < 0:
        raise UsageError(
            f"max per category is {max_per_category}; give a positive number, or 0 for all pairs"
        )
    path = Path(path)
    content_hash, n_bytes = _digest(path)
    try:
        with path.open("rb") as file:
            reader = _open_reader(path, file)
            form = _recognise(path, reader.header)
            reading = _Reading(form(seed), reader.header, decode=decode)
            for row in reader:
                reading.take(row)
                if len(reading.problems) > MAX_PROBLEMS:
                    raise InputError(_too_many(path, reading.problems[0]))
                if progress is not None:
                    progress(reader.position, n_bytes)
    except OSError as error:
        raise InputError(_unreadable(path, error)) from None
    if not reading.pairs:
        raise InputError(_no_pair(path, reading))
    made = Counter(pair.category for pair in reading.pairs)
    options: dict[str, object] = {"form": form.name, "max_per_category": max_per_category, "seed": seed}
    if reading.n_undecodable:
        # Only then are there fewer pairs than without decoding, and so another dataset.
        options["decode"] = True
    return Dataset(
        path=path,
        # Bytes that are no UTF-8 are written out: no database stores them.
        name=os.fsencode(path.stem).decode(errors="backslashreplace"),
        form=form.name,
        template=form.template,
        dataset_id=_dataset_id(content_hash, options),
        pairs=sample_pairs(reading.pairs, max_per_category, seed),
        problems=tuple(reading.problems),
        n_rows=reading.n_rows,
        n_made={category: made[category] for category in CATEGORIES},
        options=options,
        image_field=reader.header.index(form.image_column),
        made=tuple(reading.pairs),
    )


class _Reading:
    """The pairs and problems of a file so far."""

    def __init__(self, form: Form, header: list[str], *, decode: bool) -> None:
        self.pairs: list[SwapPair] = []
        self.problems: list[RowProblem] = []
        self.n_rows = 0
        self.n_undecodable = 0
        self._form = form
        self._places = {column: header.index(column) for column in form.columns}
        self._decode = decode
        self._line_of: dict[str, int] = {}

    def take(self, row: Row | RowProblem) -> None:
        self.n_rows += 1
        if isinstance(row, RowProblem):
            self.problems.append(row)
            return
        cells = {column: row.fields[place] for column, place in self._places.items()}
        try:
            # First, whatever else is wrong with the row: what a form draws depends on the rows before.
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
                "index", f"{index[:40]!r}: the ending '/v' is for vertical partners", "index"
            )
        if index in self._line_of:
            why = f"{index[:40]!r} is already the index of line {self._line_of[index]}"
            raise RowRejectedError("duplicate index", why, "index")
        return index


def _digest(path: Path) -> tuple[str, int]:
    if path.is_dir():
        raise InputError(f"{path} is a folder; give a TSV file")
    if path.exists() and not path.is_file():
        # A pipe or a device may never end, and is not there to be read again.
        raise InputError(f"{path} is a pipe or a device; give a file")
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest(), file.tell()
    except OSError as error:
        raise InputError(_unreadable(path, error)) from None


def _dataset_id(content_hash: str, options: Mapping[str, object]) -> str:
    parts = {"content": content_hash, "reader": READER_VERSION, **options}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _open_reader(path: Path, file: BinaryIO) -> TsvReader:
    try:
        return TsvReader(file)
    except ValueError as error:
        raise InputError(f"{path}: {error}; give a UTF-8 TSV file") from None


def _recognise(path: Path, header: list[str]) -> type[Form]:
    missing = {form: [column for column in form.columns if column not in header] for form in _FORMS}
    closest = min(_FORMS, key=lambda form: len(missing[form]))
    if not missing[closest]:
        return closest
    forms = "; ".join(f"{form.name}: {' '.join(form.columns)}" for form in _FORMS)
    lacking = ", ".join(missing[closest])
    raise InputError(
        f"{path}, line 1: the header lacks {lacking} of form {closest.name}; known forms: {forms}"
    )


def _unreadable(path: Path, error: OSError) -> str:
    return f"cannot read {path}: {error.strerror or error}; check the path given as data"


def _too_many(path: Path, first: RowProblem) -> str:
    return (
        f"{path}: more than {MAX_PROBLEMS} rows give no pair, the first on line {first.line} "
        f"({first.what}: {first.why}); is it a benchmark?"
    )


def _no_pair(path: Path, reading: _Reading) -> str:
    if not reading.problems:
        return f"{path} has a header and no rows; give a file with at least one pair"
    counts = Counter(problem.what for problem in reading.problems)
    listed = ", ".join(f"{what} {n}" for what, n in counts.most_common())
    first = reading.problems[0]
    where = f"line {first.line}" + (f", column {first.column}" if first.column else "")
    return (
        f"{path}: none of its {reading.n_rows} rows gives a pair (problems: {listed}); "
        f"correct the file, first {where}: {first.what}: {first.why}"
    )
