"""Which folders are found, and what is said about those that are damaged."""

from __future__ import annotations

import zipfile
from io import BytesIO
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest

from vlmprobe.errors import InputError
from vlmprobe.interop import ScaleResults, read_results, write_arrays, write_scale
from vlmprobe.interop.predictions import read_predictions

VECTORS = Path("npz") / "vectors_80k.npz"
PREDICTIONS = Path("csv") / "predictions_80k_all_pairs.csv"


@pytest.fixture
def model(tmp_path, small):
    """Write a folder ``results/qwen25`` with one scale."""
    folder = tmp_path / "results" / "qwen25"
    write_scale(folder, small, ScaleResults())
    write_arrays(folder, small)
    return folder


def change(path, **arrays):
    """Save an NPZ file again with some arrays replaced, or left out where None."""
    with np.load(path) as npz:
        content = {key: npz[key] for key in npz.files} | arrays
    np.savez(path, **{key: value for key, value in content.items() if value is not None})


def told(folder, **options):
    """Return the one line that reading the folder ends with."""
    with pytest.raises(InputError) as caught:
        read_results(folder, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("level", [".", "..", "../.."])
def test_a_folder_is_found_from_above(model, level):
    """The model's folder, results, or the folder around it."""
    (run,) = read_results(model / level)

    assert (run.data.family, run.data.scale, len(run.data.pairs)) == ("qwen25", "80k", 3)


def test_the_newest_layout_is_read(tmp_path, model):
    """results/saved_data/{model}_{scale}, untagged file names, a merged folder beside it, no quads."""
    newest = tmp_path / "new" / "results" / "saved_data" / "qwen25_80k"
    copytree(model, newest)
    (newest / PREDICTIONS).rename(newest / "csv" / "predictions_80k.csv")
    (newest / "csv" / "predictions_80k_both_correct.csv").unlink()
    (newest / "npz" / "cross_group_vectors_80k.npz").unlink()
    merged = tmp_path / "new" / "results" / "compare" / "qwen25" / "csv"
    merged.mkdir(parents=True)
    (merged / "summary.csv").write_text("scale\n80k\n")

    (run,) = read_results(tmp_path / "new")

    assert (run.data.family, run.data.scale, run.data.quads) == ("qwen25", "80k", None)
    assert run.data.pairs[1].pred_orig == "far, I think"


def test_what_has_no_end_is_not_read(tmp_path):
    """A device under the name of a table would fill the memory."""
    (tmp_path / "predictions.csv").symlink_to("/dev/zero")

    with pytest.raises(InputError, match=r"predictions.csv is a pipe or a device; put a file there"):
        read_predictions(tmp_path / "predictions.csv")


def test_answers_that_were_not_kept_stay_unknown(model):
    """Without the predictions file the verdicts come from the vectors; the texts are None, not empty."""
    (model / PREDICTIONS).unlink()

    (run,) = read_results(model)

    assert [(p.pred_orig, p.correct_orig, p.correct_swap) for p in run.data.pairs] == [
        (None, True, True),
        (None, True, False),
        (None, False, False),
    ]


def test_stored_verdicts_are_kept_also_where_the_answer_says_otherwise(model):
    """The old checker's word stands: 'far' was taken as wrong."""
    path = model / PREDICTIONS
    path.write_text(
        path.read_text().replace("12,distance,close,far,close,False", "12,distance,close,close,close,False")
    )

    (run,) = read_results(model)

    assert (run.data.pairs[2].pred_orig, run.data.pairs[2].correct_orig) == ("close", False)


def test_layers_are_read_when_they_are_asked_for(model, small):
    """A study's states may exceed the memory: the mapping holds the file's name, not the arrays."""
    (run,) = read_results(model)

    assert list(run.data.layers) == [0, 5]
    np.testing.assert_array_equal(run.data.layers[5], small.layers[5])
    with pytest.raises(KeyError):
        run.data.layers[1]


def test_the_family_can_be_named_and_the_scales_chosen(model, small):
    """The folder's name is a default."""
    (run,) = read_results(model, family="mine", scales=["80k"])

    assert run.data.family == "mine"
    assert told(model, scales=["2m"]) == f"{model}: has no scale 2m; it has 80k"


def test_a_run_that_is_found_twice_is_not_imported_twice(tmp_path, model):
    """The same scale in the old and the newest layout: the user says which."""
    copytree(model, tmp_path / "saved_data" / "qwen25_80k")

    assert "qwen25 @ 80k is both in" in told(tmp_path)


def test_a_folder_without_results_is_named(tmp_path):
    """Nothing there, a file, and a folder with something else in it."""
    (tmp_path / "file").write_text("")

    assert (
        told(tmp_path / "none")
        == f"{tmp_path / 'none'} does not exist; use a folder with results in the old layout"
    )
    assert "is a file; use the model's folder" in told(tmp_path / "file")
    assert "use a folder with npz/vectors_SCALE.npz in it" in told(tmp_path)


def test_missing_vectors_are_named(model):
    """The other files of the scale say that there was a run."""
    (model / VECTORS).unlink()

    assert told(model).startswith(f"{model / VECTORS} is missing, but other files of scale 80k are there")


ODD = np.array(["left", "far", "nowhere"])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"swap_L5": None}, "swap_L5 is missing"),
        ({"indices_L5": None}, "indices_L5 is missing, but indices_L0 is there"),
        ({"indices_L0": None, "indices_L5": None}, "indices_L0 is missing; the file has delta_L0"),
        ({"orig_L5": np.zeros((2, 4), np.float32)}, "orig_L5 has 2 rows, expected 3"),
        ({"orig_L5": np.zeros((3, 2), np.float32)}, "orig_L5 is (3, 2), swap_L5 (3, 4)"),
        (
            {"orig_L5": np.zeros((3, 4), np.int64)},
            "orig_L5 is int64 (3, 4); expected (rows, dimensions) of floats",
        ),
        ({"swap_L0": np.full((3, 4), np.nan, np.float32)}, "swap_L0 is not finite in 3 of 3 rows"),
        ({"orig_L0": np.full((3, 4), 1e300)}, "orig_L0 is not finite in 3 of 3 rows"),
        ({"delta_L0": np.ones((3, 4), np.float32)}, "delta_L0 is not swap_L0 - orig_L0"),
        ({"labels_L0": ODD, "labels_L5": ODD}, "labels_L0 differs from categories_L0"),
        (
            {"categories_L0": ODD, "categories_L5": ODD, "labels_L0": ODD, "labels_L5": ODD},
            "unknown category 'nowhere'",
        ),
        ({"indices_L5": np.array([7, 12, 3])}, "indices_L5 differs from indices_L0"),
        ({"indices_L0": np.array([7, 7, 3]), "indices_L5": np.array([7, 7, 3])}, "has the index '7' twice"),
        (
            {"is_correct_orig_L0": np.array([0, 1, 2]), "is_correct_orig_L5": np.array([0, 1, 2])},
            "must hold only true",
        ),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_vectors_that_do_not_fit_together_are_named_by_file_and_key(model, arrays, message):
    """Nothing is guessed: each message names the file, the key and what was expected."""
    change(model / VECTORS, **arrays)

    line = told(model)
    assert line.startswith(f"{model / VECTORS}: ")
    assert message in line


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"delta_dist_L5": None}, "delta_dist_L5 is missing"),
        ({"delta_dist_L5": np.zeros((1, 4), np.float32)}, "delta_vert_L5 is (2, 4), delta_dist_L5 (1, 4)"),
        (
            {"delta_dist_L5": np.full((2, 4), np.inf, np.float32)},
            "delta_dist_L5 is not finite in 2 of 2 rows",
        ),
    ],
    ids=["missing", "length", "infinite"],
)
def test_quads_that_do_not_fit_together_are_named_by_file_and_key(model, arrays, message):
    """Both halves of a quad stand in the same row."""
    change(model / "npz" / "cross_group_vectors_80k.npz", **arrays)

    assert f"cross_group_vectors_80k.npz: {message}" in told(model)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("7,horizontal,left,left", "8,horizontal,left,left", "index '7' is not in"),
        (
            "7,horizontal,left,left",
            "7,vertical,left,left",
            ":2: group 'vertical', but category left belongs to horizontal",
        ),
        ("7,horizontal,left,left", "7,horizontal,right,left", "index '7': category is right, but left in"),
        ("left,right,True,True", "left,right,False,True", "index '7': is_correct_orig is False, but True in"),
        ("left,right,True,True", "left,right,,True", ":2: is_correct_orig ''; expected True or False"),
        ("left,right,True,True", "left,right,True", ":2: 7 columns expected"),
        ("3,distance,far", "7,distance,far", ":3: index '7' is empty or appears twice"),
        ("pred_swap", "answer", "column pred_swap is missing; the file has index, group"),
        ('"far, I think"', '"far, I think', "not a CSV file"),
    ],
)
def test_answers_that_do_not_fit_are_named_by_file_and_line(model, old, new, message):
    """Answers and states must be of one run."""
    path = model / PREDICTIONS
    path.write_text(path.read_text().replace(old, new))

    line = told(model)
    assert str(path) in line
    assert message in line


