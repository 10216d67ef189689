"""Every reader of vlmprobe with inputs for it, from nearly right to hostile.

The property is one for all: an input is read, or it is refused by one ``VlmprobeError`` with a short message.
"""

from __future__ import annotations

import csv
import io
import json
import shutil
import struct
import zipfile
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import strategies as st

from vlmprobe.cli.extraction_options import batch_size, device_list
from vlmprobe.cli.options import layer_list
from vlmprobe.demo.training.config import RECIPE, read_config
from vlmprobe.errors import VlmprobeError
from vlmprobe.families import LoadOptions, load_catalog
from vlmprobe.families.worker import Fault
from vlmprobe.families.worker.engine.prompts import load_chat_template
from vlmprobe.families.worker.weights.files import find_weights
from vlmprobe.interop import read_results
from vlmprobe.interop.predictions import read_predictions
from vlmprobe.interop.read_arrays import read_quads, read_vectors
from vlmprobe.pairs import (
    SPACE,
    TEMPLATES,
    check_answer,
    decode_image,
    link_quads,
    read_boxes,
    read_dataset,
    summarize,
)
from vlmprobe.pairs.images import decode_base64, image_facts
from vlmprobe.safe_names import file_part, safe_name
from vlmprobe.settings import Settings
from vlmprobe.store import sandbox
from vlmprobe.store.duckdb_store import DuckDBStore
from vlmprobe.store.migrate import ensure_schema
from vlmprobe.store.queries import list_queries
from vlmprobe.store.sandbox import run_sql
from vlmprobe.store.shards import read_header, read_layer, read_pair_ids

from .damage import IMAGE_KINDS, damaged, hostile_text, image, image_base64, seeds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from vlmprobe.store.queries import Query

__all__ = [
    "EMBSPATIAL",
    "READERS",
    "READY_MADE",
    "REFUSALS",
    "Reader",
    "embspatial_row",
    "lying_member",
    "npz",
    "ready_made_row",
    "states",
    "tsv",
]

#: What a reader may raise; a ``Fault`` becomes a ``VlmprobeError`` where the family's code is called.
REFUSALS = (VlmprobeError, Fault)

EMBSPATIAL = ("index", "question_id", "category", "question", "image", "answer", "A", "B", "C", "D")
READY_MADE = (
    *("image_base64", "original_question", "swapped_question", "original_answer", "swapped_answer"),
    *("category", "group", "index", "question_id"),
)


@dataclass(frozen=True, slots=True)
class Reader:
    """One reader: what it is given, and how it is called with it in a folder of its own."""

    name: str
    inputs: st.SearchStrategy[Any]
    read: Callable[[Any, Path], object]
    share: float
    """Its part of all inputs, relative to the others'."""
    prepare: Callable[[Path], object] | None = None
    """Called once with the folder, before the first input."""


def tsv(rows: list[dict[str, str]], columns: tuple[str, ...]) -> bytes:
    """Write a table as the csv module does."""
    text = io.StringIO()
    writer = csv.DictWriter(
        text, columns, restval="", delimiter="\t", lineterminator="\n", extrasaction="ignore"
    )
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode("utf-8", "surrogatepass")


def embspatial_row(place: int = 0, **changed: str) -> dict[str, str]:
    """Return a row that gives a pair, but for what is changed."""
    question = "How are cup and book positioned in relation to each other in the image?"
    row = {"index": str(place), "question_id": f"q{place}", "category": "left", "question": question}
    row |= {"image": image_base64(), "answer": "A", "A": "cup", "B": "book", "C": "unknown", "D": "lamp"}
    return row | changed


def ready_made_row(place: int = 0, **changed: str) -> dict[str, str]:
    """Return a row that gives a pair, but for what is changed."""
    row = {
        "index": str(place),
        "image_base64": image_base64(),
        "category": "far",
        "original_question": "Is a far?",
    }
    row |= {"swapped_question": "Is b far?"} | changed
    with suppress(ValueError):
        category = SPACE.category(row["category"])
        row = {"original_answer": category, "swapped_answer": category.opposite} | row
    return row


