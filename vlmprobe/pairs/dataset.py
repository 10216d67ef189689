"""A benchmark file as swap pairs: read once and checked here, trusted everywhere else."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from vlmprobe.errors import ImageError, InputError, UsageError
from vlmprobe.pairs.axes import DEPTH, SPACE
from vlmprobe.pairs.images import decode_image
from vlmprobe.pairs.known_images import KnownImages
from vlmprobe.pairs.pixels import DECODING_VERSION
from vlmprobe.pairs.prompts import AS_WRITTEN, PUBLISHED, get_template, is_under
from vlmprobe.pairs.readers import find_reader
from vlmprobe.pairs.reading import Reading, no_pair, too_many
from vlmprobe.pairs.sampling import sample_pairs
from vlmprobe.pairs.tables import open_table, unreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from os import PathLike

    from PIL.Image import Image

    from vlmprobe.file_hashes import FileFacts
    from vlmprobe.pairs.axes import AxisSet, Category
    from vlmprobe.pairs.prompts import Template
    from vlmprobe.pairs.swap_pair import RowProblem, SwapPair

__all__ = ["MAX_PROBLEMS", "READER_VERSION", "Dataset", "read_dataset"]

#: Part of the dataset id; increment it when the same file yields different pairs than before.
READER_VERSION = 1

#: Part of the id of a dataset that has images in other than plain cells: the rules for those.
_CELLS_VERSION = 2

#: A file with more rejected rows is not a benchmark, and keeping every problem would fill the memory.
MAX_PROBLEMS = 100_000


@dataclass(frozen=True, slots=True)
class Dataset:
    """The pairs of one file. The images stay where they are and are read on demand."""

    path: Path
    name: str
    """The file's name without its ending."""
    form: str
    """The name of the reader: ``embspatial``, ``ready-made`` or ``generic``."""
    template: str
    """A name in ``TEMPLATES``, or ``as-written`` where the file spells its questions out."""
    dataset_id: str
    """SHA-256 of the file's content, of the images in files of their own that its pairs name, and of the options
    that affect reading; independent of the template and of where the files are."""
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
    axes: AxisSet = field(repr=False)
    """What the categories mean, in the order of all tables."""
    made: tuple[SwapPair, ...] = field(default=(), repr=False)
    """All pairs of the file before sampling, in file order, those of ``pairs`` among them."""
    unit: str = "line"
    """What ``SwapPair.line`` and ``RowProblem.line`` count: ``line`` or ``row``."""
    image_files: Mapping[Path, FileFacts | None] = field(default_factory=dict, repr=False, compare=False)
    """Every image file that reading looked for, and what it was before it was read; None where there was none."""
    contradictions: tuple[RowProblem, ...] = ()
    """The rows whose labels contradict each other; among ``problems`` unless they were allowed."""

    @property
    def has_boxes(self) -> bool:
        """Whether the file itself gives both boxes of a pair."""
        return any(pair.subject_box is not None and pair.reference_box is not None for pair in self.made)

    @property
    def names_images(self) -> bool:
        """Whether images are in files of their own, which can change while the benchmark's file does not."""
        return any(pair.image_source.file is not None for pair in self.made)

    @property
    def treats_images(self) -> bool:
        """Whether the decoding rule changes the pixels of an image that may be asked about."""
        # Quads, which may come later, ask about distance pairs outside the sample too.
        asked = (*self.pairs, *(pair for pair in self.made if pair.axis == DEPTH))
        return any(pair.image_treated for pair in asked)

    def wording(self, template: str) -> Template | None:
        """Return the template to reword the rows with, or None if they already use it.

        ``published`` means a file's own questions, so also those that it spells out.

        Raises:
            UsageError: there is no such template, an axis has no such wording, or the file spells its questions out and
                can have no other.
        """
        wanted = get_template(template)
        if is_under(self.template, template):
            return None
        if self.template == AS_WRITTEN:
            raise UsageError(
                f"{self.path} contains its own questions ({self.form} form), so it cannot be used with "
                f"template {template}; omit the template"
            )
        wanted.require(self.axes)
        return wanted

    def under(self, template: str) -> Dataset:
        """Return the same rows worded by another template; ids, images and the sample stay the same.

        Raises:
            UsageError: as :meth:`wording`.
        """
        wanted = self.wording(template)
        if wanted is None:
            return self
        return replace(
            self,
            template=template,
            pairs=tuple(map(wanted.reword, self.pairs)),
            made=tuple(map(wanted.reword, self.made)),
        )

    def image_bytes(self, pair: SwapPair) -> bytes:
        """Read the encoded image (PNG, JPEG ...) of a pair; safe in threads.

        Raises:
            InputError: the file is gone, or is not the one that was read.
        """
        try:
            content = pair.image_source.read()
        except ImageError:
            content = b""
        if hashlib.sha256(content).hexdigest() != pair.image_sha256:
            where = f"{self.unit} {pair.line} of {self.path}"
            if pair.image_source.file is not None:
                where = f"{pair.image_source.file}, the image of {where},"
            raise InputError(f"{where} has changed since it was read; rerun the command")
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
            raise ImageError(f"{self.path}, {self.unit} {pair.line}: image: {error}") from None


