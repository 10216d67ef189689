"""What fuzzing and hostile files found, each with the input that did it: it is refused, or read, and at once."""

from __future__ import annotations

import io
import json
import os
import resource
import struct
import time
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from vlmprobe.demo.training.config import read_config
from vlmprobe.errors import ImageError, InputError, UsageError
from vlmprobe.families import LoadOptions, load_catalog
from vlmprobe.families.worker.engine.prompts import load_chat_template
from vlmprobe.families.worker.faults import ModelFault
from vlmprobe.families.worker.weights.files import find_weights
from vlmprobe.interop.read_arrays import read_vectors
from vlmprobe.pairs import decode_image, read_boxes, read_dataset
from vlmprobe.pairs.readers.embspatial import objects_in_question
from vlmprobe.safe_names import file_part, safe_name
from vlmprobe.settings import Settings
from vlmprobe.store.shards import read_header, read_layer

from .readers import EMBSPATIAL, READY_MADE, embspatial_row, lying_member, npz, ready_made_row, states, tsv

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _at_once() -> Iterator[None]:
    """Fail what takes more than five seconds of the processor, or more than a gigabyte of memory."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    yield
    assert time.process_time() - started < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**20


@pytest.mark.parametrize(
    "question",
    [
        "how are" + " " * 1_000_000,
        "how are " + "a and " * 200_000,
        "of a and " * 120_000,
        "of" + " " * 500_000 + "and" + " " * 500_000,
    ],
    ids=["spaces", "ands", "beginnings", "spaces around and"],
)
def test_a_question_of_a_million_characters_names_no_objects(question: str) -> None:
    """The patterns that read objects took time with the third power of its length: half a minute for 3,000 spaces."""
    assert objects_in_question(question) is None


def test_objects_are_found_in_a_million_characters() -> None:
    """The first "and" after the first beginning, the first end after that."""
    padding = "x " * 500_000
    assert objects_in_question(f"{padding}How are cup and book positioned {padding}") == ("cup", "book")


@pytest.mark.parametrize("form", ["embspatial", "ready-made"])
def test_a_question_too_long_for_a_model_is_a_row_problem(tmp_path: Path, form: str) -> None:
    """The prompt would take all the memory when it is asked; the other rows are read."""
    long = "x" * 1_000_000
    if form == "embspatial":
        content = tsv(
            [embspatial_row(0), embspatial_row(1, question=f"How are {long} and b positioned?")], EMBSPATIAL
        )
    else:
        content = tsv([ready_made_row(0), ready_made_row(1, swapped_question=long)], READY_MADE)
    (tmp_path / "bench.tsv").write_bytes(content)
    dataset = read_dataset(tmp_path / "bench.tsv")
    (problem,) = dataset.problems
    assert (len(dataset.pairs), problem.line, problem.what) == (1, 3, "question")
    assert "more than the 10000 a question may have" in problem.why


def test_an_index_too_long_is_a_row_problem(tmp_path: Path) -> None:
    """It is a key in the database, in shards and in reports."""
    content = tsv([embspatial_row(0), embspatial_row(1, index="7" * 100_000)], EMBSPATIAL)
    (tmp_path / "bench.tsv").write_bytes(content)
    (problem,) = read_dataset(tmp_path / "bench.tsv").problems
    assert (problem.what, problem.why) == ("index", "100000 characters, more than 1000")


def test_a_file_of_bad_rows_is_left_early(tmp_path: Path) -> None:
    """Each problem is remembered: millions of them would fill the memory."""
    (tmp_path / "bench.tsv").write_bytes(tsv([], EMBSPATIAL) + b"x\n" * 150_000)
    with pytest.raises(
        InputError, match=r"more than 100000 rows give no pair, the first on line 2 \(columns"
    ):
        read_dataset(tmp_path / "bench.tsv")


def test_a_file_of_bad_boxes_is_left_early(tmp_path: Path) -> None:
    """The same for boxes."""
    (tmp_path / "boxes.json").write_text("[" + "0," * 150_000 + "0]")
    with pytest.raises(InputError, match=r"more than 100000 rows give no boxes; the first is row 1 \(row"):
        read_boxes(tmp_path / "boxes.json")


def test_a_message_does_not_repeat_an_option_of_any_length(tmp_path: Path) -> None:
    """The cell was quoted whole in the error's one line."""
    row = embspatial_row(0, category="far", A=" " * 4000)
    (tmp_path / "bench.tsv").write_bytes(tsv([row], EMBSPATIAL))
    with pytest.raises(InputError) as raised:
        read_dataset(tmp_path / "bench.tsv")
    assert len(str(raised.value)) < 500


