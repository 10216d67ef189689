"""Labels that contradict each other, in one row and between rows; what is not certain is no contradiction."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from vlmprobe.errors import InputError
from vlmprobe.pairs import images, read_dataset
from vlmprobe.pairs.axes import ABOVE, BELOW, CLOSE, FAR, LEFT, RIGHT, SPACE
from vlmprobe.pairs.contradictions import named_relation, object_key

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

#: The window is what to the desk? None: not certain.
OPTIONS = {
    "left": LEFT,
    " Right. ": RIGHT,
    "to the right": RIGHT,
    "on the left-hand side": LEFT,
    "left of the desk": LEFT,
    "is above": ABOVE,
    "beneath": BELOW,
    "The window is on the right side of the desk.": RIGHT,
    "the window is underneath the desk": BELOW,
    "The desk is to the left of the window.": RIGHT,
    "The window is blocking the desk.": None,
    "The window is not left of the desk.": None,
    "left and above": None,
    "the left chair": None,
    "on top of the desk": ABOVE,
    "atop": ABOVE,
    "The window is over the desk": ABOVE,
    "The desk is over the window": BELOW,
    "directly below": BELOW,
    "in front of the desk": CLOSE,
    "it is behind the desk.": FAR,
    "farther away than the desk": FAR,
    "**left**": LEFT,
    "on top of the bed": None,
    "far left": None,
    "the lamp is left of the bed": None,
    "The window is on the right side and the desk is on the left side.": RIGHT,
    "the desk is on the left, while the window is on the right": RIGHT,
    "The window is on the left and the desk is on the left.": None,
    "The window is on the right side and the desk is tall": None,
    "The lamp is on the right side and the desk is on the left side": None,
    "upper right": None,
    "window": None,
    "": None,
}

#: Changes of a row in which the cup is left of the book, and the problem's reason; None: it is a pair.
EMBSPATIAL = {
    "the answer's option is the category": ({"A": "left"}, None),
    "it is the opposite": ({"A": "Right"}, "category left, but the answer A says 'Right'"),
    "it is of another axis": ({"A": "above"}, "category left, but the answer A says 'above'"),
    "it says so in a sentence": (
        {"A": "The cup is to the right of the book."},
        "category left, but the answer A says 'The cup is to the right of the book.'",
    ),
    "a sentence about the objects turned agrees": ({"A": "The book is to the right of the cup."}, None),
    "a synonym agrees": ({"category": "under", "A": "beneath"}, None),
    "a synonym disagrees": (
        {"category": "above", "A": "underneath"},
        "category above, but the answer A says 'underneath'",
    ),
    "a corner denies it": ({"A": "upper right"}, "category left, but the answer A says 'upper right'"),
    "a corner with a hyphen": ({"A": "Top-right."}, "category left, but the answer A says 'Top-right.'"),
    "a corner written out": (
        {"answer": "in the lower right corner", "A": ""},
        "category left, but the answer in the lower right corner says 'in the lower right corner'",
    ),
    "a corner has it": ({"A": "upper left"}, None),
    "a corner has it on its own axis": ({"category": "above", "A": "upper right"}, None),
    "a corner has it, written out": ({"answer": "top left", "A": ""}, None),
    "it says where each object is": (
        {"A": "The cup is on the right side and the book is on the left side"},
        "category left, but the answer A says 'The cup is on the right side and the book is on the left sid'",
    ),
    "the option names no relation": ({"A": "The cup is touching the book."}, None),
    "the answer is written out": ({"answer": "right"}, "category left, but the answer right says 'right'"),
    "the letter is in parentheses": (
        {"answer": "(b)", "B": "right"},
        "category left, but the answer (b) says 'right'",
    ),
    "no such letter": ({"answer": "E"}, "the answer 'E' has no option; there are A, B, C, D"),
    "the letter's option is empty": ({"answer": "C", "C": ""}, "the answer C has no option: ''"),
    "the letter's option is unknown": (
        {"answer": "C", "C": "unknown"},
        "the answer C has no option: 'unknown'",
    ),
    "no options at all": ({"A": ""}, None),
    "no answer": ({"answer": "", "A": "right"}, None),
    "an answer that pandas reads as none": ({"answer": "N/A", "A": "right"}, None),
    "spaces for an answer": ({"answer": "  ", "A": "right"}, None),
    "an answer without options agrees": ({"answer": "left of the book", "A": ""}, None),
    "an answer without options denies": (
        {"answer": "on top of", "A": ""},
        "category left, but the answer on top of says 'on top of'",
    ),
    "an option's text whose relation is not known": (
        {"answer": "touching it", "A": "left", "B": "Touching it."},
        None,
    ),
    "one object in other words": (
        {"question": "How are a  cup and The CUP. positioned?"},
        "both objects are the same: 'a  cup' and 'CUP'",
    ),
}
_SAME = "How are {} positioned?"
#: Rows after a first one in which the cup is left of the book, and the lines of the contradictions.
BETWEEN = {
    "the same again": ({}, []),
    "the opposite": ({"category": "right"}, [2, 3]),
    "the opposite, turned": ({"category": "right", "question": _SAME.format("book and cup")}, []),
    "the same, turned": ({"question": _SAME.format("book and cup")}, [2, 3]),
    "names in other words": ({"category": "right", "question": _SAME.format("The Cup and a book")}, [2, 3]),
    "names in full-width letters": (
        {"category": "right", "question": _SAME.format("\uff43up and book")},
        [2, 3],
    ),
    "names with other marks": ({"category": "right", "question": _SAME.format('"cup" and the-book')}, [2, 3]),
    "names with characters of no width": (
        {"category": "right", "question": _SAME.format("c\u200bup and book")},
        [2, 3],
    ),
    "another axis": ({"category": "above"}, []),
    "other objects of nearly the same name": (
        {"category": "right", "question": _SAME.format("cups and book")},
        [],
    ),
    "other objects": ({"category": "right", "question": _SAME.format("cup and lamp")}, []),
    "another image": ({"category": "right", "image": "other"}, []),
    "its own labels are at odds": ({"category": "right", "A": "left"}, [3]),
}


#: Spellings of the answers to a row in which A is left, which is the category, B right, and C behind: the option.
SPELLED = {
    **dict.fromkeys(
        ("B", "b", " B ", "B.", "B)", "(B)", "[B]", "{b}", "<B>", "'B'", '"B"', "**B**", "`B`"), "B"
    ),
    **dict.fromkeys(("B:", "#B", "_B_", "\uff22", "\u200bB", "['B']", "\\boxed{B}", "$\\text{B}$"), "B"),
    **dict.fromkeys(
        ("option B", "Option (B)", "choice_B", "optionB", "answer: B", "Answer:B", "Ans. B"), "B"
    ),
    **dict.fromkeys(
        ("The answer is B.", "the correct option is (b)", "The right answer is B", "B is correct"), "B"
    ),
    **dict.fromkeys(("<answer>B</answer>", '{"answer": "B"}', "answer = B", "Final answer - B", "B B"), "B"),
    **dict.fromkeys(("B: right", "B. right", "(B) right", "[B] Right.", "B) to the right", "B - right"), "B"),
    **dict.fromkeys(
        ("B, right", "B right", "right (B)", "right: B", "B \u2014 right", "Option B: right"), "B"
    ),
    **dict.fromkeys(("right", "RIGHT", "to the right", "Answer: right", "2. right", "the right side"), "B"),
    **dict.fromkeys(
        ("A", "A: left", "(a) left", "left", "Left.", "1) left", "A left", "left of the book"), None
    ),
    **dict.fromkeys(("The cup is left of the book.", "The book is to the right of the cup."), None),
    **dict.fromkeys(
        ("B\u00a0:\u00a0right", "b.right", "B\uff1aright", "\u24b7", "(B)(right)", "B/right", "=B"), "B"
    ),
    **dict.fromkeys(
        ("B: the right", "B (because it is right)", "B.\nIt is on the right.", "Correct: B"), "B"
    ),
    **dict.fromkeys(("leftward", "It's left", "The cup is left", "left\u200b", "Answer: A. left"), None),
    **dict.fromkeys(("behind", "C: behind", "(c)"), "C"),
}

#: Answers to the same row that name no one option, and how the problem goes on.
UNREAD = {
    **dict.fromkeys(("0", "1", "2.0", "option 2", "#1"), "is a number, which may count from 0 or from 1"),
    **dict.fromkeys(
        ("A, B", "A or B", "B/C", "A and B", "A (left) and B (right)", "A B C"), "options; write one letter"
    ),
    **dict.fromkeys(("?", "-", "...", "[]", "the answer"), "names no option; a letter, an option's text"),
    **dict.fromkeys(
        ("yes", "true", "none of these", "unknown", "AB", "not left", "left or right"), "names no"
    ),
    **dict.fromkeys(
        ("cup", "I think B", "next to it", "first", "\u5de6"), "names no option; a letter, an option's"
    ),
    **dict.fromkeys(("left, not right", "on its left", "not A", "1A", "\u0412"), "names no"),
    **dict.fromkeys(
        ("left|right", "west", "I choose B", '{"answer": "B", "why": "because"}'), "names no option; a"
    ),
    **dict.fromkeys(("E", "(e)", "E: left", "Z"), "has no option; there are A, B, C, D"),
    **dict.fromkeys(("D", "D: left"), "D has no option: ''"),
    **dict.fromkeys(("B: left", "A: right", "(A) to the right", "left (B)"), "which says"),
}
_OPTIONS = {"A": "left", "B": "right", "C": "behind", "D": ""}


@pytest.mark.parametrize("answer", SPELLED)
def test_an_answer_is_read_as_it_is_spelled(tsv: Any, answer: str) -> None:
    """It names the option whose letter or text it has; one that is not the category contradicts it."""
    letter = SPELLED[answer]
    row = tsv.horizontal(**_OPTIONS | {"answer": answer})
    dataset = read_dataset(tsv.write(tsv.horizontal(image=_other(tsv)), row))
    assert [problem.what for problem in dataset.problems] == ["contradiction"] * (letter is not None)
    assert all(problem.why.startswith("category left, but the answer ") for problem in dataset.problems)
    assert all("\n" not in problem.why for problem in dataset.problems)
    assert all(_OPTIONS[str(letter)] in problem.why.lower() for problem in dataset.problems)


@pytest.mark.parametrize("answer", UNREAD)
def test_an_answer_that_names_no_option_is_a_problem(tsv: Any, answer: str) -> None:
    """It says what the answer is and what is understood."""
    row = tsv.horizontal(**_OPTIONS | {"answer": answer})
    dataset = read_dataset(tsv.write(tsv.horizontal(image=_other(tsv)), row))
    (problem,) = dataset.problems
    assert (problem.line, problem.what, problem.column) == (3, "contradiction", "answer")
    assert UNREAD[answer] in problem.why
    assert problem.why.startswith("the answer ")
    assert "\n" not in problem.why


def test_far_and_close_rows_say_which_letter_to_write(tsv: Any) -> None:
    """They take a letter alone, since another reading would change the published draws."""
    rows = [tsv.distance("cup", "book", "bed", "tv", answer=answer) for answer in ("A", "(B)", "far", "1")]
    dataset = read_dataset(tsv.write(tsv.horizontal(), *rows))
    assert [problem.why for problem in dataset.problems] == [
        "'(B)' is none of A, B, C, D; write B alone",
        "'FAR' is none of A, B, C, D",
        "'1' is none of A, B, C, D",
    ]


@pytest.mark.parametrize("option", OPTIONS)
def test_the_relation_that_an_option_names(option: str) -> None:
    """A word, or a sentence about the row's own objects; all else may mean something else."""
    assert named_relation(option, SPACE, "window", "desk") == OPTIONS[option]


