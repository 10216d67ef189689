"""Small TSV files and images, as the csv module (and so pandas) writes them."""

from __future__ import annotations

import base64
import csv
import io
from typing import TYPE_CHECKING

import pytest
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

EMBSPATIAL = ("index", "question_id", "category", "question", "image", "answer", "A", "B", "C", "D")
READY_MADE = (
    *("image_base64", "original_question", "swapped_question", "original_answer", "swapped_answer"),
    *("category", "group", "index", "question_id"),
)


class TsvFiles:
    """Rows that give a pair, to be changed by a test, and the file that holds them."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "bench.tsv"
        self.png = base64.b64encode(self.image()).decode()

    def image(self, width: int = 8, height: int = 6, colour: str = "red", kind: str = "PNG") -> bytes:
        buffer = io.BytesIO()
        Image.new("RGB", (width, height), colour).save(buffer, kind)
        return buffer.getvalue()

    def horizontal(self, **changed: str) -> dict[str, str]:
        question = "How are cup and book positioned in relation to each other in the image?"
        row = {"category": "left", "question": question, "image": self.png, "answer": "A"} | changed
        return {"A": row["category"]} | row

    def distance(self, *options: str, answer: str = "A", category: str = "far") -> dict[str, str]:
        question = "Which object is the farthest from you?"
        row = {"category": category, "question": question, "image": self.png, "answer": answer}
        return row | dict(zip("ABCD", options, strict=True))

    def ready_made(self, **changed: str) -> dict[str, str]:
        row = {
            "image_base64": self.png,
            "original_question": "Is the cup left or right of the book?",
            "swapped_question": "Is the book left or right of the cup?",
            "original_answer": "left",
            "swapped_answer": "right",
            "category": "left",
            "group": "horizontal",
        }
        return row | changed

    def write(
        self, *rows: Mapping[str, str], columns: Sequence[str] | None = None, newline: str = "\n"
    ) -> Path:
        """Write the rows in the form that the first one has; a row's index is its place unless it has one."""
        columns = columns or (READY_MADE if rows and "image_base64" in rows[0] else EMBSPATIAL)
        with self.path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns, restval="", lineterminator=newline, delimiter="\t")
            writer.writeheader()
            writer.writerows({"index": str(place), **row} for place, row in enumerate(rows))
        return self.path


@pytest.fixture
def tsv(tmp_path: Path) -> TsvFiles:
    """Make rows and the file that holds them."""
    return TsvFiles(tmp_path)