def test_a_jpeg_of_thousands_of_scans_is_refused() -> None:
    """Each goes over all pixels: 0.3 MB of them took minutes."""
    buffer = io.BytesIO()
    Image.new("L", (9000, 9000), 128).save(buffer, "JPEG", progressive=True)
    whole = buffer.getvalue()
    scan = whole[whole.rfind(b"\xff\xda") : -2]
    with pytest.raises(ImageError, match=r"a JPEG of 50.. scans, more than 100"):
        decode_image(whole[:-2] + scan * 5000 + whole[-2:])


def test_an_ordinary_progressive_jpeg_is_read() -> None:
    """Encoders write about ten scans."""
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64)).save(buffer, "JPEG", progressive=True)
    assert decode_image(buffer.getvalue()).size == (64, 64)


def _vectors(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ("{'descr': '<U0', 'fortran_order': False, 'shape': (1000000000000,)}", "shape"),
        ("{'descr': '<i8', 'fortran_order': False, 'shape': (-1,)}", "shape"),
        ("{'descr': '<i8', 'fortran_order': False, 'shape': (3,)\n", "cannot be read"),
        ("{[]: 1}", "cannot be read"),
        ("-" * 9000 + "1", "cannot be read"),
    ],
    ids=["a trillion texts of no characters", "fewer than none", "never closed", "no key", "nested"],
)
def test_an_npz_member_with_a_lying_header_is_refused(tmp_path: Path, header: str, says: str) -> None:
    """NumPy's own reader raises errors of many kinds, or makes what the header promises."""
    members = {name: array for name, array in states().items() if name != "indices_L0"}
    content = npz(members, raw={"indices_L0": lying_member(header, 2, b"")})
    with pytest.raises(InputError, match=f"indices_L0.*{says}"):
        read_vectors(_vectors(tmp_path / "vectors.npz", content), 2**30)


@pytest.mark.full
def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    """One megabyte of zeros' worth of gigabyte: within every size limit, and no hidden states are like that."""
    content = lying_member("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 67108864), }", 1, b"")
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("orig_L0.npy", "w") as file:
            file.write(content)
            for _ in range(256):
                file.write(bytes(2**20))
        for name, array in states().items():
            if name != "orig_L0":
                buffer = io.BytesIO()
                np.save(buffer, np.asarray(array))
                archive.writestr(f"{name}.npy", buffer.getvalue())
    with pytest.raises(
        InputError, match=r"'orig_L0', which unpacks to 256 MiB from 0\.2. MiB, unlike any hidden states"
    ):
        read_vectors(tmp_path / "bomb.npz", 2**30)


def test_an_index_that_comes_twice_among_many_is_found(tmp_path: Path) -> None:
    """Looking for it took time with the square of their number."""
    n = 200_000
    column = np.zeros((n, 1), np.float32)
    members = {"orig_L0": column, "swap_L0": column, "indices_L0": [*range(n - 1), n - 2]}
    with pytest.raises(InputError, match="has the index '199998' twice"):
        read_vectors(_vectors(tmp_path / "vectors.npz", npz(members)), 2**30)


def _shard(path: Path, header: str, data: bytes = b"") -> Path:
    path.write_bytes(struct.pack("<Q", len(header)) + header.encode() + data)
    return path


