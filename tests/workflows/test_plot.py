"""Figures again from the database and the stored arrays: which, how, and what is left out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from markupsafe import escape

from vlmprobe.study.gallery import EXHIBITS

if TYPE_CHECKING:
    from collections.abc import Callable

    from vlmprobe.figures import Job


@pytest.fixture
def plot(inside: Any, quad_study: Any, tmp_path: Path) -> Callable[..., Any]:
    """Plot the study with quads into ``tmp_path/plots``."""

    def run(*options: object) -> Any:
        return inside("plot", "tiny", *options, "--home", quad_study.home, "--out", tmp_path)

    return run


@pytest.fixture
def planned(plot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Job]]:
    """Plan figures and draw none: file name -> job."""

    def run(*options: object) -> dict[str, Job]:
        jobs: list[Job] = []

        def keep(these: list[Job], **_: object) -> list[Path]:
            jobs.extend(these)
            return [job.path for job in these]

        monkeypatch.setattr("vlmprobe.workflows.plot.draw_all", keep)
        plot(*options).ok()
        return {str(job.path.relative_to(tmp_path / "tiny" / "plots")): job for job in jobs}

    return run


def _drawn(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.*"))


@pytest.mark.full
def test_figures_are_files_in_a_folder_a_variant(plot: Any, tmp_path: Path) -> None:
    """No model is loaded. vanilla answers one pair right: too few for ``both_correct``."""
    options = ("--variant", "both_correct", "--layers", 5, "--format", "svg")
    assert plot(*options).ok().errors == []
    assert _drawn(tmp_path / "tiny" / "plots") == [
        "accuracy/ablation.svg",
        "accuracy/accuracy_bars.svg",
        "accuracy/accuracy_over_scales.svg",
        "accuracy/accuracy_trajectory.svg",
        "accuracy/accuracy_trajectory_by_category.svg",
        "accuracy/category_validity.svg",
        "both_correct/alignment/alignment_2m.svg",
        "both_correct/alignment_published/alignment_published_2m.svg",
        "both_correct/axis_coherence/axis_coherence_2m.svg",
        "both_correct/axis_coherence_balanced/axis_coherence_balanced_2m.svg",
        "both_correct/axis_coherence_perspective/axis_coherence_perspective_2m.svg",
        "both_correct/compare/alignment.svg",
        "both_correct/compare/alignment_published.svg",
        "both_correct/compare/axis_coherence.svg",
        "both_correct/compare/axis_coherence_balanced.svg",
        "both_correct/compare/axis_coherence_perspective.svg",
        "both_correct/compare/delta_norm.svg",
        "both_correct/compare/delta_ratio.svg",
        "both_correct/compare/delta_similarity.svg",
        "both_correct/compare/order_coherence.svg",
        "both_correct/compare/peak_coherence.svg",
        "both_correct/compare/perspective_cosine.svg",
        "both_correct/compare/vd_ei_corrected.svg",
        "both_correct/compare/vd_ei_eq3.svg",
        "both_correct/compare/vd_ei_pooled.svg",
        "both_correct/compare/within_category_consistency.svg",
        "both_correct/delta_norm/delta_norm_2m.svg",
        "both_correct/delta_ratio/delta_ratio_2m.svg",
        "both_correct/heatmap/heatmap_2m_L5.svg",
        "both_correct/order_coherence/order_coherence_2m.svg",
        "both_correct/pca/pca_2m_L5.svg",
        "both_correct/pca_3d/pca_2m_L5.svg",
        "both_correct/perspective_cosine/perspective_cosine_2m.svg",
        "both_correct/vd_ei_corrected/vd_ei_corrected_2m.svg",
        "both_correct/vd_ei_eq3/vd_ei_eq3_2m.svg",
        "both_correct/vd_ei_pooled/vd_ei_pooled_2m.svg",
        "both_correct/within_category_consistency/within_category_consistency_2m.svg",
    ]
    for path in (tmp_path / "tiny" / "plots").rglob("*.svg"):
        assert path.read_text().startswith("<?xml"), path


@pytest.mark.full
@pytest.mark.parametrize(("file_format", "begins"), [("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_every_figure_of_every_variant_draws(
    plot: Any, planned: Any, tmp_path: Path, file_format: str, begins: bytes
) -> None:
    """Both scales, all layers, all variants: each planned file is there and is of its format."""
    plot("--layers", "all", "--format", file_format).ok()
    drawn = _drawn(tmp_path / "tiny" / "plots")
    assert drawn == sorted(planned("--layers", "all", "--format", file_format))
    for name in drawn:
        assert (tmp_path / "tiny" / "plots" / name).read_bytes().startswith(begins), name


def test_every_kind_of_figure_is_planned(planned: Any) -> None:
    """Each exhibit of the gallery; five layers a scale unless others are asked for."""
    jobs = planned()
    of_one = {"variant": "all", "scale": "2m", "layer": 5}
    assert [each.file for each in EXHIBITS if f"{each.file.format(**of_one)}.png" not in jobs] == []
    for scale in ("vanilla", "2m"):
        assert [name for name in jobs if name.startswith(f"all/pca/pca_{scale}_")] == [
            f"all/pca/pca_{scale}_L{layer}.png" for layer in (0, 1, 3, 4, 5)
        ]


def test_all_layers_or_the_ones_named_are_drawn(planned: Any) -> None:
    """A layer has a heatmap, a 2-D and a 3-D projection in each variant."""

    def heatmaps(*options: object) -> list[str]:
        return [name for name in planned("--scale", "2m", *options) if name.startswith("all/heatmap/")]

    assert heatmaps("--layers", "all") == [f"all/heatmap/heatmap_2m_L{layer}.png" for layer in range(6)]
    assert heatmaps("--layers", "3,1") == [f"all/heatmap/heatmap_2m_L{layer}.png" for layer in (1, 3)]


def test_the_y_range_is_shared_across_scales(planned: Any) -> None:
    """So that one may look from one scale's figure to the next; --free-y gives each its own."""

    def limits(*options: object) -> list[Any]:
        jobs = planned("--variant", "all", *options)
        return [
            jobs[f"all/axis_coherence/axis_coherence_{scale}.png"].arguments["limits"]
            for scale in ("vanilla", "2m")
        ]

    shared = limits()
    assert shared[0] == shared[1]
    low, high = shared[0]
    assert -1.1 <= low < high <= 1.1
    assert limits("--free-y") == [None, None]