@pytest.mark.parametrize("name", ["json/vd_ei_80k.json", "csv/delta_norm_80k_L0_all_pairs.csv"])
def test_damaged_metrics_keep_no_run_back(model, name):
    """Metrics are computed again from the states, so what a file says of them does not matter."""
    (model / name).write_text('{"0": 0.5,\n"1": left}')

    (run,) = read_results(model)

    assert (run.data.scale, len(run.data.pairs)) == ("80k", 3)


class Trap:
    """Says so when a pickle of it is loaded."""

    def __reduce__(self):
        return pytest.fail, ("a pickle was loaded",)


@pytest.mark.parametrize("key", ["indices_L0", "orig_L0", "categories_L5", "is_correct_swap_L0", "delta_L5"])
def test_a_file_that_needs_pickle_is_refused_with_the_way_out(model, key):
    """Whichever array it is, nothing of it is unpickled."""
    change(model / VECTORS, **{key: np.array([Trap(), Trap(), Trap()], dtype=object)})

    line = told(model)
    assert f"{key} holds pickled Python objects" in line
    assert "np.savez('NEW.npz'" in line


def test_a_file_that_unpacks_to_too_much_is_refused_before_it_is_read(model):
    """The sizes in the zip directory are summed first."""
    line = told(model, max_bytes=1000)

    assert line.startswith(f"{model / VECTORS}: holds ")
    assert "GiB allowed" in line