def _rows_of(columns: tuple[str, ...], row: Callable[..., dict[str, str]]) -> st.SearchStrategy[bytes]:
    """Rows of which some cells are anything, written as the csv module writes them."""
    categories = ("left", "right", "above", "under", "far", "near", "diagonal")
    cells = st.dictionaries(st.sampled_from(columns), hostile_text, max_size=3)
    changes = st.builds(
        lambda category, more: {"category": category} | more, st.sampled_from(categories), cells
    )
    return st.lists(changes, min_size=1, max_size=4).map(
        lambda listed: tsv([row(place, **changed) for place, changed in enumerate(listed)], columns)
    )


def _as_text(content: bytes, encoding: str, newline: bytes) -> bytes:
    text = content.replace(b"\n", newline)
    return text if encoding == "utf-8" else text.decode("utf-8", "replace").encode(encoding, "replace")


def _damaged_tsv(seed: int, encoding: str, newline: bytes) -> bytes:
    whole = tsv([embspatial_row(0), embspatial_row(1, category="far"), embspatial_row(2)], EMBSPATIAL)
    other = tsv([ready_made_row(0), ready_made_row(1)], READY_MADE)
    return damaged(_as_text(whole if seed % 3 else other, encoding, newline), seed)


def _read_tsv(content: bytes, folder: Path) -> object:
    (folder / "bench.tsv").write_bytes(content)
    dataset = read_dataset(folder / "bench.tsv", decode=True)
    summarize(dataset)
    for template in TEMPLATES:
        with suppress(VlmprobeError):  # a file that spells its questions out can have no other
            dataset.under(template)
    for pair in dataset.pairs:
        dataset.image(pair)
    return dataset


def _read_generic(content: bytes, folder: Path) -> object:
    if not (folder / "photo.png").exists():
        (folder / "photo.png").write_bytes(image())
    dataset = _read_tsv(content, folder)
    return link_quads(dataset), [pair.image_source.read() for pair in reversed(dataset.pairs)]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | hostile_text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(hostile_text, inner, max_size=4),
    max_leaves=8,
)
_BOX_ROWS = [
    {"question_id": "q0", "objects": {"name": ["cup", "book"], "bbox": [[1, 2, 3, 4], [5, 6, 7, 8]]}},
    {"question_id": "q1", "objects": [{"name": "cup", "bbox": [1, 2, 3, 4]}]},
    {"question_id": 7.0, "objects": '[{"name": "lamp", "bbox": [0, 0, 1, 1]}]'},
]
_ODD_ROWS = st.lists(
    st.fixed_dictionaries(
        {"question_id": _JSON | st.just("q0")},
        optional={
            "objects": _JSON
            | st.fixed_dictionaries(
                {"name": _JSON | st.just(["cup"]), "bbox": _JSON | st.just([[1, 2, 3, 4]])}
            )
        },
    ),
    max_size=4,
)


def _read_boxes(content: bytes, folder: Path) -> object:
    (folder / "boxes.json").write_bytes(content)
    boxes = read_boxes(folder / "boxes.json")
    path = folder / "bench.tsv"
    if not path.exists():
        path.write_bytes(tsv([embspatial_row(0, category="far"), embspatial_row(1)], EMBSPATIAL))
    return link_quads(read_dataset(path), boxes)


@cache
def _parquet() -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([_BOX_ROWS[0], {**_BOX_ROWS[0], "question_id": "q1"}]), buffer)
    return buffer.getvalue()


def _generic_row(place: int = 0, **changed: object) -> dict[str, object]:
    row: dict[str, object] = {
        "image": image_base64(),
        "subject": "cup",
        "reference": "book",
        "category": "far",
    }
    row |= {
        "index": str(place),
        "question_id": "q",
        "subject_box": [1, 2, 3, 4],
        "reference_box": [1, 6, 2, 2],
    }
    return {**row, "subject_depth": 2.5, "reference_depth": 1, **changed}


#: Cells of the generic form, of which some are anything.
_GENERIC_ROWS = st.lists(
    st.dictionaries(
        st.sampled_from([*_generic_row(), "id"]),
        _JSON
        | st.sampled_from(["photo.png", "../photo.png", {"path": "photo.png"}, {"bytes": None}, [1] * 4, 3]),
        max_size=3,
    ),
    min_size=1,
    max_size=4,
).map(lambda listed: [_generic_row(place, **changed) for place, changed in enumerate(listed)])


