"""A dataset brings axes of its own: two that are not of space go through everything that those three do."""

from __future__ import annotations

import csv
import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from vlmprobe.errors import UsageError
from vlmprobe.figures import scale_curves
from vlmprobe.pairs import SPACE, Axis, AxisSet, Category, read_dataset
from vlmprobe.store.axes import read_axes, store_axes
from vlmprobe.store.duckdb_store import DuckDBStore
from vlmprobe.store.migrate import ensure_schema
from vlmprobe.study.selection import Selection
from vlmprobe.study.study import Study
from vlmprobe.workflows.analyze import analyze
from vlmprobe.workflows.export import export_results
from vlmprobe.workflows.extract import ExtractOptions, ExtractRequest, extract
from vlmprobe.workflows.merge import merge
from vlmprobe.workflows.plot import plot
from vlmprobe.workspace import Workspace

from ..postgres_server import named_by_environment

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KITCHEN = AxisSet(
    (
        Axis(
            "heat",
            Category("hot", color="#b3001b", read_as=("warm",), mentions=("hot", "warm")),
            Category("cold", color="#255c99", words=("cold", "colder")),
            color="#800080",
            marker="o",
            questions={"published": "Is the {a} hot or cold beside the {b}?"},
        ),
        Axis(
            "bulk",
            Category("big", color="#3a5a40"),
            Category("small", color="#a3b18a"),
            color="#606c38",
            marker="s",
            questions={"published": "Is the {a} big or small beside the {b}?"},
        ),
    ),
)
AS_KITCHEN = {"left": "warm", "right": "cold", "above": "big", "below": "small"}
#: No words of a table about the kitchen; an answer may be right.
OF_SPACE = re.compile(rf"\b({'|'.join({*SPACE, *SPACE.categories} - {'right'})})\b")


@dataclass(frozen=True, slots=True)
class Kitchen:
    """One scale on sixteen pairs, analyzed, merged and plotted."""

    workspace: Workspace
    data: Path
    report: str
    plots: dict[str, Path]

    @property
    def study(self) -> Study:
        """The values of its run."""
        return Study(self.workspace.database, Selection().newest(self.workspace, "published").runs)


@pytest.fixture
def database(tmp_path: Path) -> DuckDBStore:
    """Make an empty database."""
    made = DuckDBStore(tmp_path / "vlmprobe.duckdb")
    ensure_schema(made)
    return made