def test_a_single_array_that_unpacks_to_too_much_is_refused_before_it_is_read(model):
    """A layer is held in memory at a time, so one array has a limit of its own: 4 GiB of zeros pack well."""
    path = model / VECTORS
    content = bytearray(path.read_bytes())
    entry = content.index(b"delta_L0.npy", content.index(b"PK\x01\x02")) - 46
    content[entry + 24 : entry + 28] = (2**32 - 2).to_bytes(4, "little")
    path.write_bytes(bytes(content))

    assert "holds delta_L0 with 4.0 GiB" in told(model)


def test_an_array_that_claims_more_than_its_member_holds_is_refused(model):
    """A header of a hundred bytes cannot make the reader allocate a terabyte."""
    header = BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f4", "fortran_order": False, "shape": (10**6, 10**6)}
    )
    with zipfile.ZipFile(model / VECTORS) as old:
        members = {name: old.read(name) for name in old.namelist()}
    with zipfile.ZipFile(model / VECTORS, "w") as new:
        for name, content in (members | {"orig_L0.npy": header.getvalue()}).items():
            new.writestr(name, content)

    assert "orig_L0 cannot be read (shape (1000000, 1000000) in" in told(model)


@pytest.mark.parametrize("cut", [0, 40, -200])
def test_a_file_that_was_cut_is_named(model, cut):
    """An interrupted copy is no NPZ file."""
    path = model / VECTORS
    path.write_bytes(path.read_bytes()[:cut])

    assert told(model).startswith(f"{path}: not a readable NPZ file")


def test_a_file_with_changed_bytes_is_named_with_its_key(model):
    """The zip file's own checksum finds it."""
    path = model / VECTORS
    content = bytearray(path.read_bytes())
    at = content.index(b"orig_L0.npy") + 200
    content[at : at + 8] = b"\xff" * 8
    path.write_bytes(bytes(content))

    assert f"{path}: " in told(model)