@pytest.mark.parametrize(
    "layer",
    [
        {"dtype": "F32", "shape": ["x", 10**10], "data_offsets": [0, 0]},
        {"dtype": "F32", "shape": ["x", 10**30], "data_offsets": [0, 0]},
        {"dtype": "F32", "shape": [-1, -2, 4], "data_offsets": [0, 32]},
        {"dtype": "F32", "shape": [True, 2, 4], "data_offsets": [0, 32]},
    ],
    ids=["ten gigabytes of text", "more than there are", "fewer than none", "no number"],
)
def test_a_shard_with_a_lying_shape_is_refused(tmp_path: Path, layer: dict[str, Any]) -> None:
    """A product of sizes that are texts is a text of that length."""
    size = layer["data_offsets"][1]
    header = json.dumps({"__metadata__": {"vlmprobe": "{}"}, "layer.000": layer})
    path = _shard(tmp_path / "00000.safetensors", header, bytes(size))
    for read in (read_header, lambda path: read_layer(path, 0)):
        with pytest.raises(InputError, match=r"not a readable shard|cannot be read"):
            read(path)


def test_a_shard_whose_header_is_nested_without_end_is_refused(tmp_path: Path) -> None:
    """Python's parser gives up with an error of another kind."""
    with pytest.raises(InputError, match=r"not a readable shard \(RecursionError\)"):
        read_header(_shard(tmp_path / "00000.safetensors", '{"a":' * 100_000))


def test_a_shard_whose_header_is_said_to_be_huge_is_not_read(tmp_path: Path) -> None:
    """Also where the file is as large as that."""
    path = tmp_path / "00000.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", 2**30))
        file.truncate(2**31)
    with pytest.raises(InputError, match="truncated or not a shard"):
        read_header(path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a = " + "[" * 50_000, "not valid TOML"),
        ("[scales.mine]\nsamples_seen = " + "9" * 5000, "not valid TOML"),
        (f"[scales.mine]\nsamples_seen = {2**63}", "must be a whole number of 0 or more"),
        ("[families.tiny.scales.mine]\nprocessor = '~nobody-here/x'", None),
        (f"[families.tiny.scales.mine]\ncheckpoint = '{'x' * 20_000}'", None),
        ('[families.tiny.scales.mine]\ncheckpoint = "a\\u0000b"', "must be a string"),
        ("x" * 50_000 + " = 1", "unknown key"),
        ("[families.tiny.scales.'../../x']\ncheckpoint = 'y'", "cannot be part of a file name"),
        ("[families.'/etc']\narchitecture = 'tiny'", "cannot be part of a file name"),
        ("[scales.'..']\nsamples_seen = 1", "cannot be part of a file name"),
        ("#" * 2**21, "larger than 1024 KiB"),
    ],
    ids=lambda value: None if value is None else value[:30],
)
def test_a_catalogue_is_read_or_refused_in_a_short_line(tmp_path: Path, text: str, says: str | None) -> None:
    """Nesting and numbers beyond Python's limits, unknown users, endless names, and names that lead elsewhere."""
    file = tmp_path / "vlmprobe.toml"
    file.write_text(text)
    if says is None:
        load_catalog(file)
    else:
        with pytest.raises(InputError, match=says) as raised:
            load_catalog(file)
        assert len(str(raised.value)) < 500