@pytest.fixture(scope="module")
def kitchen(
    benchmark: Callable[..., Path],
    mlflow_store: dict[str, str],
    undrawn: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> Kitchen:
    """Say the demo's relations in other words, and run everything."""
    folder = tmp_path_factory.mktemp("kitchen")
    data = folder / "kitchen.tsv"
    csv.field_size_limit(sys.maxsize)
    with benchmark(4).open(newline="", encoding="utf-8") as old, data.open("w", newline="") as new:
        rows = csv.DictReader(old, delimiter="\t")
        writer = csv.DictWriter(new, rows.fieldnames or (), delimiter="\t")
        writer.writeheader()
        for row in rows:
            if row["category"] in AS_KITCHEN:
                writer.writerow({**row, "category": AS_KITCHEN[row["category"]]})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(*next(iter(mlflow_store.items())))
        with named_by_environment(folder / "home"):
            workspace = Workspace.open(folder / "home")
        extract(workspace, ExtractRequest("tiny", "2m", ExtractOptions(data, axes=KITCHEN, batch_size=8)))
        analyze(workspace)
        with undrawn():
            merged = merge(workspace, out=folder / "report")
        drawn = plot(workspace, Selection(), out=folder / "plots", layers=[3])
    names = {path.stem: path for path in drawn}
    return Kitchen(workspace, data, merged.report.read_text(encoding="utf-8"), names)


def test_the_dataset_is_another_one_than_under_other_axes(kitchen: Kitchen) -> None:
    """The same bytes mean something else; questions are asked in the axes' own words."""
    made = read_dataset(kitchen.data, axes=KITCHEN)
    assert {str(category): n for category, n in made.n_made.items()} == {
        "hot": 4,
        "cold": 4,
        "big": 4,
        "small": 4,
    }
    pair = made.pairs[0]
    assert pair.orig.text == (
        f"Is the {pair.subject} hot or cold beside the {pair.reference}? Answer with only one word."
    )
    heat, bulk = KITCHEN
    renamed = AxisSet((Axis("warmth", *heat.categories, questions=heat.questions), bulk))
    assert read_dataset(kitchen.data, axes=renamed).dataset_id != made.dataset_id


def test_the_database_knows_the_axes(kitchen: Kitchen, rows: Any) -> None:
    """A table holds them whole, and SQL sorts by it."""
    home = kitchen.workspace.settings.home
    (dataset_id,) = rows(home, "SELECT dataset_id FROM datasets")[0]
    with kitchen.workspace.database.transaction() as connection:
        stored = read_axes(connection, dataset_id)
    assert stored == KITCHEN
    assert rows(home, "SELECT axis, canonical, opposite FROM run_axes ORDER BY position") == [
        ("heat", "hot", "cold"),
        ("bulk", "big", "small"),
    ]


def test_metrics_are_of_these_axes_and_none_is_of_height_or_depth(kitchen: Kitchen, rows: Any) -> None:
    """Entanglement, perspective and quads need two axes of space, and are not there: not 0, not NaN."""
    home = kitchen.workspace.settings.home
    targets = "SELECT DISTINCT metric, target FROM consistency ORDER BY ALL"
    found: dict[str, list[str]] = {}
    for metric, target in rows(home, targets):
        found.setdefault(metric, []).append(target)
    assert found["axis_coherence"] == ["bulk", "heat"]
    assert found["within_category_consistency"] == ["big", "cold", "hot", "small"]
    assert len(found["delta_similarity"]) == 6
    assert found["accuracy.both"] == ["bulk", "heat", "overall"]
    assert not [name for name in found if name.startswith(("vd_ei", "cross_axis", "perspective"))]
    assert rows(home, "SELECT count(*) FROM metrics WHERE layer = 0 AND name = 'axis_coherence'") == [(4,)]


def test_tables_come_in_the_order_of_the_axes(kitchen: Kitchen) -> None:
    """That of the set, which is not that of the alphabet."""
    study = kitchen.study
    assert [point.target for point in study.accuracy] == ["heat", "bulk", "overall"]
    assert [point.target for point in study.categories] == ["hot", "cold", "big", "small"]


def test_the_report_speaks_of_these_axes_alone(kitchen: Kitchen) -> None:
    """Its tables, its SQL and its captions' data; what explains a method may name its paper's axes."""
    tables = " ".join(re.findall(r"<tr.*?</tr>", kitchen.report, flags=re.DOTALL))
    assert "heat" in tables
    assert "bulk" in tables
    assert not OF_SPACE.findall(re.sub(r"<[^>]*>", " ", tables))


def test_figures_are_drawn_in_the_axes_colors(kitchen: Kitchen) -> None:
    """All that need no height and depth."""
    for stem in (
        # The published coherence of so few images is not drawn.
        "within_category_consistency",
        "axis_coherence_balanced",
        "delta_similarity",
        "accuracy_bars",
        "pca_2m_L3",
        "heatmap_2m_L3",
    ):
        assert stem in kitchen.plots, sorted(kitchen.plots)
    assert not [stem for stem in kitchen.plots if stem.startswith(("vd_ei", "alignment", "perspective"))]
    study = kitchen.study
    figure = scale_curves(study.select("within_category_consistency"), axes=study.axes)
    lines = [line for line in figure.axes[0].lines if len(line.get_xdata()) > 2]
    colors = dict.fromkeys(line.get_color() for line in lines)
    assert list(colors) == [category.color for category in KITCHEN.categories]


def test_the_old_layout_keeps_its_three_axes(kitchen: Kitchen, tmp_path: Path) -> None:
    """It has file names for no others, and says where such a run can go instead."""
    with pytest.raises(UsageError, match=r"its axes \(heat, bulk\) cannot be exported.*--format parquet"):
        export_results(kitchen.workspace, Selection(), tmp_path, template="published", layers=None)


def test_a_wording_that_an_axis_lacks_is_refused_before_anything_is_loaded(kitchen: Kitchen) -> None:
    """It names the axis and the wordings that it has."""
    made = read_dataset(kitchen.data, axes=KITCHEN)
    with pytest.raises(UsageError, match="axis heat has no question for template yes-no; it has published"):
        made.under("yes-no")


HEAT, BULK = KITCHEN
LEFT_RIGHT, UP_DOWN, FAR_CLOSE = SPACE


@pytest.mark.parametrize(
    "axes",
    [
        KITCHEN,
        SPACE,
        AxisSet((FAR_CLOSE,)),
        AxisSet((LEFT_RIGHT, FAR_CLOSE)),
        AxisSet((FAR_CLOSE, UP_DOWN, LEFT_RIGHT)),
        AxisSet((LEFT_RIGHT, BULK)),
        AxisSet((Axis("distance", Category("remote"), Category("near")),)),
        AxisSet((Axis("horizontal", Category("west"), Category("east")), HEAT)),
        AxisSet((Axis("vertical", UP_DOWN.canonical, UP_DOWN.canonical.opposite, questions={}), HEAT)),
    ],
    ids=lambda axes: "-".join(f"{axis}" for axis in axes),
)
def test_every_set_comes_back_from_the_database_as_it_was(axes: AxisSet, database: DuckDBStore) -> None:
    """One that reuses a name of space, leaves an axis out or has them in another order is not space."""
    with database.transaction() as connection:
        store_axes(connection, "data", axes)
        stored = read_axes(connection, "data")
    assert [axis.facts for axis in stored] == [axis.facts for axis in axes]
    assert (stored == SPACE) == (axes is SPACE)


def test_other_words_or_questions_make_another_dataset(kitchen: Kitchen) -> None:
    """They decide what is asked and what counts as right; a color decides neither."""

    def dataset_id(**changed: Any) -> str:
        hot, cold = (Category(name, color="#000000") for name in HEAT.categories)
        heat = Axis("heat", changed.get("hot", hot), cold, questions=changed.get("questions", HEAT.questions))
        hot.read_as = HEAT.canonical.read_as
        return read_dataset(kitchen.data, axes=AxisSet((heat, BULK))).dataset_id

    plain = dataset_id(hot=Category("hot", read_as=("warm",)))
    assert plain == dataset_id(hot=Category("hot", color="#123456", read_as=("warm",)))
    assert plain != dataset_id(hot=Category("hot", read_as=("warm",), words=("hot", "hotter")))
    reworded = {"published": "Beside the {b}, is the {a} hot or cold?"}
    assert plain != dataset_id(hot=Category("hot", read_as=("warm",)), questions=reworded)


def _axis(name: str = "heat", hot: str = "hot", cold: str = "cold", **more: Any) -> Axis:
    colors = {"color": more.pop("hot_color", "")}
    return Axis(name, Category(hot, read_as=more.pop("read_as", ()), **colors), Category(cold), **more)


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ((), "needs at least one axis"),
        ((_axis(cold="hot"),), "hot is there twice"),
        ((_axis(), _axis("warmth", "warm", "cold")), "cold is there twice"),
        ((_axis(hot="Hot"),), "'Hot' is no name"),
        ((_axis(hot="hot/warm"),), "'hot/warm' is no name"),
        ((_axis("overall"),), "'overall' is no name"),
        ((_axis(read_as=("cold",)),), "cold is read as two categories"),
        ((_axis(hot_color="red"),), "hot: 'red' is no color; write #rrggbb"),
        ((_axis(marker="circle"),), "'circle' is no marker"),
        (
            (_axis(questions={"published": "Is the {a} hot?"}),),
            "question published: write {a} for the subject",
        ),
        (
            (_axis(questions={"published": "Is {a} {x} {b}?"}),),
            "question published: write {a} for the subject",
        ),
        ((_axis(questions={"published": "Is {a} { {b}?"}),), "question published: "),
    ],
)
def test_a_set_that_cannot_work_is_refused_when_it_is_made(axes: tuple[Axis, ...], message: str) -> None:
    """Not by its first figure, hours later."""
    with pytest.raises(ValueError, match=re.escape(message)):
        AxisSet(axes)


def test_axes_without_colors_get_some(kitchen: Kitchen) -> None:
    """Each its own, with its own mark."""
    axes = AxisSet((_axis(), _axis("bulk", "big", "small")))
    assert len({each.color for each in (*axes.categories,)}) == 4
    assert [axis.marker for axis in axes] == ["o", "s"]
    study = kitchen.study
    assert scale_curves(study.select("axis_coherence"), axes=axes).axes
