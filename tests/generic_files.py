"""The demo's benchmark rewritten in the generic form, one kind of file after the other."""

from __future__ import annotations

import base64
import csv
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from vlmprobe.pairs import Dataset

__all__ = ["KINDS", "generic_records", "write_generic"]

KINDS = ("jsonl", "json", "csv", "tsv", "parquet")


def generic_records(dataset: Dataset, boxes: Path | None = None) -> list[dict[str, Any]]:
    """Return the pairs of a benchmark as records whose image is bytes, with the boxes of a file where it has them."""
    by_question: dict[str, dict[str, list[float]]] = {}
    for row in json.loads(boxes.read_text()) if boxes is not None else ():
        objects = row["objects"]
        by_question[row["question_id"]] = dict(zip(objects["name"], objects["bbox"], strict=True))
    records = []
    for pair in dataset.made:
        record: dict[str, Any] = {"index": pair.pair_id, "question_id": pair.question_id}
        record |= {"subject": pair.subject, "reference": pair.reference, "category": str(pair.category)}
        found = by_question.get(pair.question_id or "", {})
        for role, name in (("subject", pair.subject), ("reference", pair.reference)):
            if name in found:
                record[f"{role}_box"] = found[name]
        records.append({**record, "image": dataset.image_bytes(pair)})
    return records


def write_generic(
    folder: Path, kind: str, records: list[dict[str, Any]], *, paths: bool | None = None
) -> Path:
    """Write records as one kind of file; images as files (JSONL unless said otherwise), bytes or base64."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = kind == "jsonl" if paths is None else paths
    rows = [{**record, "image": _image(folder, kind, record, paths=paths)} for record in records]
    path = folder / f"bench.{kind}"
    if kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif kind == "json":
        path.write_text(json.dumps(rows, indent=1))
    elif kind == "parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=5)
    else:
        with path.open("w", newline="") as file:
            columns = list(dict.fromkeys(column for row in rows for column in row))
            writer = csv.DictWriter(file, columns, delimiter="," if kind == "csv" else "\t")
            writer.writeheader()
            writer.writerows({column: _text(cell) for column, cell in row.items()} for row in rows)
    return path


def _image(folder: Path, kind: str, record: dict[str, Any], *, paths: bool) -> object:
    if paths:
        name = f"images/{record['index']}.png"
        (folder / "images").mkdir(exist_ok=True)
        (folder / name).write_bytes(record["image"])
        return name
    if kind == "parquet":
        return {"bytes": record["image"], "path": f"{record['index']}.png"}
    return base64.b64encode(record["image"]).decode()


def _text(cell: object) -> object:
    return json.dumps(cell) if isinstance(cell, list) else cell
