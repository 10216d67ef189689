"""Reading a file: what is a dataset, what is a row problem, and what is an error."""

from __future__ import annotations

import base64
import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vlmprobe.errors import ImageError, InputError, UsageError
from vlmprobe.pairs import RowProblem, read_dataset

if TYPE_CHECKING:
    from pathlib import Path


def test_a_pair_knows_its_row(tsv: Any) -> None:
    """Index and image, line and bytes are kept; the image itself stays in the file."""
    wide = tsv.image(20, 10, "blue")
    rows = (tsv.horizontal(index="12.0"), tsv.horizontal(index=" b ", image=base64.b64encode(wide).decode()))
    dataset = read_dataset(tsv.write(*rows))
    first, second = dataset.pairs
    assert (dataset.name, dataset.form, dataset.template, dataset.n_rows) == (
        "bench",
        "embspatial",
        "published",
        2,
    )
    assert (first.pair_id, first.line, second.pair_id, second.line) == ("12.0", 2, "b", 3)
    assert (second.image_width, second.image_height) == (20, 10)
    assert second.image_sha256 == hashlib.sha256(wide).hexdigest()
    assert dataset.image_bytes(second) == wide
    assert dataset.image(second).getpixel((0, 0)) == (0, 0, 255)
    assert dataset.image(first).mode == "RGB"


def test_forms_are_told_apart_by_their_columns_in_any_order(tsv: Any) -> None:
    """Columns may be in another order, more may be there, and a byte order mark or CRLF does not matter."""
    columns = ("D", "C", "B", "A", "answer", "image", "note", "question", "category", "question_id", "index")
    path = tsv.write(tsv.horizontal(), columns=columns, newline="\r\n")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    dataset = read_dataset(path)
    assert (dataset.form, len(dataset.pairs), dataset.problems) == ("embspatial", 1, ())
    assert dataset.image_bytes(dataset.pairs[0]) == tsv.image()
    assert read_dataset(tsv.write(tsv.ready_made())).form == "ready-made"


def test_every_bad_row_is_recorded_with_its_line_and_reason(tsv: Any) -> None:
    """One file with everything that can go wrong around two good rows: no crash, and nothing is silent."""
    cut_off = base64.b64encode(tsv.image(64, 64, kind="JPEG")[:-30]).decode()
    path = tsv.write(
        tsv.horizontal(),
        tsv.horizontal(index=""),
        tsv.horizontal(index="0"),
        tsv.horizontal(index="5/v"),
        tsv.horizontal(image=""),
        tsv.horizontal(image="not base64"),
        tsv.horizontal(image=base64.b64encode(b"text").decode()),
        tsv.horizontal(image=cut_off),
    )
    with path.open("ab") as file:
        file.write(b'too\tfew\n\n"never closed\n' + b"\xff\t" * 9 + b"\n")
    dataset = read_dataset(path, decode=True)
    assert dataset.dataset_id != read_dataset(path).dataset_id  # the cut-off image costs a pair
    problems = [(p.line, p.what, p.column) for p in dataset.problems]
    assert problems == [
        (3, "index", "index"),
        (4, "duplicate index", "index"),
        (5, "index", "index"),
        (6, "image", "image"),
        (7, "image", "image"),
        (8, "image", "image"),
        (9, "image", "image"),
        (10, "columns", None),
        (12, "quoting", None),
        (13, "encoding", None),
    ]
    quick = read_dataset(path)
    assert [pair.line for pair in quick.pairs] == [2, 9]
    with pytest.raises(ImageError, match=r"bench\.tsv, line 9: image: damaged or cut off"):
        quick.image(quick.pairs[1])


def test_the_first_pair_of_an_index_keeps_it(tsv: Any) -> None:
    """The problem says where the index was used; a row that gave no pair has not used it."""
    rows = (tsv.horizontal(image="?"), tsv.horizontal(), tsv.horizontal())
    dataset = read_dataset(tsv.write(*(row | {"index": "7"} for row in rows)))
    assert [pair.line for pair in dataset.pairs] == [3]
    assert dataset.problems[1] == RowProblem(
        4, "duplicate index", "'7' is already the index of line 3", "index"
    )


def test_a_row_over_several_lines(tsv: Any) -> None:
    """A quoted cell with line breaks and tabs keeps the lines and bytes of later rows right."""
    odd = tsv.horizontal(question='How are "big"\tcup\nand book positioned?', index="a")
    dataset = read_dataset(tsv.write(odd, tsv.horizontal(index="b")))
    assert [(pair.pair_id, pair.line, pair.subject) for pair in dataset.pairs] == [
        ("a", 2, '"big"\tcup'),
        ("b", 4, "cup"),
    ]
    assert {dataset.image_bytes(pair) for pair in dataset.pairs} == {tsv.image()}