def test_names_are_compared_without_articles_case_and_spaces() -> None:
    """A name that begins like an article is no article."""
    assert {object_key(name) for name in ("Red cup", "the  red cup.", "A red cup")} == {"red cup"}
    assert object_key("anchor") == "anchor"
    marked = (
        "coffee table",
        "coffee-table",
        "Coffee_Table",
        '"coffee table"',
        "the coffee\u2013table!",
        "(coffee table)",
    )
    assert {object_key(name) for name in marked} == {"coffee table"}
    assert object_key("dog\u2019s bowl") == object_key("dog's bowl") != object_key("dogs bowl")
    assert object_key("\u200bcup") == "cup"
    assert object_key("cup 1") != object_key("cup (2)")
    assert object_key("??") != object_key("!!")
    assert object_key("a") == "a"


@pytest.mark.parametrize("what", EMBSPATIAL)
def test_a_row_that_contradicts_itself(tsv: Any, what: str) -> None:
    """It is a problem of its line; with allow_contradictions it is a pair like before."""
    changed, why = EMBSPATIAL[what]
    path = tsv.write(tsv.horizontal(image=_other(tsv)), tsv.horizontal(**changed))
    dataset, every_row = read_dataset(path), read_dataset(path, allow_contradictions=True)
    assert [pair.line for pair in every_row.pairs] == [2, 3]
    assert every_row.problems == ()
    found = [(problem.line, problem.what) for problem in dataset.problems]
    assert found == ([] if why is None else [(3, "contradiction")])
    assert dataset.contradictions == dataset.problems == every_row.contradictions
    assert (dataset.dataset_id == every_row.dataset_id) is (why is None)
    assert [problem.why for problem in dataset.problems] == ([] if why is None else [why])


