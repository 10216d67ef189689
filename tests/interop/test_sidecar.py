"""What the old layout has no place for goes beside it, into ``json/pairs_{scale}.json``."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest

from vlmprobe.errors import InputError
from vlmprobe.interop import AnsweredPair, PairFacts, Quad, ScaleResults, read_results, write_results
from vlmprobe.pairs.axes import ABOVE, BELOW, CLOSE

FACTS = PairFacts(
    question_id="q7",
    subject="cup",
    reference="book",
    orig_question="Is the cup far or close?",
    swap_question="Is the book far or close?",
    image_sha256="a1",
    image_width=640,
    image_height=480,
    perspective="counter",
)


@pytest.fixture
def known(small):
    """Make the small scale with facts on its far pair, whose quad is one; the other quad is about other pairs."""
    pairs = (small.pairs[0], replace(small.pairs[1], facts=FACTS), small.pairs[2])
    halves = [
        AnsweredPair(name, category, text, None, correct_orig=True, correct_swap=False, facts=facts)
        for name, category, text, facts in (
            ("3/v", BELOW, "below", FACTS),
            ("9", CLOSE, None, PairFacts()),
            ("9/v", ABOVE, "é", PairFacts(image_sha256="b2")),
        )
    ]
    quads = (Quad(pairs[1], halves[0]), Quad(halves[1], halves[2]))
    return replace(small, pairs=pairs, quads=replace(small.quads, known=quads))


@pytest.fixture
def written(known, tmp_path):
    """Write it; return the model's folder."""
    write_results(tmp_path / "out", [(known, ScaleResults())])
    return tmp_path / "out" / "results" / "qwen25"


def change(folder, *keys, to=None):
    """Set one value of the file, or remove it."""
    path = folder / "json" / "pairs_80k.json"
    content = json.loads(path.read_text())
    place = content
    for key in keys[:-1]:
        place = place[key]
    if to is None:
        del place[keys[-1]]
    else:
        place[keys[-1]] = to
    path.write_text(json.dumps(content))


def test_pairs_and_quads_come_back_with_all_that_was_known(known, written):
    """Facts, both halves of each quad and their answers, row for row; the quads are named by their pairs."""
    (run,) = read_results(written)
    assert run.data.pairs == known.pairs
    assert run.data.quads.known == known.quads.known
    assert run.data.quads.ids == ("3", "9")


def test_a_scale_of_which_no_more_is_known_has_no_such_file(small, tmp_path):
    """Then the old layout says everything, and an export is what it always was."""
    names = [path.name for path in write_results(tmp_path, [(small, ScaleResults())])]
    assert "pairs_80k.json" not in names
    (run,) = read_results(tmp_path)
    assert run.data.quads.known is None
    assert run.data.quads.ids == ("quad/0", "quad/1")


def test_what_the_file_holds(written):
    """A version, the pairs of the vectors, and of each quad both pairs with their answers; null is unknown."""
    content = json.loads((written / "json" / "pairs_80k.json").read_text())
    assert (content["format"], [pair["pair_id"] for pair in content["pairs"]]) == (1, ["7", "3", "12"])
    assert content["pairs"][0] == {
        "pair_id": "7",
        "question_id": None,
        "subject": None,
        "reference": None,
        "orig_question": None,
        "swap_question": None,
        "image_sha256": None,
        "image_width": None,
        "image_height": None,
        "perspective": None,
    }
    answers = {"pred_orig": "below", "pred_swap": None, "is_correct_orig": True, "is_correct_swap": False}
    vertical = content["quads"][0]["vertical"]
    assert vertical == {**content["pairs"][1], "pair_id": "3/v", "category": "below", **answers}


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (("format",), 2, "format is 2; this version reads 1; update vlmprobe, or export the study again"),
        (("format",), None, "format is missing; export the study again"),
        (
            ("pairs", 0, "pair_id"),
            "8",
            "pairs has other pairs than the NPZ file; both must come from one run",
        ),
        (("pairs", 1, "subject"), None, "pairs[1].subject is missing; export the study again"),
        (("pairs", 1, "subject"), 5, "pairs[1].subject is '5'; expected a string or null"),
        (("pairs", 1, "subject"), "\ud800", r"pairs[1].subject is '\ud800'; expected a string or null"),
        (
            ("pairs", 1, "image_width"),
            True,
            "pairs[1].image_width is 'True'; expected a positive number of pixels or null",
        ),
        (
            ("pairs", 1, "perspective"),
            "odd",
            "pairs[1].perspective is 'odd'; expected consistent, counter, ambiguous or null",
        ),
        (("pairs",), "none", "pairs is not a list; export the study again"),
        (("quads", 1), None, "quads has 1 quads, but the NPZ file has 2; both must come from one run"),
        (
            ("quads", 0, "vertical"),
            3,
            "quads[0].vertical is not an object with a category; export the study again",
        ),
        (
            ("quads", 0, "vertical", "category"),
            "far",
            "quads[0].vertical.category is far, which is not vertical; export the study again",
        ),
        (("quads", 1, "distance", "pair_id"), "3", "quads[1].distance.pair_id '3' appears twice"),
        (
            ("quads", 0, "distance", "is_correct_orig"),
            False,
            "quads[0].distance differs from another entry of pair '3'; both must come from one run",
        ),
        (
            ("quads", 0, "distance", "is_correct_swap"),
            "no",
            "quads[0].distance.is_correct_swap is 'no'; expected true or false",
        ),
    ],
)
def test_a_file_that_is_wrong_is_an_error_with_its_key(written, keys, value, message):
    """One line: the file, the place in it, what is wrong; a value of None here removes the key."""
    change(written, *keys, to=value)
    with pytest.raises(InputError) as caught:
        read_results(written)
    path = written / "json" / "pairs_80k.json"
    assert str(caught.value).startswith(f"{path}: {message}")


@pytest.mark.parametrize("text", ["{", "[]", "[" * 100_000])
def test_a_file_that_is_no_such_json_is_an_error(written, text):
    """Cut off, of another shape, or nested too deep."""
    (written / "json" / "pairs_80k.json").write_text(text)
    with pytest.raises(InputError, match=r"pairs_80k\.json: "):
        read_results(written)


def test_a_file_of_another_scale_is_not_looked_at(written):
    """Each scale has its own."""
    shutil.move(written / "json" / "pairs_80k.json", written / "json" / "pairs_2m.json")
    (run,) = read_results(written)
    assert not any(pair.facts for pair in run.data.pairs)