# No lone carriage return: Python 3.11's csv.writer leaves it unquoted, and then it ends a line.
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=12)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cells=st.lists(st.tuples(texts, texts, texts, st.integers(1, 40)), min_size=1, max_size=6),
    newline=st.sampled_from(["\n", "\r\n"]),
)
def test_any_text_around_an_image_leaves_its_bytes_alone(
    tsv: Any, cells: list[tuple[str, str, str, int]], newline: str
) -> None:
    """Whatever the other cells hold, a pair's place in the file gives the image that its row has."""
    images = [tsv.image(width) for *_, width in cells]
    rows = [
        tsv.horizontal(index=f"i{n}", question_id=q, B=a, D=d, image=base64.b64encode(images[n]).decode())
        for n, (q, a, d, _) in enumerate(cells)
    ]
    dataset = read_dataset(tsv.write(*rows, newline=newline))
    assert dataset.problems == ()
    assert [dataset.image_bytes(pair) for pair in dataset.pairs] == images


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.lists(texts | st.sampled_from(["far", "A", "left", '"', "\r"]), max_size=11), max_size=5)
)
def test_any_row_is_a_pair_or_a_problem(tsv: Any, rows: list[list[str]]) -> None:
    """However malformed the rows are, they become problems on lines of their own, never an exception."""
    path = tsv.write(tsv.horizontal(index="good"))
    with path.open("ab") as file:
        for row in rows:
            file.write("\t".join(row).encode() + b"\n")
    dataset = read_dataset(path)
    n_lines = path.read_bytes().count(b"\n")
    lines = [problem.line for problem in dataset.problems]
    assert [pair.pair_id for pair in dataset.pairs] == ["good"]
    assert lines == sorted(set(lines))
    assert all(2 < line <= n_lines for line in lines)
    assert dataset.n_rows == 1 + len(lines)


def test_sampling_is_counted(tsv: Any) -> None:
    """n_made counts before sampling, with a zero for a category that the file lacks."""
    other = tsv.horizontal(category="right", question="How are tap and sink positioned?")
    path = tsv.write(*(tsv.horizontal() for _ in range(5)), other)
    dataset = read_dataset(path, max_per_category=2)
    made = {"left": 5, "right": 1, "above": 0, "below": 0, "far": 0, "close": 0}
    assert dataset.n_made == made
    assert [pair.category for pair in dataset.pairs] == ["left", "left", "right"]
    assert len(read_dataset(path, max_per_category=0).pairs) == 6


def test_the_id_follows_content_and_options_only(tsv: Any, tmp_path: Path) -> None:
    """The same bytes under another name are the same dataset; another option or byte makes another."""
    path = tsv.write(tsv.horizontal())
    copy = tmp_path / "copy.tsv"
    copy.write_bytes(path.read_bytes())
    first = read_dataset(path)
    assert read_dataset(copy).dataset_id == first.dataset_id
    assert read_dataset(path, decode=True).dataset_id == first.dataset_id
    others = [{"max_per_category": 3}, {"seed": 1}]
    ids = {first.dataset_id} | {read_dataset(path, **options).dataset_id for options in others}
    copy.write_bytes(path.read_bytes() + b"\n")
    assert len(ids | {read_dataset(copy).dataset_id}) == 4


def test_progress_ends_at_the_size_of_the_file(tsv: Any) -> None:
    """Progress is told in bytes, once a row."""
    path = tsv.write(tsv.horizontal(), tsv.horizontal())
    told: list[tuple[int, int]] = []
    read_dataset(path, progress=lambda done, total: told.append((done, total)))
    size = path.stat().st_size
    assert len(told) == 2
    assert told[-1] == (size, size)


def test_a_file_that_changed_is_noticed(tsv: Any) -> None:
    """An image is never read from a row that is not the one that was checked."""
    dataset = read_dataset(tsv.write(tsv.horizontal(), tsv.horizontal()))
    tsv.write(tsv.horizontal(question="another one, and longer"), tsv.horizontal())
    with pytest.raises(InputError, match=r"line 3 of .*bench\.tsv has changed since it was read"):
        dataset.image_bytes(dataset.pairs[1])
    dataset.path.unlink()
    with pytest.raises(InputError, match="No such file"):
        dataset.image_bytes(dataset.pairs[1])


def test_images_can_be_read_in_threads(tsv: Any) -> None:
    """Readers share no file position."""
    images = [tsv.image(width) for width in range(1, 30)]
    rows = (tsv.horizontal(image=base64.b64encode(image).decode()) for image in images)
    dataset = read_dataset(tsv.write(*rows))
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(dataset.image_bytes, dataset.pairs)) == images


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty; use a UTF-8 TSV file"),
        ("index\tA\n".encode("utf-16"), "the header is not readable: not UTF-8"),
        (
            b"index\tcategory\tquestion\timage\tanswer\tA\tB\tC\n",
            "lacks question_id, D of form embspatial; known",
        ),
        (b"index,question_id,category\n", "ready-made: image_base64 original_question swapped_question"),
        (b"index\tquestion_id\tcategory\tquestion\timage\tanswer\tA\tB\tC\tD\n", "has a header but no rows"),
    ],
)
def test_a_file_of_no_known_form(tmp_path: Path, content: bytes, message: str) -> None:
    """The error is one line that names the file, says what is wrong and what would be right."""
    path = tmp_path / "bad.tsv"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_dataset(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_without_one_usable_row(tsv: Any) -> None:
    """The error counts the problems and shows the first."""
    path = tsv.write(tsv.horizontal(image="?"), tsv.horizontal(image="?"), tsv.horizontal(category="on"))
    with pytest.raises(InputError) as caught:
        read_dataset(path)
    assert str(caught.value).startswith(
        f"{path}: none of its 3 rows gives a pair (problems: image 2, category 1); "
        "correct the file, starting with line 2, column image: image: not base64"
    )


def test_no_file_or_a_folder(tmp_path: Path) -> None:
    """What the path is, and what to give instead."""
    with pytest.raises(InputError, match=r"cannot read .*none\.tsv: No such file"):
        read_dataset(tmp_path / "none.tsv")
    with pytest.raises(InputError, match="is a folder; use a TSV file"):
        read_dataset(tmp_path)


def test_a_negative_limit_is_refused(tsv: Any) -> None:
    """0 means all; less means nothing sensible."""
    with pytest.raises(UsageError, match="max per category is -1"):
        read_dataset(tsv.write(tsv.horizontal()), max_per_category=-1)
