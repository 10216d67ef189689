"""What the old layout's files look like where the golden folder has no example."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from math import nan

import numpy as np
import pytest

from vlmprobe.analysis import Metric
from vlmprobe.errors import UsageError
from vlmprobe.interop import (
    AnsweredPair,
    ScaleResults,
    prediction_stats,
    read_results,
    write_arrays,
    write_results,
    write_scale,
)
from vlmprobe.pairs.axes import LEFT


def metric(name, target, value, n, layer=0, subset="all", std=None):
    """Make a metric without an interval."""
    return Metric(name, 1, subset, target, layer, value, std, n)


def names(folder):
    """List the files of a folder as text."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_predictions_are_written_as_pandas_writes_them(tmp_path, small):
    """Capitalised booleans, quotes only where a comma asks for them, the order of the pairs kept."""
    write_scale(tmp_path, small, ScaleResults())

    assert (tmp_path / "csv" / "predictions_80k_all_pairs.csv").read_bytes() == (
        b"index,group,category,pred_orig,pred_swap,is_correct_orig,is_correct_swap\n"
        b"7,horizontal,left,left,right,True,True\n"
        b'3,distance,far,"far, I think",,True,False\n'
        b"12,distance,close,far,close,False,False\n"
    )
    assert (tmp_path / "csv" / "predictions_80k_both_correct.csv").read_text().splitlines()[1:] == [
        "7,horizontal,left,left,right,True,True"
    ]


def test_an_axis_without_pairs_has_no_accuracy_rather_than_zero(tmp_path, small):
    """The vertical axis was not asked: its accuracies are null, its count 0."""
    stats = prediction_stats("80k", small.pairs)
    write_scale(tmp_path, small, ScaleResults())

    assert [stats[f"vertical_{key}"] for key in ("n", "acc_orig", "acc_swap", "acc_both")] == [
        0,
        None,
        None,
        None,
    ]
    assert [stats[f"distance_{key}"] for key in ("n", "acc_orig", "acc_swap", "acc_both")] == [
        2,
        0.5,
        0.0,
        0.0,
    ]
    assert json.loads((tmp_path / "json" / "pred_stats_80k.json").read_text()) == stats
    assert json.loads((tmp_path / "json" / "category_validity_80k.json").read_text())["above"] == {
        "n": 0,
        "acc_orig": None,
        "acc_swap": None,
        "reliable": False,
    }


def test_numbers_without_data_are_left_out(tmp_path, small):
    """One vector has no pairwise cosine, and a category without pairs no row and no column."""
    metrics = [
        metric("within_category_consistency", "left", nan, 1, std=nan),
        metric("within_category_consistency", "far", 0.25, 2, std=0.125),
        *(
            metric("delta_norm", c, v, n)
            for c, v, n in (("left", 1.5, 1), ("far", 2.0, 2), ("above", nan, 0))
        ),
        metric("delta_similarity", "left/far", nan, 3),
        metric("vd_ei.pooled", "vertical/distance", nan, 0),
    ]
    write_scale(tmp_path, small, ScaleResults(metrics))

    assert json.loads((tmp_path / "json" / "within_cat_consistency_80k_all_pairs.json").read_text()) == {
        "far_L0": {"mean": 0.25, "std": 0.125, "n": 2}
    }
    assert (tmp_path / "csv" / "delta_norm_80k_L0_all_pairs.csv").read_text() == ",norm\nleft,1.5\nfar,2.0\n"
    assert (tmp_path / "csv" / "delta_similarity_80k_L0_all_pairs.csv").read_text() == (
        ",left,far\nleft,1.0,\nfar,,1.0\n"
    )
    assert not (tmp_path / "json" / "vd_ei_80k.json").exists()


def test_coherence_is_written_under_its_old_and_its_new_name(tmp_path, small):
    """Scripts of either age find theirs, with the same content."""
    write_scale(tmp_path, small, ScaleResults([metric("axis_coherence", "distance", 0.5, 2, std=0.0)]))

    old, new = (
        tmp_path / "json" / f"{name}_80k_all_pairs.json"
        for name in ("sign_corrected_consistency", "axis_coherence")
    )
    assert old.read_text() == new.read_text()
    assert json.loads(new.read_text()) == {"distance_L0": {"mean": 0.5, "std": 0.0, "n": 2}}