@pytest.mark.parametrize("what", BETWEEN)
def test_rows_that_contradict_each_other(tsv: Any, what: str) -> None:
    """Neither is known to be right, so both are problems, and each names the other's line."""
    changed, lines = BETWEEN[what]
    if "image" in changed:
        changed = changed | {"image": _other(tsv)}
    path = tsv.write(tsv.horizontal(), tsv.horizontal(**changed), tsv.horizontal(category="far", **_DISTANCE))
    dataset = read_dataset(path)
    assert [problem.line for problem in dataset.problems] == lines
    assert [pair.line for pair in dataset.pairs] == [line for line in (2, 3, 4) if line not in lines]
    assert ("contradictions" in dataset.options) is bool(lines)
    if lines == [2, 3]:
        assert [(problem.what, problem.column) for problem in dataset.problems] == [
            ("contradiction", "category")
        ] * 2
        assert "but line 3 says" in dataset.problems[0].why
        assert "but line 2 says" in dataset.problems[1].why


_DISTANCE = {"A": "cup", "B": "book", "C": "unknown", "D": "unknown"}


def test_far_and_close_rows_contradict_each_other(tsv: Any) -> None:
    """Farthest of all and closest of all cannot be the same of two objects; the draw goes on as if it could."""
    far, close = (tsv.horizontal(category=name, **_DISTANCE) for name in ("far", "close"))
    last = [tsv.distance("cup", "bed", "tv", "rug") | {"image": _other(tsv)} for _ in range(6)]
    dataset = read_dataset(tsv.write(far, close, *last))
    assert [problem.line for problem in dataset.problems] == [2, 3]
    assert dataset.problems[0].why == "far, but line 3 says close for the same objects of the same image"
    kept = read_dataset(tsv.path, allow_contradictions=True)
    assert [pair.reference for pair in kept.pairs[2:]] == [pair.reference for pair in dataset.pairs]