def _json_lines(rows: list[dict[str, object]]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def _json(rows: list[dict[str, object]]) -> bytes:
    return json.dumps(rows, indent=1).encode()


def _csv(rows: list[dict[str, object]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_generic_row())
    for row in rows:
        cells = (row.get(column) for column in _generic_row())
        writer.writerow([json.dumps(cell) if isinstance(cell, list | dict) else cell for cell in cells])
    return text.getvalue().encode("utf-8", "surrogatepass")


def _generic_parquet(rows: list[dict[str, object]]) -> bytes:
    """Write each column as what its cells have in common, or as JSON text where they have nothing."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    def column(name: str) -> Any:
        cells = [row.get(name) for row in rows]
        with suppress(pa.ArrowException, ValueError, OverflowError, TypeError):
            return pa.array(cells)
        return pa.array([json.dumps(cell).encode() for cell in cells]).view(pa.string())

    buffer = io.BytesIO()
    with suppress(pa.ArrowException):  # a kind of cell that parquet does not have
        pq.write_table(pa.table({name: column(name) for name in rows[0]}), buffer, row_group_size=2)
    return buffer.getvalue()


_WHOLE = [_generic_row(0), _generic_row(1, image="photo.png"), _generic_row(2, category="near")]


@cache
def _image_parquet() -> bytes:
    return _generic_parquet(
        [_generic_row(place, image={"bytes": image(), "path": "x"}) for place in range(5)]
    )


_CATALOGUE = b"""
[scales.mine]
samples_seen = 120000
global_steps = 1200

[families.qwen25.scales.mine]
checkpoint = "my/model"
processor = "~/base"
revision = "main"

[families.house]
architecture = "qwen25"
python = "/opt/python"
pythonpath = ["code"]
timeout = 60.5
packages = ["torch"]
needs = "a GPU"
"""
_KEYS = (
    "checkpoint",
    "processor",
    "revision",
    "samples_seen",
    "global_steps",
    "architecture",
    "python",
    "timeout",
)


def _toml_value(value: object) -> str:
    return json.dumps(value).replace("null", '""').replace("Infinity", "inf").replace("NaN", "nan")


def _or_odd(good: list[str]) -> st.SearchStrategy[str]:
    """Draw a good name three times in four, since nothing behind a bad one is read."""
    return st.integers(0, 3).flatmap(lambda kind: st.sampled_from(good) if kind else hostile_text)


_ODD_CATALOGUE = st.builds(
    lambda name, scale, key, value: (
        f"[families.{json.dumps(name)}]\narchitecture = 'tiny'\n"
        f"[families.{json.dumps(name)}.scales.{json.dumps(scale)}]\n{key} = {_toml_value(value)}\n"
    ).encode("utf-8", "surrogatepass"),
    _or_odd(["house", "tiny"]),
    _or_odd(["80k", "mine"]),
    st.sampled_from(_KEYS),
    st.integers() | st.floats() | hostile_text | st.lists(hostile_text, max_size=2),
)


def _read_catalogue(content: bytes, folder: Path) -> object:
    file = folder / "vlmprobe.toml"
    file.write_bytes(content)
    catalogue = load_catalog(file)
    for family in ("house", "qwen25", "tiny"):
        with suppress(VlmprobeError):
            for scale in catalogue.listed_scales(family):
                catalogue.scale(family, scale)
    return catalogue


_RECIPE = RECIPE.read_bytes()
_ODD_TRAINING = st.builds(
    lambda table, key, value: f"[{table}]\n{json.dumps(key)} = {_toml_value(value)}\n".encode(
        "utf-8", "surrogatepass"
    ),
    st.sampled_from(
        ["scales", "templates", "scenes", "model", "optimiser", "vanilla", "fine_tuning", "evaluation"]
    ),
    st.sampled_from(
        ["seed", "80k", "published", "image_size", "text_heads", "questions", "steps", "learning_rate"]
    )
    | hostile_text,
    st.integers() | st.integers(0, 2**80) | st.floats() | st.booleans() | hostile_text,
)


def _read_training(content: bytes, folder: Path) -> object:
    (folder / "training.toml").write_bytes(content)
    config = read_config(folder / "training.toml")
    return config.digest, [config.steps_for(samples) for samples in config.scales.values()]


_VARIABLES = (
    *("VLMPROBE_HOME", "VLMPROBE_DATABASE_URL", "VLMPROBE_SHARD_PAIRS", "VLMPROBE_SHARD_MIB"),
    *("VLMPROBE_SHARD_SECONDS", "VLMPROBE_EXPERIMENT", "MLFLOW_TRACKING_URI", "MLFLOW_HTTP_REQUEST_TIMEOUT"),
)
_DOTENV = (
    b"VLMPROBE_HOME=data\nVLMPROBE_DATABASE_URL=duckdb:///a.duckdb\nVLMPROBE_SHARD_PAIRS=256\nMLFLOW_X='y'\n"
)
_ODD_DOTENV = st.dictionaries(st.sampled_from(_VARIABLES), hostile_text, max_size=3).map(
    lambda lines: "\n".join(f"{name}={value}" for name, value in lines.items()).encode(
        "utf-8", "surrogatepass"
    )
)


def _read_settings(content: bytes, folder: Path) -> object:
    (folder / "mlflow.env").write_bytes(content)
    settings = Settings.load(environ={}, folder=folder)
    return settings.database_path, settings.spool


_ANSWERS = st.one_of(
    hostile_text,
    st.lists(
        st.sampled_from(["left", "Right", "_far_", "near", "the", "\n", "<b>", "İ", "under"]), max_size=12
    ).map(" ".join),
    st.tuples(st.sampled_from(["left", " ", "a", "_", "\U0001f600"]), st.integers(1, 20_000)).map(
        lambda pair: pair[0] * pair[1]
    ),
)


def _read_answer(text: str, _: Path) -> object:
    return [
        check_answer(text, category, category.opposite, checker)
        for category in SPACE.categories
        for checker in ("published", "words")
    ]


def _damaged_image(seed: int, kind: str, mode: str, label: str) -> tuple[bytes, str]:
    if mode in ("RGBA", "P", "1") and kind in ("JPEG", "PPM", "WEBP", "BMP"):
        mode = "RGB"
    return damaged(image(kind, mode), seed), label


def _read_image(content_and_label: tuple[bytes, str], _: Path) -> object:
    content, _label = content_and_label
    image_facts(content)
    return decode_image(content).size


def _read_base64(text: str, _: Path) -> object:
    return decode_base64(text)


_SQL = (
    *(
        "SELECT scale, count(*) FROM runs GROUP BY 1",
        "EXPLAIN ANALYZE SELECT 1",
        "FROM accuracy",
        "VALUES (1)",
    ),
    *(
        "WITH a AS (SELECT 1) SELECT * FROM a",
        "COPY runs TO '/tmp/x'",
        "SELECT * FROM read_text('/etc/passwd')",
    ),
    *(
        "ATTACH 'x'",
        "EXPLAIN /* a */ (FORMAT JSON) SELECT 1",
        "SELECT '/* */ --' AS a -- b",
        "PRAGMA version",
    ),
    *(
        "SELECT query/**/('x')",
        "SELECT repeat('x', 10)",
        "SHOW TABLES",
        "SELECT $a",
        "SELECT 1;;",
        "DESCRIBE runs",
    ),
)
_SQL_WORDS = (
    *(
        "SELECT",
        "EXPLAIN",
        "ANALYZE",
        "FROM",
        "runs",
        "(",
        ")",
        "/*",
        "*/",
        "--",
        "\n",
        "'",
        '"',
        ";",
        ",",
        "*",
    ),
    *(
        "COPY",
        "query",
        "1",
        "$$",
        "\\",
        "\0",
        "WITH",
        "AS",
        "UNION",
        "[",
        "]",
        "{",
        "}",
        "::",
        "e'",
        "$1",
        "*/*",
    ),
)
_SQL_TEXT = st.one_of(
    st.builds(
        lambda base, seed: damaged(base.encode(), seed).decode("latin-1"), st.sampled_from(_SQL), seeds
    ),
    st.lists(st.sampled_from(_SQL_WORDS), max_size=25).map(" ".join),
    st.builds(
        lambda word, count, end: "SELECT query" + word * count + end,
        st.sampled_from([" ", "/**/", "--\n", "/*", "*", "(", "\n"]),
        st.integers(1, 2000),
        st.sampled_from(["", "(", "(1)", "x", '"(']),
    ),
    hostile_text,
)


@cache
def _parser() -> Any:
    import duckdb

    return duckdb.connect(":memory:", config=sandbox._CONFIG)


def _check_sql(text: str, _: Path) -> object:
    """Call what the child process calls, as it calls it: what it does not raise is what it answers as a refusal."""
    import duckdb

    try:
        return sandbox._checked(_parser(), text)
    except (duckdb.Error, RuntimeError, ValueError, TypeError, ArithmeticError) as error:
        raise VlmprobeError(sandbox._one_line(error)) from None


def _database(folder: Path) -> DuckDBStore:
    database = DuckDBStore(folder / "vlmprobe.duckdb")
    if not database.exists():
        ensure_schema(database)
    return database


def _answer_sql(text: str, folder: Path) -> object:
    """Answer as the child process does, within this one."""
    path = _database(folder).path
    reply = sandbox._answer({"path": str(path), "sql": text, "parameters": {}, "max_rows": 10})
    if "error" in reply:
        raise VlmprobeError(reply["error"])
    return reply


def _run_sql(text: str, folder: Path) -> object:
    return run_sql(_database(folder), text, timeout_s=3, max_rows=10)


def npz(members: dict[str, Any], *, raw: dict[str, bytes] | None = None) -> bytes:
    """Return an NPZ file of arrays, and of members as they are."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **members)
    if raw:
        with zipfile.ZipFile(buffer, "a") as archive:
            for name, content in raw.items():
                archive.writestr(f"{name}.npy", content)
    return buffer.getvalue()


def states() -> dict[str, Any]:
    """Return the arrays of a scale of three pairs."""
    random_ = np.random.default_rng(0)
    names = {"categories_L0": ["left", "far", "below"], "indices_L0": [1, 2, 3]}
    return names | {
        **{f"{side}_L0": random_.normal(size=(3, 4)).astype(np.float32) for side in ("orig", "swap")},
        **{f"is_correct_{side}_L0": [True, False, True] for side in ("orig", "swap")},
    }


@cache
def _whole_npz() -> bytes:
    return npz(states())


_ODD_ARRAYS = st.one_of(
    st.sampled_from(
        [
            np.array([np.nan, 1, 2]),
            np.array([[np.inf] * 4] * 3),
            np.array(["a", "b", "c"]),
            np.array(["left", "far", "below"]),
            np.array([b"a", b"b"]),
            np.array([1 + 2j] * 3),
            np.array(["2026-01-01"] * 3, dtype="datetime64[D]"),
            np.zeros((3, 4), dtype=[("a", "f4"), ("b", "U0")]),
            np.zeros((0, 4), np.float32),
            np.zeros((3, 0), np.float32),
            np.array(5),
            np.array([2**64 - 1] * 3, np.uint64),
            np.array([1e30, 2, 3]),
            np.array([1e300] * 12).reshape(3, 4),
            np.zeros((3, 4), ">f2"),
            np.array(["x" * 2000] * 3),
        ]
    ),
    st.lists(st.integers(-(2**40), 2**40), max_size=4).map(np.array),
    st.lists(hostile_text.filter(lambda text: len(text) < 100), max_size=4).map(
        lambda values: np.array(values, dtype=str)
    ),
)
_HEADERS = st.one_of(
    hostile_text,
    st.builds(
        lambda descr, shape, order: f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}",
        st.sampled_from(
            ["'<f4'", "'<U0'", "'|V0'", "'|O'", "[('a','<f4')]", "'x'", "[]", "{}", "None", "'<U99999999'"]
        ),
        st.sampled_from(
            ["(3, 4)", "(10**12,)", "(1000000000000,)", "(-1,)", "(-3,-4)", "()", "(0,)", "(True,)", "None"]
        ),
        st.sampled_from(["False", "True", "1", "[]"]),
    ),
    st.sampled_from(["(" * 500, "[" * 9000, "-" * 9000 + "1", "{[]: 1}", "{**{}}", "9" * 9000, "'" * 9000]),
)


def lying_member(header: str, version: int, data: bytes) -> bytes:
    """Return an NPY file whose header says anything."""
    text = header.encode("latin-1", "replace")
    length = struct.pack("<H", len(text) % 65536) if version == 1 else struct.pack("<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + length + text + data


_NPZ_INPUTS = st.one_of(
    seeds.map(lambda seed: damaged(_whole_npz(), seed)),
    st.builds(
        lambda key, array: npz(states() | {key: array}), st.sampled_from(sorted(states())), _ODD_ARRAYS
    ),
    st.builds(
        lambda key, header, version, data: npz(
            {name: array for name, array in states().items() if name != key},
            raw={key: lying_member(header, version, data)},
        ),
        st.sampled_from(sorted(states())),
        _HEADERS,
        st.sampled_from([1, 2, 3, 9]),
        st.binary(max_size=60),
    ),
)


def _read_npz(content: bytes, folder: Path) -> object:
    path = folder / "vectors.npz"
    path.write_bytes(content)
    vectors = read_vectors(path, 2**30)
    return [vectors.layers[layer] for layer in vectors.layers]


@cache
def _whole_quads() -> bytes:
    vectors = np.random.default_rng(1).normal(size=(2, 4)).astype(np.float32)
    return npz({"delta_vert_L0": vectors, "delta_dist_L0": vectors})


def _read_quads(content: bytes, folder: Path) -> object:
    path = folder / "cross_group_vectors.npz"
    path.write_bytes(content)
    quads = read_quads(path, 2**30)
    return [quads.layers[layer] for layer in quads.layers]


_PREDICTIONS = (
    b"index,group,category,pred_orig,pred_swap,is_correct_orig,is_correct_swap\n"
    b'1,horizontal,left,"left, it is",right,True,True\n2,distance,far,close,far,False,0\n'
    b'3,vertical,below,,"a ""b""",1,1.0\n'
)
_ODD_PREDICTIONS = st.lists(st.lists(hostile_text, min_size=5, max_size=8), max_size=3).map(
    lambda rows: (
        _PREDICTIONS
        + "\n".join(",".join(f'"{cell}"' for cell in row) for row in rows).encode("utf-8", "surrogatepass")
    )
)


def _read_predictions(content: bytes, folder: Path) -> object:
    (folder / "predictions.csv").write_bytes(content)
    return read_predictions(folder / "predictions.csv")


def _side(pair_id: str, category: str) -> dict[str, Any]:
    facts = dict.fromkeys(
        ("question_id", "subject", "reference", "orig_question", "swap_question", "image_sha256")
    )
    facts |= {"image_width": 3, "image_height": 4, "perspective": None}
    verdicts = {"pred_orig": None, "pred_swap": "left", "is_correct_orig": True, "is_correct_swap": False}
    return {"pair_id": pair_id, "category": category, **verdicts, **facts}


_SIDECAR = {"format": 1, "pairs": [_side("1", "left"), _side("2", "far"), _side("3", "below")], "quads": None}
_SIDECAR_KEYS = (*_side("1", "left"), "format", "pairs", "quads")
_ODD_SIDECAR = st.builds(
    lambda key, value, place: json.dumps(
        _SIDECAR | {key: value}
        if key in _SIDECAR
        else _SIDECAR
        | {
            "pairs": [
                side | ({key: value} if number == place else {})
                for number, side in enumerate(_SIDECAR["pairs"])
            ]
        }
    ).encode(),
    st.sampled_from(_SIDECAR_KEYS),
    _JSON,
    st.integers(0, 2),
)


def _read_folder(files: dict[str, bytes], folder: Path) -> object:
    """Read a folder of the old layout in which some of the files are odd."""
    model = folder / "qwen25"
    shutil.rmtree(model, ignore_errors=True)
    whole = {"npz/vectors_80k.npz": _whole_npz(), "csv/predictions_80k.csv": _PREDICTIONS[:0]}
    for name, content in (whole | files).items():
        if content:
            (model / name).parent.mkdir(parents=True, exist_ok=True)
            (model / name).write_bytes(content)
    return read_results(model)


_DOCUMENTS = st.one_of(
    _JSON.map(lambda value: json.dumps(value).encode()),
    seeds.map(lambda seed: damaged(b',left,far\nleft,1.0,0.5\nfar,0.5,1.0\n{"a": [1, 2]}', seed)),
)
_FOLDERS = st.one_of(
    st.builds(lambda seed: {"json/pairs_80k.json": damaged(json.dumps(_SIDECAR).encode(), seed)}, seeds),
    _ODD_SIDECAR.map(lambda content: {"json/pairs_80k.json": content}),
    st.builds(lambda content: {"json/pred_stats_80k.json": content}, _DOCUMENTS),
    st.builds(lambda content: {"csv/delta_norm_80k_L0_all_pairs.csv": content}, _DOCUMENTS),
)


@cache
def _shard() -> tuple[dict[str, Any], bytes]:
    answers = [
        {
            "pair_id": "1",
            "side": side,
            "text": "left",
            "parsed": "left",
            "correct": True,
            "checker": "published",
        }
        | {"parsed_words": "left", "correct_words": True, "margin": 0.5}
        for side in ("orig", "swap")
    ]
    ours = {"run_id": "r1", "number": 0, "pair_ids": ["1"], "layers": [0, 1], "answers": answers}
    ours |= {"certificates": [], "replaces": False, "kind": "states"}
    header: dict[str, Any] = {"__metadata__": {"vlmprobe": json.dumps(ours)}}
    for layer in (0, 1):
        header[f"layer.{layer:03d}"] = {
            "dtype": "F32",
            "shape": [1, 2, 4],
            "data_offsets": [layer * 32, layer * 32 + 32],
        }
    return header, np.zeros(16, np.float32).tobytes()


def _shard_bytes(header: object, data: bytes, *, lie: int = 0) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", (len(text) + lie) % 2**64) + text + data


_NUMBERS = st.integers(-3, 2**70) | st.floats() | hostile_text | st.lists(st.integers(-2, 2**40), max_size=4)


def _odd_shard(field: str, value: object, lie: int) -> bytes:
    header, data = _shard()
    header = json.loads(json.dumps(header))
    ours = json.loads(header["__metadata__"]["vlmprobe"])
    if field in ours:
        ours[field] = value
        header["__metadata__"]["vlmprobe"] = json.dumps(ours)
    elif field in header:
        header[field] = value
    else:
        header["layer.000"][field] = value
    return _shard_bytes(header, data, lie=lie)


_SHARD_FIELDS = (
    "run_id",
    "number",
    "pair_ids",
    "layers",
    "answers",
    "certificates",
    "kind",
    "dtype",
    "shape",
)
_SHARDS = st.one_of(
    seeds.map(lambda seed: damaged(_shard_bytes(*_shard()), seed)),
    st.builds(
        _odd_shard,
        st.sampled_from((*_SHARD_FIELDS, "data_offsets", "layer.000", "__metadata__")),
        _JSON | _NUMBERS | st.lists(_NUMBERS, max_size=4),
        st.sampled_from([0, 0, 0, 1, -1, 2**63, 2**40]),
    ),
)


def _read_shard(content: bytes, folder: Path) -> object:
    path = folder / "00000.safetensors"
    path.write_bytes(content)
    read_pair_ids(path)
    read_layer(path, 0)
    return read_header(path)


def _read_name(name: str, folder: Path) -> object:
    """Write a file of a name that is let through: it must stay in its folder."""
    (folder / "names" / file_part(name)).resolve().relative_to(folder.resolve() / "names")
    path = folder / "names" / f"vectors_{safe_name(name, 'scale')}.npz"
    path.parent.mkdir(exist_ok=True)
    assert path.resolve().parent == path.parent.resolve()
    path.touch()
    path.unlink()
    return name


@cache
def _option_readers() -> tuple[Callable[[str], object], ...]:
    def bind(query: Query, text: str) -> object:
        return query.bind({parameter.name: text for parameter in query.parameters})

    return layer_list, batch_size, device_list, *(partial(bind, query) for query in list_queries())


def _read_options(text: str, _: Path) -> object:
    return _all(partial(read, text) for read in _option_readers())


def _all(reads: Iterable[Callable[[], object]]) -> list[object]:
    """Call each of them, also after one that refuses; then pass a refusal on."""
    found, refused = [], None
    for read in reads:
        try:
            found.append(read())
        except REFUSALS as error:
            refused = error
    if refused is not None:
        raise refused
    return found


_INDEX = b'{"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}'


def _read_checkpoint(content: bytes, folder: Path) -> object:
    place = folder / "checkpoint"
    place.mkdir(exist_ok=True)
    for number in (1, 2):
        (place / f"model-0000{number}-of-00002.safetensors").touch()
    (place / "model.safetensors.index.json").write_bytes(content)
    template = content.replace(b"weight_map", b"chat_template").replace(b'{"a": ', b'{"default": ')
    (place / "chat_template.json").write_bytes(template)
    return _all([lambda: find_weights(place), lambda: load_chat_template(LoadOptions(str(place)), None)])


READERS = (
    Reader("TSV, embspatial form", _rows_of(EMBSPATIAL, embspatial_row), _read_tsv, 9),
    Reader("TSV, ready-made form", _rows_of(READY_MADE, ready_made_row), _read_tsv, 8),
    Reader(
        "TSV, damaged bytes",
        st.builds(
            _damaged_tsv,
            seeds,
            st.sampled_from(["utf-8"] * 6 + ["utf-8-sig", "utf-16", "latin-1", "utf-32"]),
            st.sampled_from([b"\n", b"\n", b"\r\n", b"\r"]),
        ),
        _read_tsv,
        12,
    ),
    Reader(
        "JSONL and JSON, generic form",
        _GENERIC_ROWS.map(_json_lines) | _GENERIC_ROWS.map(_json),
        _read_generic,
        5,
    ),
    Reader("CSV, generic form", _GENERIC_ROWS.map(_csv), _read_generic, 4),
    Reader("parquet, generic form", _GENERIC_ROWS.map(_generic_parquet), _read_generic, 3),
    Reader(
        "JSONL, damaged bytes",
        seeds.map(lambda seed: damaged((_json_lines, _json)[seed % 2](_WHOLE), seed)),
        _read_generic,
        5,
    ),
    Reader("CSV, damaged bytes", seeds.map(lambda seed: damaged(_csv(_WHOLE), seed)), _read_generic, 3),
    Reader(
        "parquet, damaged bytes", seeds.map(lambda seed: damaged(_image_parquet(), seed)), _read_generic, 4
    ),
    Reader("boxes, odd JSON", _ODD_ROWS.map(lambda rows: json.dumps(rows).encode()), _read_boxes, 6),
    Reader(
        "boxes, damaged JSON", seeds.map(lambda s: damaged(json.dumps(_BOX_ROWS).encode(), s)), _read_boxes, 6
    ),
    Reader("boxes, damaged parquet", seeds.map(lambda seed: damaged(_parquet(), seed)), _read_boxes, 3),
    Reader("vlmprobe.toml, damaged", seeds.map(lambda seed: damaged(_CATALOGUE, seed)), _read_catalogue, 2),
    Reader("vlmprobe.toml, odd values", _ODD_CATALOGUE, _read_catalogue, 2),
    Reader(
        "training config",
        _ODD_TRAINING | seeds.map(lambda seed: damaged(_RECIPE, seed)),
        _read_training,
        3,
    ),
    Reader("mlflow.env", _ODD_DOTENV | seeds.map(lambda seed: damaged(_DOTENV, seed)), _read_settings, 5),
    Reader("answers", _ANSWERS, _read_answer, 8),
    Reader(
        "images",
        st.builds(
            _damaged_image,
            seeds,
            st.sampled_from(IMAGE_KINDS),
            st.sampled_from(["RGB", "L", "RGBA", "P", "1"]),
            st.just(""),
        ),
        _read_image,
        14,
    ),
    Reader(
        "base64 cells",
        hostile_text | seeds.map(lambda seed: damaged(image_base64().encode(), seed).decode("latin-1")),
        _read_base64,
        4,
    ),
    Reader("SQL, checks", _SQL_TEXT, _check_sql, 10),
    Reader("SQL, answered", _SQL_TEXT, _answer_sql, 0.5, _database),
    Reader("SQL, in its process", _SQL_TEXT, _run_sql, 0.05, _database),
    Reader("NPZ of states", _NPZ_INPUTS, _read_npz, 5),
    Reader("NPZ of quads", seeds.map(lambda seed: damaged(_whole_quads(), seed)), _read_quads, 2),
    Reader(
        "predictions CSV",
        _ODD_PREDICTIONS | seeds.map(lambda s: damaged(_PREDICTIONS, s)),
        _read_predictions,
        5,
    ),
    Reader("folders of the old layout", _FOLDERS, _read_folder, 3),
    Reader("shards", _SHARDS, _read_shard, 9),
    Reader("names", hostile_text, _read_name, 4),
    Reader("options", hostile_text, _read_options, 1),
    Reader("checkpoint settings", seeds.map(lambda seed: damaged(_INDEX, seed)), _read_checkpoint, 1),
)