def test_a_single_quad_has_an_alignment_and_no_shuffle(tmp_path, small):
    """What is undefined is null, since NaN is no JSON."""
    name = "cross_axis_alignment.published"
    metrics = [
        metric(name, "per_sample", 0.5, 1, layer=5, std=0.0),
        metric(name, "of_means", 0.5, 1, layer=5),
        metric(name, "shuffled", nan, 1, layer=5, std=nan),
    ]
    write_scale(tmp_path, small, ScaleResults(metrics))

    assert json.loads((tmp_path / "json" / "cross_alignment_80k.json").read_text()) == {
        "L5": {
            "per_sample_mean": 0.5,
            "per_sample_std": 0.0,
            "mean_delta_alignment": 0.5,
            "permutation_mean": None,
            "permutation_std": None,
            "n_samples": 1,
        }
    }


def test_families_go_to_folders_of_their_own_with_one_summary_each(tmp_path, small):
    """The summary has a row a scale in the given order; a scale without quads has no alignment."""
    quads = [
        metric("cross_axis_alignment.published", target, 0.25, 2, layer=layer, std=0.0)
        for target in ("per_sample", "of_means", "shuffled")
        for layer in (2, 10)
    ]
    write_results(
        tmp_path,
        [
            (small, ScaleResults(quads)),
            (replace(small, scale="2m"), ScaleResults()),
            (replace(small, family="molmo"), ScaleResults()),
        ],
    )

    assert sorted(path.name for path in (tmp_path / "results").iterdir()) == ["molmo", "qwen25"]
    lines = (tmp_path / "results" / "qwen25" / "csv" / "summary.csv").read_text().splitlines()
    assert lines[0].startswith("scale,horizontal_n,horizontal_acc_orig,")
    assert lines[0].endswith(",overall_acc_both,overall_n,alignment_deepest")
    assert [line.split(",")[0] for line in lines[1:]] == ["80k", "2m"]
    assert [line.split(",")[-1] for line in lines[1:]] == ["0.25", ""]
    runs = read_results(tmp_path)
    assert [(run.data.family, run.data.scale) for run in runs] == [
        ("molmo", "80k"),
        ("qwen25", "2m"),
        ("qwen25", "80k"),
    ]


@pytest.mark.parametrize(("compress", "method"), [(False, zipfile.ZIP_STORED), (True, zipfile.ZIP_DEFLATED)])
def test_arrays_are_plain_and_compressed_on_request(tmp_path, small, compress, method):
    """The file holds no pickle; the index is a number as long as all of them are."""
    vectors, quads = write_arrays(tmp_path, small, compress=compress)

    assert {info.compress_type for info in zipfile.ZipFile(vectors).infolist()} == {method}
    with np.load(vectors, allow_pickle=False) as npz:
        assert npz.files[:3] == ["delta_L0", "groups_L0", "categories_L0"]
        assert npz["indices_L5"].tolist() == [7, 3, 12]
        np.testing.assert_array_equal(npz["delta_L5"], npz["swap_L5"] - npz["orig_L5"])
    with np.load(quads, allow_pickle=False) as npz:
        assert npz.files == ["delta_vert_L5", "delta_dist_L5"]


def test_an_index_that_is_no_plain_number_keeps_its_text(tmp_path, small):
    """'007' would come back as '7' from an integer."""
    pairs = (
        AnsweredPair("007", LEFT, "left", "right", correct_orig=True, correct_swap=True),
        *small.pairs[1:],
    )
    write_arrays(tmp_path, replace(small, pairs=pairs))
    write_scale(tmp_path, replace(small, pairs=pairs), ScaleResults())

    (run,) = read_results(tmp_path)
    assert [pair.pair_id for pair in run.data.pairs] == ["007", "3", "12"]


@pytest.mark.parametrize("name", ["../80k", "a/b", "a\\b", "", ".", ".hidden", "a\nb", "80k ", "x" * 101])
def test_a_name_that_would_leave_the_folder_is_refused(tmp_path, small, name):
    """Nothing is written, neither for such a scale nor for such a family."""
    for study in (replace(small, scale=name), replace(small, family=name)):
        with pytest.raises(UsageError, match="cannot be part of a file name"):
            write_results(tmp_path / "out", [(study, ScaleResults())])

    assert names(tmp_path) == []


def test_a_scale_that_comes_twice_is_refused(tmp_path, small):
    """Two runs of one scale would write over each other."""
    with pytest.raises(UsageError, match="qwen25 @ 80k appears twice"):
        write_results(tmp_path, [(small, ScaleResults()), (small, ScaleResults())])


def test_states_of_another_number_of_pairs_leave_no_file(tmp_path, small):
    """A file is complete or not there."""
    with pytest.raises(ValueError, match="layer 5: 3 pairs need"):
        write_arrays(tmp_path, replace(small, layers={0: small.layers[0], 5: small.layers[5][:2]}))

    assert names(tmp_path) == []