#: Changes of a ready-made row, and how many rows of two are contradictions.
READY_MADE = {
    "the same": ({}, 0),
    "the opposite answers": ({"category": "right", "original_answer": "right", "swapped_answer": "left"}, 2),
    "turned": (
        {
            **{"category": "right", "original_answer": "right", "swapped_answer": "left"},
            "original_question": "Is the book LEFT  or right of the cup?",
            "swapped_question": "Is the cup left or right of the book?",
        },
        0,
    ),
    "turned with the same answer": (
        {
            "original_question": "Is the book left or right of the cup?",
            "swapped_question": "Is the cup left or right of the book?",
        },
        2,
    ),
    "questions of another axis": (
        {
            "original_question": "Is the mug above or below the pen?",
            "swapped_question": "Is the pen above or below the mug?",
        },
        1,
    ),
    "questions that name another axis besides": (
        {
            "original_question": "Whether above or below, is the mug left or right of the pen?",
            "swapped_question": "Whether above or below, is the pen left or right of the mug?",
        },
        0,
    ),
    "one question twice": ({"original_question": "Is it left?", "swapped_question": "is it  left?"}, 1),
}


@pytest.mark.parametrize("what", READY_MADE)
def test_ready_made_questions(tsv: Any, what: str) -> None:
    """They name no objects, so their texts are compared."""
    changed, n_problems = READY_MADE[what]
    other = tsv.ready_made(image_base64=_other(tsv))
    dataset = read_dataset(tsv.write(tsv.ready_made(), tsv.ready_made(**changed), other))
    assert [problem.what for problem in dataset.problems] == ["contradiction"] * n_problems


