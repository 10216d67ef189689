"""Figures as bytes, and the colours they are drawn in."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from vlmprobe.errors import UsageError
from vlmprobe.figures import encode, layer_curves, scale_marks, theme, to_pdf, to_png, to_svg


def test_the_same_result_gives_the_same_bytes(curve):
    """No date, no random id: a report written twice is one file."""

    def draw():
        return layer_curves([curve("vertical", (0.1, 0.4))])

    assert to_png(draw()) == to_png(draw())
    assert to_svg(draw()) == to_svg(draw())
    assert to_pdf(draw()) == to_pdf(draw())


def test_bytes_are_of_the_kind_they_say(curve):
    """A PNG of dpi dots an inch, and an SVG that names no time."""
    figure = layer_curves([curve("vertical", (0.1, 0.4))])

    png = to_png(figure, dpi=50)
    width = int.from_bytes(png[16:20], "big")
    svg = to_svg(figure)
    assert png.startswith(b"\x89PNG")
    assert width == round(figure.get_figwidth() * 50)
    assert b"<svg" in svg
    assert b"dc:date" not in svg
    pdf = to_pdf(figure)
    assert pdf.startswith(b"%PDF-")
    assert b"CreationDate" not in pdf


def test_a_notebook_shows_a_figure_that_pyplot_does_not_know(curve):
    """It calls this method; of matplotlib's own figures it would print the size."""
    figure = layer_curves([curve("vertical", (0.1, 0.4))])
    assert figure._repr_png_() == to_png(figure)


def test_a_format_is_named_png_pdf_or_svg(curve):
    """Another one is answered with those."""
    figure = layer_curves([curve("vertical", (0.1, 0.4))])

    assert encode(figure, "png", dpi=50) == to_png(figure, 50)
    assert encode(figure, "svg") == to_svg(figure)
    with pytest.raises(UsageError, match="unknown figure format 'jpg'; known: png, pdf, svg"):
        encode(figure, "jpg")


def looks(marks):
    """Return each scale's colour and marker."""
    return {key: (mark.color, mark.marker) for key, mark in marks.items()}


def test_more_training_is_darker_and_none_is_grey(curve):
    """Colours follow the samples seen, whatever order the curves come in."""
    marks = scale_marks(
        [curve("vertical", (0.1,), scale) for scale in ("2m", "vanilla", "80k", "400k", "foreign")]
    )

    def light(color):
        return sum(int(color[place : place + 2], 16) for place in (1, 3, 5))

    by_scale = {scale: mark.color for (_, scale), mark in marks.items()}
    assert list(by_scale) == ["vanilla", "80k", "400k", "2m", "foreign"]
    assert by_scale["vanilla"][1:3] == by_scale["vanilla"][3:5] == by_scale["vanilla"][5:7]
    assert light(by_scale["80k"]) > light(by_scale["400k"]) > light(by_scale["2m"])
    assert len(set(by_scale.values())) == 5


def test_a_scale_looks_the_same_whatever_is_drawn_beside_it(curve):
    """Alone, beside some scales or beside all: a reader who turns from figure to figure finds it again."""
    scales = ("vanilla", "80k", "400k", "800k", "2m")
    together = scale_marks([curve("vertical", (0.1,), scale) for scale in scales])
    for count in range(1, len(scales)):
        some = scale_marks([curve("vertical", (0.1,), scale) for scale in scales[-count:]])
        assert looks(some) == {key: look for key, look in looks(together).items() if key in some}


def test_no_two_of_ten_scales_look_alike(curve):
    """The usual five, two trainings of other lengths and three that are none: in a grey print marks tell them apart."""
    usual = [curve("vertical", (0.1,), scale) for scale in ("vanilla", "80k", "400k", "800k", "2m")]
    aside = [curve("vertical", (0.1,), scale) for scale in ("roborefer", "other", "third")]
    more = [replace(usual[0], scale=str(count), samples_seen=count) for count in (150_000, 5_000_000)]
    marks = scale_marks([*usual, *aside, *more]).values()
    assert len({mark.marker for mark in marks}) == len({mark.color for mark in marks}) == 10


def test_trainings_of_nearly_one_length_are_told_apart(curve):
    """Where the usual ramp would give look-alikes, the colours are spread evenly."""
    close = [
        replace(curve("vertical", (0.1,), name), samples_seen=n) for name, n in (("a", 9_000), ("b", 9_900))
    ]
    marks = scale_marks(close)
    assert len({mark.color for mark in marks.values()}) == 2


def test_one_scale_of_two_families_has_one_colour_and_two_lines(curve):
    """Colour says how much training, the line style says whose."""
    marks = scale_marks([curve("vertical", (0.1,), "2m", family=family) for family in ("qwen25", "molmo")])

    assert marks["qwen25", "2m"].color == marks["molmo", "2m"].color
    assert marks["qwen25", "2m"].linestyle != marks["molmo", "2m"].linestyle
    assert marks["molmo", "2m"].label == "molmo @ 2m"


def test_importing_the_package_loads_no_matplotlib():
    """A command that draws nothing does not wait for matplotlib."""
    code = "import sys, vlmprobe.figures; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "False"


def test_the_usual_steps_have_the_colours_of_the_ramp():
    """They are written down, so that naming them needs no matplotlib."""
    places = theme._STEP_COLORS

    assert len(places) == 4
    assert {place: theme.ramp_color(place) for place in places} == places
