"""Files made to do harm, and the command that a user would give them to.

Code that a file carries makes a file called ``ran`` in the working directory: it must never be there.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import os
import pickle
import shutil
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import vlmprobe

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["HOSTILE", "RAN", "Hostile"]

RAN = "ran"
_CODE = f"open({RAN!r}, 'w').write('ran')"
_TINY = Path(vlmprobe.__file__).parent / "demo" / "checkpoints" / "2m"
_EMBSPATIAL = "index\tquestion_id\tcategory\tquestion\timage\tanswer\tA\tB\tC\tD\n"
_QUESTION = "How are cup and book positioned in relation to each other in the image?"


class _RunsWhenLoaded:
    """A pickle of it calls a function as it is loaded."""

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (_CODE,)


@dataclass(frozen=True, slots=True)
class Hostile:
    """A file, or a folder of files, and what is typed."""

    make: Callable[[Path], object]
    """Called with the working directory."""
    typed: str
    says: str
    """What the error, or the table of a benchmark's problems, holds."""
    code: int = 2


def _checkpoint(folder: Path, **files: bytes | None) -> Path:
    """Copy the tiny checkpoint and put other files in it; None takes one away."""
    place = folder / "evil"
    shutil.copytree(_TINY, place)
    for name, content in files.items():
        path = place / name.replace("__", ".")
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content)
    return place


def _config(**changed: Any) -> bytes:
    return json.dumps(json.loads((_TINY / "config.json").read_text()) | changed).encode()


def _own_code(folder: Path, file: str, **changed: Any) -> None:
    """Make a checkpoint whose ``file`` says that Python files of its own read it."""
    content = json.loads((_TINY / file).read_text()) | changed
    _checkpoint(folder, **{file.replace(".", "__"): json.dumps(content).encode(), "evil__py": _CODE.encode()})