def _boxes(subject: list[int], reference: list[int]) -> dict[str, object]:
    """Return the columns of two boxes, and other objects than the first row's."""
    return {"subject": "mug", "reference": "pen", "subject_box": subject, "reference_box": reference}


#: Changes of a generic row in which the cup is left of the book, and how many rows of two are contradictions.
GENERIC = {
    "the same": ({}, 0),
    "the opposite": ({"category": "right"}, 2),
    "the opposite, turned": ({"category": "right", "subject": "the book", "reference": "Cup"}, 0),
    "one object": ({"subject": "a  cup", "reference": "Cup"}, 1),
    "boxes that agree": (_boxes([0, 0, 3, 3], [3, 0, 3, 3]), 0),
    "boxes wholly on the other side": (_boxes([4, 0, 3, 3], [0, 0, 3, 3]), 1),
    "boxes that touch": (_boxes([3, 0, 3, 3], [0, 0, 3, 3]), 1),
    "boxes that overlap": (_boxes([2, 0, 5, 3], [0, 0, 3, 3]), 0),
    "boxes of no width at one place": (_boxes([3, 0, 0, 3], [3, 0, 0, 3]), 0),
    "above, with boxes wholly below": ({"category": "above"} | _boxes([0, 4, 3, 3], [0, 0, 3, 3]), 1),
    "below, with boxes wholly above": ({"category": "below"} | _boxes([0, 0, 3, 3], [0, 4, 3, 3]), 1),
    "below, with boxes wholly below": ({"category": "below"} | _boxes([0, 4, 3, 3], [0, 0, 3, 3]), 0),
    "one box alone": ({"subject_box": [4, 0, 3, 3]}, 0),
}


@pytest.mark.parametrize("what", GENERIC)
def test_generic_rows(tsv: Any, tmp_path: Path, what: str) -> None:
    """The same rules hold for objects that have columns of their own."""
    changed, n_problems = GENERIC[what]
    row = {"image": tsv.png, "subject": "cup", "reference": "book", "category": "left"}
    rows = [row, row | changed, row | {"category": "above"}]
    path = tmp_path / "bench.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in rows))
    dataset = read_dataset(path)
    assert [problem.what for problem in dataset.problems] == ["contradiction"] * n_problems


def test_a_file_of_contradictions_gives_no_pair(tsv: Any) -> None:
    """The one line names both rows."""
    with pytest.raises(InputError, match=r"contradiction: left, but line 3 says right for the same objects"):
        read_dataset(tsv.write(tsv.horizontal(), tsv.horizontal(category="right")))


def _stored(tsv: Any, kind: str, **options: Any) -> str:
    """Store the picture of every row in another way."""
    buffer = io.BytesIO()
    Image.open(io.BytesIO(tsv.image())).convert(options.pop("mode", "RGB")).save(buffer, kind, **options)
    return base64.b64encode(buffer.getvalue()).decode()