def read_dataset(
    path: str | PathLike[str],
    *,
    max_per_category: int = 200,
    seed: int = 42,
    template: str = PUBLISHED.name,
    axes: AxisSet = SPACE,
    allow_contradictions: bool = False,
    decode: bool = False,
    cache: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Dataset:
    """Read a benchmark file; its content determines which of the readers does it.

    Only one row is held at a time. A row that gives no pair becomes a ``RowProblem``, whose ``what`` is one
    of ``columns``, ``quoting``, ``encoding``, ``json``, ``size`` (the row as text), ``row``, ``category``,
    ``group``, ``question``, ``answer``, ``option``, ``objects``, ``box``, ``depth`` (its content),
    ``contradiction`` (its content, or that of two rows), ``index``, ``duplicate index`` or ``image``. Of rows
    with the same index the first that gives a pair keeps it.

    Args:
        path: a TSV, CSV, JSONL, JSON or parquet file.
        max_per_category: keep at most this many pairs of each category; 0 keeps all.
        seed: for the draw of the references and for the sampling, which have a generator each.
        template: what is asked of each row: a name in ``TEMPLATES``. No part of the dataset's id.
        axes: what its categories may be. Other axes than the built-in ones are part of the dataset's id,
            with their words and questions.
        allow_contradictions: make pairs of rows whose labels contradict each other, too. Where such rows are left out,
            the dataset's id is another one than with them.
        decode: also decode every image, so that a cut-off one is found now rather than during a run. Where
            one is found there are fewer pairs, so the dataset's id is another one.
        cache: a folder where the facts of images are kept for the next reading; None = nowhere.
        progress: called with the bytes read so far and the bytes of the file, after each row.

    Raises:
        InputError: there is no such file, it is of no known form, no row of it gives a pair, or more than
            ``MAX_PROBLEMS`` rows give none.
        UsageError: ``max_per_category`` is negative, there is no such template, or the file spells its questions out
            and another one is asked for.
    """
    get_template(template)  # reject a wrong name before reading a large file
    if max_per_category < 0:
        raise UsageError(f"max per category is {max_per_category}; use a positive number, or 0 for all pairs")
    path = Path(path)
    content_hash, n_bytes = _digest(path)
    images = KnownImages(cache, content_hash)
    try:
        with open_table(path) as table:
            reader = find_reader(path, table)(seed, axes)
            reading = Reading(
                reader,
                unit=table.unit,
                decode=decode,
                allow_contradictions=allow_contradictions,
                known=images.facts,
            )
            for row in reader.rows(table):
                reading.add_row(row)
                if len(reading.problems) > MAX_PROBLEMS:
                    raise InputError(too_many(path, table.unit, reading.problems[0], MAX_PROBLEMS))
                if progress is not None:
                    progress(table.position, n_bytes)
    except OSError as error:
        raise InputError(unreadable(path, error)) from None
    reading.settle()
    images.keep()
    if not reading.pairs:
        raise InputError(no_pair(path, table.unit, reading))
    made = Counter(pair.category for pair in reading.pairs)
    options: dict[str, object] = {"form": reader.name, "max_per_category": max_per_category, "seed": seed}
    if axes != SPACE:
        options["axes"] = axes.meaning
    if reading.n_undecodable:
        # Only in this case does decoding drop pairs, which makes it a different dataset.
        options["decode"] = True
    # Likewise: what was added to the rules for reading counts only where it adds pairs or leaves some out.
    if reading.n_refused:
        options["decoding"] = DECODING_VERSION
    if reading.n_not_plain:
        options["cells"] = _CELLS_VERSION
    if reading.contradictions and not allow_contradictions:
        options["contradictions"] = "left out"
    dataset = Dataset(
        path=path,
        # Bytes that are not UTF-8 are escaped; the database cannot store them.
        name=os.fsencode(path.stem).decode(errors="backslashreplace"),
        form=reader.name,
        template=reader.template,
        dataset_id=_dataset_id(content_hash, options, reading.pairs),
        pairs=sample_pairs(reading.pairs, axes.categories, max_per_category, seed),
        problems=tuple(reading.problems),
        n_rows=reading.n_rows,
        n_made={category: made[category] for category in axes.categories},
        options=options,
        axes=axes,
        made=tuple(reading.pairs),
        unit=table.unit,
        image_files=reading.image_files,
        contradictions=tuple(reading.contradictions),
    )
    return dataset.under(template)


def _digest(path: Path) -> tuple[str, int]:
    if path.is_dir():
        raise InputError(f"{path} is a folder; use a TSV file, or CSV, JSONL or parquet")
    if path.exists() and not path.is_file():
        # A pipe or a device may never end and cannot be read twice.
        raise InputError(f"{path} is a pipe or a device; use a file")
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest(), file.tell()
    except OSError as error:
        raise InputError(unreadable(path, error)) from None


def _dataset_id(content_hash: str, options: Mapping[str, object], pairs: Sequence[SwapPair]) -> str:
    parts = {"content": content_hash, "reader": READER_VERSION, **options}
    # The file's content covers the images in it, but of those in files of their own only the names.
    named = [(pair.pair_id, pair.image_sha256) for pair in pairs if pair.image_source.file is not None]
    if named:
        parts["images"] = hashlib.sha256(json.dumps(named).encode()).hexdigest()
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