def test_unreliable_categories_are_marked_in_one_variant_alone(planned: Any) -> None:
    """Scale vanilla answers none of the six categories right from both sides; all are drawn pale there."""
    jobs = planned("--layers", "5")
    assert jobs["all/heatmap/heatmap_vanilla_L5.png"].arguments["unreliable"] is None
    pale = jobs["all_with_validity/heatmap/heatmap_vanilla_L5.png"].arguments["unreliable"]
    assert len(pale["tiny", "vanilla"]) == 6
    assert "2m" not in {scale for _, scale in pale}


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (("--variant", "some"), "unknown variant 'some'; known: all, both_correct, all_with_validity"),
        (("--format", "gif"), "unknown format 'gif'; known: png, pdf, svg"),
        (("--layers", "5,9"), "tiny @ vanilla has no layer 9; it has [0, 1, 2, 3, 4, 5]"),
        (("--scale", "3m"), "no complete run matches"),
    ],
)
def test_a_wrong_option_is_an_error_in_a_line(
    plot: Any, tmp_path: Path, options: tuple[str, ...], line: str
) -> None:
    """It names what there is, and nothing is drawn."""
    ran = plot(*options)
    assert ran.code == 2
    (error,) = ran.errors
    assert line in error
    assert not (tmp_path / "tiny").exists()


@pytest.fixture(scope="module")
def report(
    inside: Any,
    quad_study: Any,
    mlflow_store: dict[str, str],
    undrawn: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Write the report of the study with quads; return its folder."""
    folder = tmp_path_factory.mktemp("report")
    with undrawn():
        inside("merge", "tiny", "--home", quad_study.home, "--out", folder, **mlflow_store).ok()
    return folder


def test_the_report_has_every_figure_of_the_gallery_that_it_should(report: Path) -> None:
    """Those of a run with boxes are among them, with their captions; each is a file as well."""
    page = (report / "report.html").read_text()
    shown = [each for exhibit in EXHIBITS for each in exhibit.report]
    assert {"axis_coherence_perspective", "perspective_cosine"} <= {each.name for each in shown}
    for each in shown:
        assert page.count(escape(each.caption)) >= 1, each.name
    assert _drawn(report) == sorted([*(f"{each.name}.png" for each in shown), "report.html", "summary.csv"])


def test_the_report_says_which_numbers_there_are_too_few_pairs_for(report: Path) -> None:
    """One line a scale; figures of the other scales are there all the same."""
    page = (report / "report.html").read_text()
    for said in (
        "tiny @ vanilla: too few pairs with both answers right in distance, horizontal, vertical",
        "tiny @ vanilla: too few quads with all four answers right",
    ):
        assert page.count(said) == 1
    assert "tiny @ 2m: too few" not in page


@pytest.mark.full
def test_an_imported_run_is_plotted_like_any_other(
    inside: Any, tmp_path: Path, mlflow_store: dict[str, str]
) -> None:
    """Its quads are deltas only: the published alignment is drawn, the canonical has no number."""
    golden = Path(__file__).parents[1] / "golden" / "molmo_400k"
    home = ("--home", tmp_path / "home")
    inside("import", golden, *home, **mlflow_store).ok()
    inside("analyze", *home, **mlflow_store).ok()
    inside("plot", "--variant", "all", "--layers", "2", *home, "--out", tmp_path / "plots").ok()
    drawn = _drawn(tmp_path / "plots" / "molmo" / "plots")
    assert "all/alignment_published/alignment_published_400k.png" in drawn
    assert "all/heatmap/heatmap_400k_L2.png" in drawn
    assert "all/pca_3d/pca_400k_L2.png" in drawn
    assert not [name for name in drawn if name.startswith("all/alignment/")]