#: The picture of the first row as the second row stores it, and whether it is seen to be the same.
STORED: dict[str, tuple[Callable[[Any], str], bool]] = {
    "the same bytes in lines": (lambda tsv: tsv.png[:40] + " " + tsv.png[40:], True),
    "PNG compressed otherwise": (lambda tsv: _stored(tsv, "PNG", compress_level=0), True),
    "PNG with a palette": (lambda tsv: _stored(tsv, "PNG", mode="P"), True),
    "opaque RGBA": (lambda tsv: _stored(tsv, "PNG", mode="RGBA"), True),
    "WebP without losses": (lambda tsv: _stored(tsv, "WEBP", lossless=True), True),
    "BMP": (lambda tsv: _stored(tsv, "BMP"), True),
    "TIFF": (lambda tsv: _stored(tsv, "TIFF"), True),
    "GIF": (lambda tsv: _stored(tsv, "GIF"), True),
    "JPEG": (lambda tsv: _stored(tsv, "JPEG", quality=90), False),
    "another color": (lambda tsv: base64.b64encode(tsv.image(colour="green")).decode(), False),
    "another size": (lambda tsv: _other(tsv), False),
}


@pytest.mark.parametrize("decode", [False, True])
@pytest.mark.parametrize("what", STORED)
def test_a_picture_that_is_stored_twice_is_one_picture(tsv: Any, what: str, decode: bool) -> None:
    """Its pixels count, and not its bytes; the hash that runs know it by stays that of the bytes."""
    make, same = STORED[what]
    path = tsv.write(
        tsv.horizontal(),
        tsv.horizontal(category="right", image=make(tsv)),
        tsv.horizontal(category="above", image=make(tsv)),
    )
    dataset = read_dataset(path, decode=decode)
    assert [problem.line for problem in dataset.problems] == ([2, 3] if same else [])
    if same and "bytes" not in what:
        assert dataset.problems[0].why == (
            "left, but line 3 says right for the same objects of the same picture, "
            "stored as another file of equal pixels"
        )
    every_row = read_dataset(path, decode=decode, allow_contradictions=True)
    hashes = {hashlib.sha256(every_row.image_bytes(pair)).hexdigest() for pair in every_row.pairs}
    assert hashes == {pair.image_sha256 for pair in every_row.pairs}


def test_ready_made_questions_about_a_picture_that_is_stored_twice(tsv: Any) -> None:
    """The same question has two answers."""
    opposite = {"category": "right", "original_answer": "right", "swapped_answer": "left"}
    rows = tsv.ready_made(), tsv.ready_made(**opposite, image_base64=_stored(tsv, "BMP"))
    last = tsv.ready_made(image_base64=_other(tsv))
    assert [problem.line for problem in read_dataset(tsv.write(*rows, last)).problems] == [2, 3]


def test_images_are_decoded_only_where_that_can_show_a_contradiction(
    tsv: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And each once, however many rows have it."""
    decoded = []
    real = images.pixel_digest
    monkeypatch.setattr(images, "_may_be_one_color", lambda *_: False)
    monkeypatch.setattr(images, "pixel_digest", lambda shown: decoded.append(shown.size) or real(shown))
    others = [
        tsv.horizontal(image=base64.b64encode(tsv.image(9, 9, color)).decode()) for color in ("red", "blue")
    ]
    twice = [tsv.horizontal(category="right", image=each) for each in (tsv.png, _stored(tsv, "JPEG"))]
    path = tsv.write(*others, *others, *twice)
    assert read_dataset(path).problems == ()
    assert decoded == []
    path = tsv.write(*others, *others, *twice, tsv.horizontal())
    assert [problem.line for problem in read_dataset(path).problems] == [6, 8]
    assert decoded == [(8, 6), (8, 6)]
    decoded.clear()
    read_dataset(path, decode=True)
    assert len(decoded) == 4


def _other(tsv: Any) -> str:
    return base64.b64encode(tsv.image(9, 9)).decode()