@pytest.mark.parametrize("reader", [load_catalog, read_config], ids=["vlmprobe.toml", "training config"])
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_settings_are_not_read_from_what_has_no_end(tmp_path: Path, kind: str, reader: Any) -> None:
    """A pipe into which nobody writes is not waited for, a device does not fill the memory."""
    file = tmp_path / "settings.toml"
    if kind == "pipe":
        os.mkfifo(file)
    else:
        file.symlink_to("/dev/zero")
    with pytest.raises(InputError, match="is a pipe or a device; use a file"):
        reader(file)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"VLMPROBE_HOME=a\n\xff\xfe", "it is not UTF-8 text"),
        (b"VLMPROBE_HOME=" + b"x" * 20_000, "is not a usable path: File name too long"),
        (b"VLMPROBE_HOME=~nobody-here/x", "is not a usable path"),
        (b"VLMPROBE_DATABASE_URL=~nobody-here/x", "VLMPROBE_DATABASE_URL: .* is not a usable path"),
        (b"VLMPROBE_SHARD_PAIRS=" + b"x" * 20_000, "expected a number above 0"),
        (b"VLMPROBE_SHARD_PAIRS=0.5", "expected 1 or more"),
        (b"VLMPROBE_SHARD_MIB=1e308", "expected a number above 0"),
        (
            b"A0=aaaaaaaa\n" + b"".join(b"A%d=${A%d}${A%d}\n" % (n + 1, n, n) for n in range(30)),
            "more than 20 references to other values",
        ),
        (b"#" * 2**21, "larger than 1024 KiB"),
    ],
    ids=[
        *("not UTF-8", "long home", "no such user", "no such user's database", "long number", "half a pair"),
        *("no end of MiB", "doubling", "large"),
    ],
)
def test_an_env_file_that_is_none_is_a_usage_error(tmp_path: Path, content: bytes, says: str) -> None:
    """In one short line that names the file or the variable."""
    (tmp_path / "mlflow.env").write_bytes(content)
    with pytest.raises(UsageError, match=says) as raised:
        Settings.load(environ={}, folder=tmp_path)
    assert len(str(raised.value)) < 300


@pytest.mark.parametrize("content", [b"\xff", b"{", b"[" * 100_000, b'{"weight_map": {"a": 1}}'])
def test_a_damaged_index_of_weights_is_told(tmp_path: Path, content: bytes) -> None:
    """As a fault of the checkpoint."""
    (tmp_path / "model.safetensors.index.json").write_bytes(content)
    with pytest.raises(ModelFault, match="damaged; copy the checkpoint again"):
        find_weights(tmp_path)


def test_weights_outside_of_the_checkpoint_are_refused(tmp_path: Path) -> None:
    """An index may not name other files of this machine."""
    (tmp_path / "elsewhere.safetensors").touch()
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    index = {"weight_map": {"a": "../elsewhere.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelFault, match=r"'\.\./elsewhere\.safetensors' is not a file in this folder"):
        find_weights(folder)


@pytest.mark.parametrize("content", [b"\xff", b"{", b"[" * 100_000])
def test_a_damaged_chat_template_is_told(tmp_path: Path, content: bytes) -> None:
    """As a fault of the checkpoint."""
    (tmp_path / "chat_template.json").write_bytes(content)
    with pytest.raises(ModelFault, match=r"chat_template\.json"):
        load_chat_template(LoadOptions(str(tmp_path)), None)


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        ".",
        "..",
        "../x",
        "a/b",
        "/etc",
        "a\0b",
        "a\nb",
        "-x",
        "~",
        "a" * 101,
        "\U0001d4d0" * 26,
        "\udc80",
    ],
)
def test_a_name_cannot_leave_its_folder(name: str) -> None:
    """Nor be longer than a file system takes: 26 letters can be more than 100 bytes."""
    with pytest.raises(UsageError, match="cannot be part of a file name"):
        safe_name(name, "scale")


@pytest.mark.parametrize("name", ["80k", "my scale", "v1.2+lora@step-300", "größe", "a" * 100])
def test_an_ordinary_name_is_kept(name: str) -> None:
    """Letters of any language, digits and a few signs."""
    assert safe_name(name, "scale") == name


@pytest.mark.parametrize(
    ("text", "part"),
    [("../../x", "-..-x"), ("..", "-"), ("a/b c", "a-b c"), ("x" * 300, "x" * 200), ("\0", "-")],
)
def test_a_name_made_of_others_stays_in_its_folder(text: str, part: str) -> None:
    """What leads elsewhere becomes a hyphen."""
    assert file_part(text) == part