def _safetensors(header: bytes, length: int | None = None, data: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def _torch_pickle() -> bytes:
    """Make what torch.save writes, with code where the tensors should be."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"lm_head.weight": _RunsWhenLoaded()}))
        archive.writestr("archive/version", "3\n")
    return buffer.getvalue()


def _tsv(*images: bytes | str, index: str = "{}", encoding: str = "utf-8") -> Callable[[Path], object]:
    """Make a benchmark of these images, bytes or base64."""

    def make(folder: Path) -> None:
        cells = [image if isinstance(image, str) else base64.b64encode(image).decode() for image in images]
        rows = [
            f"{index.format(place)}\tq\tleft\t{_QUESTION}\t{cell}\tA\tleft\tright\tabove\tbelow\n"
            for place, cell in enumerate(cells)
        ]
        (folder / "evil.tsv").write_bytes((_EMBSPATIAL + "".join(rows)).encode(encoding))

    return make


def _written(name: str, content: bytes | str) -> Callable[[Path], object]:
    data = content.encode() if isinstance(content, str) else content
    return lambda folder: (folder / name).write_bytes(data)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4)


def _png(width: int, height: int, *chunks: bytes) -> bytes:
    header = _chunk(b"IHDR", width.to_bytes(4) + height.to_bytes(4) + bytes([8, 2, 0, 0, 0]))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + _chunk(b"IEND", b"")


def _results(**files: bytes) -> Callable[[Path], object]:
    """Make results of the old layout with these files besides, ``npz__`` standing for a folder."""

    def make(folder: Path) -> None:
        model = folder / "evil" / "molmo"
        whole = {"npz__vectors_80k.npz": _npz()}
        for name, content in (whole | files).items():
            path = model / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    return make


def _npz(**changed: Any) -> bytes:
    states = np.ones((2, 4), np.float32)
    arrays: dict[str, Any] = {"orig_L0": states, "swap_L0": states, "indices_L0": np.array([1, 2])}
    arrays |= {"categories_L0": np.array(["left", "far"])}
    arrays |= {"is_correct_orig_L0": np.array([True, False]), "is_correct_swap_L0": np.array([True, False])}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **(arrays | changed))
    return buffer.getvalue()


def _npz_with(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO(_npz())
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


def _npy(header: str, data: bytes = b"") -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + data


def _database(folder: Path, *statements: str) -> None:
    import duckdb

    from vlmprobe.store.duckdb_store import DuckDBStore
    from vlmprobe.store.migrate import ensure_schema

    path = folder / "home" / "vlmprobe.duckdb"
    ensure_schema(DuckDBStore(path))
    with duckdb.connect(str(path)) as connection:
        for statement in statements:
            connection.execute(statement.format(folder=folder))


def _secret_view(folder: Path) -> None:
    (folder / "secret").write_text("hunter2")
    _database(folder, "CREATE OR REPLACE VIEW accuracy AS SELECT * FROM read_text('{folder}/secret')")


def _home_file(content: bytes) -> Callable[[Path], object]:
    def make(folder: Path) -> None:
        (folder / "home").mkdir()
        (folder / "home" / "vlmprobe.duckdb").write_bytes(content)

    return make


_RUN = (
    "INSERT INTO datasets (dataset_id, name, path, form, options, n_rows, created_at) "
    "VALUES ('d', 'x', 'x', 'imported', '{{}}', 0, now())",
    "INSERT INTO runs (run_id, run_key, dataset_id, template, family, scale, checkpoint, versions, config, status, "
    "provenance, created_at, updated_at) VALUES ('r', 'k', 'd', 'imported', '../../out', '80k', 'x', '{{}}', '{{}}', "
    "'complete', 'imported', now(), now())",
)

_CHECK, _IMPORT, _SQL = "data check evil.tsv", "import evil", "sql 'SELECT * FROM accuracy'"
_EXTRACT = "extract tiny --scale mine --checkpoint ./evil --data good.tsv"
_AUTO = "extract auto --scale mine --checkpoint ./evil --data good.tsv"
_BOXES = "extract tiny --scale 2m --data good.tsv --boxes"
_NESTED = b"[" * 200_000

#: By name: what the file is. A bomb is made when it is used: packing it takes a second.
HOSTILE = {
    # checkpoints
    "weights that are a pickle with code": Hostile(
        lambda f: _checkpoint(f, model__safetensors=None, pytorch_model__bin=_torch_pickle()),
        _EXTRACT,
        "holds more than tensors",
    ),
    "weights that are an old pickle with code": Hostile(
        lambda f: _checkpoint(f, model__safetensors=None, pytorch_model__bin=pickle.dumps(_RunsWhenLoaded())),
        _EXTRACT,
        "holds more than tensors",
    ),
    "safetensors that are a pickle with code": Hostile(
        lambda f: _checkpoint(f, model__safetensors=pickle.dumps(_RunsWhenLoaded())), _EXTRACT, "is damaged"
    ),
    "safetensors whose header is as long as all memory": Hostile(
        lambda f: _checkpoint(f, model__safetensors=_safetensors(b"{}", 2**63)), _EXTRACT, "is damaged"
    ),
    "safetensors whose tensor lies outside of the file": Hostile(
        lambda f: _checkpoint(
            f,
            model__safetensors=_safetensors(
                json.dumps({"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}).encode()
            ),
        ),
        _EXTRACT,
        "is damaged",
    ),
    "an index of weights that names a file elsewhere": Hostile(
        lambda f: _checkpoint(
            f,
            model__safetensors=None,
            **{"model__safetensors__index__json": b'{"weight_map": {"a": "../../../etc/hostname"}}'},
            extra__bin=b"",
        ),
        _EXTRACT,
        "is not a file in this folder",
    ),
    "a config.json with code of its own": Hostile(
        lambda f: _own_code(
            f,
            "config.json",
            model_type="evil",
            auto_map={"AutoConfig": "evil.Evil", "AutoModelForImageTextToText": "evil.Evil"},
        ),
        _AUTO,
        "has its own Python code; review it, then pass --trust-remote-code",
    ),
    "a config.json nested without end": Hostile(
        lambda f: _checkpoint(f, config__json=_NESTED), _EXTRACT, "config.json is not valid JSON"
    ),
    "a config.json that is a list": Hostile(lambda f: _checkpoint(f, config__json=b"[]"), _AUTO, "evil"),
    "a config.json of another model": Hostile(
        lambda f: _checkpoint(f, config__json=_config(model_type="llama")), _EXTRACT, "a checkpoint of llama"
    ),
    "a tokenizer with code of its own": Hostile(
        lambda f: _own_code(
            f,
            "tokenizer_config.json",
            tokenizer_class="EvilTokenizer",
            auto_map={"AutoTokenizer": ["evil.Evil", "evil.Evil"]},
        ),
        _EXTRACT,
        "",
        code=-1,
    ),
    "an image processor with code of its own": Hostile(
        lambda f: _own_code(
            f,
            "preprocessor_config.json",
            image_processor_type="EvilProcessor",
            auto_map={"AutoImageProcessor": "evil.Evil"},
        ),
        _AUTO,
        "",
        code=-1,
    ),
    "a chat template that reaches for Python": Hostile(
        lambda f: _checkpoint(
            f,
            chat_template__jinja=b"{{ ''.__class__.__mro__[1].__subclasses__() }}"
            b"{{ cycler.__init__.__globals__.os.system('touch ran') }}",
        ),
        _EXTRACT,
        "cannot be used as a chat template (access to attribute",
    ),
    "a chat template that is no text": Hostile(
        lambda f: _checkpoint(f, chat_template__jinja=b"\xff\xfe"), _EXTRACT, "can't decode byte 0xff"
    ),
    # benchmarks
    "a PNG of ten billion pixels": Hostile(_tsv(_png(100_000, 100_000)), _CHECK, "more than 89478485 pixels"),
    "a PNG whose text unpacks to a gigabyte": Hostile(
        lambda f: _tsv(_png(4, 4, _chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2**28)))))(f),
        _CHECK,
        "image",
    ),
    "a PNG whose profile unpacks to a gigabyte": Hostile(
        lambda f: _tsv(_png(4, 4, _chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(2**28)))))(f),
        _CHECK,
        "image",
    ),
    "PostScript that is called an image": Hostile(
        _tsv(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n(ran) (w) file\n"),
        _CHECK,
        "PostScript (EPS); known formats",
    ),
    "an SVG with a script": Hostile(
        _tsv(b"<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>"),
        _CHECK,
        "an SVG drawing; known formats",
    ),
    "a program that is called an image": Hostile(
        _tsv("data:image/png;base64," + base64.b64encode(b"\x7fELF" + bytes(60)).decode()),
        _CHECK,
        "a program; known formats",
    ),
    "a gzip bomb that is called an image": Hostile(
        lambda f: _tsv(gzip.compress(bytes(2**26)))(f), _CHECK, "gzip data; known formats"
    ),
    "thirty megabytes of base64": Hostile(_tsv("A" * 30_000_000), _CHECK, "nothing but zero bytes"),
    "a file of NUL bytes": Hostile(_written("evil.tsv", bytes(1_000_000)), _CHECK, "NUL byte"),
    "UTF-16": Hostile(_tsv(_png(1, 1), encoding="utf-16"), _CHECK, "use a UTF-8 TSV file"),
    "a quote that never closes": Hostile(
        _written("evil.tsv", _EMBSPATIAL + '"' * 1001 + "\n" * 1000), _CHECK, "none of its"
    ),
    "a header of a million columns": Hostile(
        _written("evil.tsv", "a\t" * 1_000_000), _CHECK, "the header lacks"
    ),
    "a pipe that nobody writes to": Hostile(
        lambda f: os.mkfifo(f / "evil.tsv"), _CHECK, "is a pipe or a device"
    ),
    "a device without an end": Hostile(
        lambda f: (f / "evil.tsv").symlink_to("/dev/zero"), _CHECK, "is a pipe or a device"
    ),
    # boxes
    "boxes nested without end": Hostile(
        _written("evil.json", _NESTED), f"{_BOXES} evil.json", "neither JSON"
    ),
    "boxes that are a pickle with code": Hostile(
        _written("evil.json", pickle.dumps(_RunsWhenLoaded())), f"{_BOXES} evil.json", "neither JSON"
    ),
    "boxes that call themselves parquet": Hostile(
        _written("evil.parquet", b"PAR1" + b"\xff" * 60 + b"PAR1"),
        f"{_BOXES} evil.parquet",
        "unreadable parquet",
    ),
    # results of others
    "states that are pickled objects with code": Hostile(
        _results(**{"npz__vectors_80k.npz": _npz(orig_L0=np.array([_RunsWhenLoaded()], object))}),
        _IMPORT,
        "holds pickled Python objects, which can run code and are never loaded",
    ),
    "a zip bomb of states": Hostile(
        lambda f: _results(**{"npz__vectors_80k.npz": _npz_with("bomb.npy", bytes(2**28))})(f),
        _IMPORT,
        "unpacks to 256 MiB from",
    ),
    "states said to be a trillion": Hostile(
        _results(
            **{
                "npz__vectors_81k.npz": _npz_with(
                    "indices_L1.npy",
                    _npy("{'descr': '<U0', 'fortran_order': False, 'shape': (1000000000000,)}"),
                ),
                "npz__vectors_80k.npz": _npz_with(
                    "orig_L1.npy",
                    _npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 4)}"),
                ),
            }
        ),
        _IMPORT,
        "is missing",
    ),
    "a scale whose name leads elsewhere": Hostile(
        _results(**{"npz__vectors_...npz": _npz()}), _IMPORT, "cannot be part of a file name"
    ),
    "a document nested without end": Hostile(
        _results(**{"json__pairs_80k.json": _NESTED}), _IMPORT, "pairs_80k.json: not JSON"
    ),
    "a table with a NUL in it": Hostile(
        _results(**{"csv__predictions_80k.csv": b"index,category\n\0,\0\n"}), _IMPORT, "predictions_80k.csv"
    ),
    # settings
    "a catalogue whose family leads elsewhere": Hostile(
        _written("vlmprobe.toml", "[families.'../../x']\narchitecture = 'tiny'\n"),
        "families",
        "cannot be part of a file name",
    ),
    "a catalogue whose architecture is a module": Hostile(
        _written("vlmprobe.toml", "[families.x]\narchitecture = 'os:system'\n"),
        "families",
        "unknown architecture",
    ),
    "a catalogue nested without end": Hostile(
        _written("vlmprobe.toml", b"a = " + _NESTED), "families", "not valid TOML"
    ),
    "an mlflow.env that is none": Hostile(_written("mlflow.env", b"\xff\xfe\0V"), "runs", "not UTF-8 text"),
    # databases
    "a database whose view reads a file": Hostile(
        _secret_view, f"{_SQL} --home home", "disabled by configuration"
    ),
    "a database whose family leads elsewhere": Hostile(
        lambda f: _database(f, *_RUN), "merge --home home ../../out", "cannot be part of a file name"
    ),
    "a database that is none": Hostile(
        _home_file(b"SQLite format 3\0" + bytes(5000)), f"{_SQL} --home home", "DuckDB"
    ),
    "a database that is cut off": Hostile(
        _home_file(bytes(8) + b"DUCK" + bytes(100)), f"{_SQL} --home home", "cannot"
    ),
}
