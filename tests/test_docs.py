"""The documents are a reference: every command, option, setting, metric, table and column is in them."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import typer

from vlmprobe.analysis import (
    CATALOG,
    alignment_metrics,
    layer_candidates,
    layer_metrics,
)
from vlmprobe.cli.main import app
from vlmprobe.families import load_catalog
from vlmprobe.interop import (
    AnsweredPair,
    PairFacts,
    Quad,
    QuadDeltas,
    ScaleData,
    ScaleResults,
    write_results,
    write_scale,
)
from vlmprobe.pairs import read_dataset
from vlmprobe.pairs.axes import SPACE
from vlmprobe.store.duckdb_store import DuckDBStore
from vlmprobe.store.migrate import ensure_schema
from vlmprobe.store.queries import list_queries
from vlmprobe.store.schema import Base
from vlmprobe.study.gallery import EXHIBITS, VARIANTS

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
TEXTS = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
}
COMMANDS_MD = TEXTS["docs/commands.md"]
IN_COMMON = "## Options that most commands take"
TABLES = Base.metadata.tables


def _leaves(group: Any, prefix: str = "vlmprobe") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            if command.invoke_without_command:
                yield f"{prefix} {name}", command
            yield from _leaves(command, f"{prefix} {name}")
        else:
            yield f"{prefix} {name}", command


COMMANDS = dict(_leaves(typer.main.get_command(app)))
#: Lines of code blocks, printed output apart, that run vlmprobe.
SHELL_LINES = [
    (name, line)
    for name, text in TEXTS.items()
    for block in re.findall(r"^```\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
    if line.startswith("vlmprobe ")
]


def _options(name: str) -> set[str]:
    """Return every spelling of every option that the command's --help names."""
    parameters = COMMANDS[name].params
    spellings = {spelling for each in parameters for spelling in (*each.opts, *each.secondary_opts)}
    return {spelling for spelling in spellings if spelling.startswith("-")} | {"--help", "-h"}


def _section(text: str, heading: str) -> str:
    """Return the text from one heading to the next of its level or above."""
    level = len(heading.split()[0])
    return re.split(rf"\n#{{1,{level}}} ", text.partition(f"\n{heading}\n")[2])[0]


def _cells(text: str) -> list[list[str]]:
    """Return the rows of the tables in a text, header rules left out."""
    rows = [line for line in text.splitlines() if re.match(r"\| (?!---)", line)]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_each_of_its_options_is_documented(name: str) -> None:
    """docs/commands.md has a section for the command; its options are there or among the common ones."""
    own = _section(COMMANDS_MD, f"## {name}")
    assert own, f"docs/commands.md lacks '## {name}'"
    documented = own + _section(COMMANDS_MD, IN_COMMON)
    assert [option for option in _options(name) if not re.search(rf"`{option}[ `]", documented)] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_no_option_is_documented_that_the_command_does_not_take(name: str) -> None:
    """A command's table lists options that it has."""
    first_column = " ".join(row[0] for row in _cells(_section(COMMANDS_MD, f"## {name}")))
    documented = set(re.findall(r"`(--[a-z-]+)", first_column))
    assert documented <= _options(name)


def test_common_options_name_the_commands_without_them() -> None:
    """The last column of their table says which commands refuse the option, and no others do."""
    for option, _, without in _cells(_section(COMMANDS_MD, IN_COMMON))[1:]:
        spelled = re.findall(r"`(--[a-z]+)", option)[0]
        named = tuple(f"vlmprobe {words} " for words in re.findall(r"`([^`]+)`", without))
        refused = {name for name in COMMANDS if f"{name} ".startswith(named)}
        assert refused == {name for name in COMMANDS if spelled not in _options(name)}, spelled


@pytest.mark.parametrize(("file", "line"), SHELL_LINES)
def test_every_command_in_a_block_parses(file: str, line: str) -> None:
    """Its arguments and options are such as the command line takes."""
    words = shlex.split(line)
    length = 3 if " ".join(words[:3]) in COMMANDS else 2
    COMMANDS[" ".join(words[:length])].make_context(line, words[length:])


def test_every_setting_is_documented() -> None:
    """Variables that the settings, MLflow's defaults or the sample file name are in docs/commands.md."""
    sources = [
        ROOT / "vlmprobe/settings.py",
        ROOT / "vlmprobe/store/mlflow_connection.py",
        ROOT / "mlflow.env",
    ]
    text = "\n".join(source.read_text(encoding="utf-8") for source in sources)
    named = set(re.findall(r"\b(?:VLMPROBE|MLFLOW)_[A-Z_]*[A-Z]\b", text))
    assert "VLMPROBE_HOME" in named
    assert sorted(name for name in named if f"`{name}`" not in COMMANDS_MD) == []


def test_every_metric_is_documented_with_its_version() -> None:
    """docs/metrics.md lists what the catalog declares, under the heading that says whether it is per layer."""
    for heading, per_layer in (("## Per layer", True), ("## Not per layer", False)):
        rows = _cells(_section(TEXTS["docs/metrics.md"], heading))
        listed = {row[0].strip("`"): int(row[1]) for row in rows if row[1].isdigit()}
        declared = [entry for entry in CATALOG.values() if entry.is_number and entry.per_layer is per_layer]
        assert listed == {entry.name: entry.version for entry in declared}


@pytest.mark.parametrize("table", TABLES)
def test_every_table_and_column_is_documented(table: str) -> None:
    """docs/database.md has a section for the table that names each of its columns."""
    level = "####" if table.startswith("kept_") else "###"
    text = _section(TEXTS["docs/database.md"], f"{level} {table}")
    assert [column.name for column in TABLES[table].columns if f"`{column.name}`" not in text] == []


def test_every_view_and_column_is_documented(tmp_path: Path) -> None:
    """docs/database.md lists each view with its columns; 'the same numbers' are those of accuracy."""
    import duckdb

    database = DuckDBStore(tmp_path / "vlmprobe.duckdb")
    ensure_schema(database)
    with duckdb.connect(str(database.path), read_only=True) as connection:
        columns = connection.execute(
            "SELECT view_name, column_name FROM duckdb_views() JOIN duckdb_columns() ON view_name = table_name "
            "WHERE NOT duckdb_views.internal"
        ).fetchall()
    text = _section(TEXTS["docs/database.md"], "## Views")
    described = {row[0].strip("`"): row[2] for row in _cells(text)[1:]}
    shared = text.partition("| view |")[0]
    assert {view for view, _ in columns} == set(described)
    for view, column in columns:
        own = described[view].replace("the same numbers", described["accuracy"])
        assert f"`{column}`" in shared + own, f"{view}.{column}"


def test_every_row_problem_is_documented() -> None:
    """The kinds that read_dataset names are the table of docs/data.md."""
    kinds = re.findall(r"``([a-z ]+)``", str(read_dataset.__doc__).partition("whose ``what``")[2])
    table = _cells(_section(TEXTS["docs/data.md"], "## Row problems"))[1:]
    assert {row[0].strip("`") for row in table} == {kind for kind in kinds if kind != "max_per_category"}


def _row(file: str, rows: dict[str, str]) -> str:
    """Return the row of docs/plots.md for a figure: its own, or that of any metric's curves."""
    stem = file.rpartition("/")[2].removesuffix("_{scale}")
    return file if file in rows else file.replace(stem, "{metric}")


def test_every_plot_is_documented_with_its_function() -> None:
    """docs/plots.md lists the files that vlmprobe plot writes, no others, and what draws each."""
    listed = {
        row[0].strip("`").removesuffix(".png").replace("L{n}", "L{layer}"): row[1].strip("`")
        for row in _cells(TEXTS["docs/plots.md"])
        if row[0].endswith(".png`")
    }
    exhibits = {_row(exhibit.file, listed): exhibit.function.__name__ for exhibit in EXHIBITS}
    assert listed == exhibits
    folders = _cells(_section(TEXTS["docs/plots.md"], "## Folders"))[1:]
    assert [row[0] for row in folders] == [f"`{name}`" for name in ("accuracy", *VARIANTS)]


def _exported(out: Path) -> list[Path]:
    """Export made-up results of scale 80k, layer 7, in which no file of the old layout is empty."""
    states = np.random.default_rng(0).normal(size=(12, 2, 8)).astype(np.float32)
    deltas = states[:, 1], states[:, 0]
    facts = PairFacts(image_sha256="a")
    pairs = tuple(
        AnsweredPair(str(i), c, "left", "left", True, True, facts) for i, c in enumerate(SPACE.categories * 2)
    )
    data = ScaleData("qwen25", "80k", pairs, {7: states}, QuadDeltas(12, {7: deltas}))
    both_correct = np.ones(12, dtype=bool)
    metrics = layer_metrics(
        *deltas, SPACE.categories * 2, ["i"] * 12, layer=7, both_correct=both_correct, intervals=False
    )
    metrics += alignment_metrics(*deltas, None, None, None, layer=7)
    results = ScaleResults(metrics, layer_candidates({axis: {7: 0.5} for axis in SPACE.axes}, {7: 0.1}, 8))
    return write_results(out, [(data, results)])


def test_every_exported_file_and_key_is_documented(tmp_path: Path) -> None:
    """docs/exchange.md lists the files that vlmprobe export writes, no others, and the keys of the NPZ files."""
    written = _exported(tmp_path)
    names = [path.relative_to(tmp_path / "results" / "qwen25").as_posix() for path in written]
    generic = {
        re.sub("all_pairs|both_correct", "{tag}", name.replace("80k", "{scale}").replace("L7", "L{n}"))
        for name in names
    }
    text = _section(TEXTS["docs/exchange.md"], "## Export")
    listed = {row[0].strip("`") for row in _cells(text) if "." in row[0] and not row[0].startswith("key")}
    assert listed == generic
    for path in written:
        if path.suffix == ".npz":
            keys = {f"`{key.replace('L7', 'L{n}')}`" for key in np.load(path).files}
            table = text.partition(f"| key in `{path.name.replace('80k', '{scale}')}`")[2].partition("\n\n")[
                0
            ]
            assert {cell for row in _cells(table) for cell in row[0].split(", ")} == keys, path.name


def test_every_key_of_the_sidecar_is_documented(tmp_path: Path) -> None:
    """docs/exchange.md has a table of what is known of a pair, and of what a quad's pair has besides."""
    pair = AnsweredPair("1", SPACE.categories[0], None, None, True, True, PairFacts(image_sha256="a"))
    data = ScaleData("qwen25", "80k", (pair,), {}, QuadDeltas(1, {}, (Quad(pair, pair),)))
    write_scale(tmp_path, data, ScaleResults())
    content = json.loads((tmp_path / "json" / "pairs_80k.json").read_text())
    keys = {*content, *content["pairs"][0], *content["quads"][0], *content["quads"][0]["vertical"]}
    table = TEXTS["docs/exchange.md"].partition("| key in `pairs_{scale}.json`")[2].partition("\n\n")[0]
    assert {cell.strip("`") for row in _cells(table) for cell in row[0].split(", ")} == keys


def test_every_parquet_file_is_documented() -> None:
    """docs/exchange.md names the tables that --format parquet writes."""
    assert set(re.findall("`([a-z_]+)`", _section(TEXTS["docs/exchange.md"], "## Parquet"))) == {
        table for table in TABLES if not table.startswith("kept_")
    }


@pytest.mark.parametrize("family", ["qwen25", "molmo", "nvila"])
def test_the_table_of_checkpoints_is_the_catalogue(family: str) -> None:
    """docs/scales.md lists the scales that have a checkpoint as they ship, and names the others."""
    rows = [row for row in _cells(TEXTS["docs/scales.md"]) if row[0] == f"`{family}`" and len(row) == 4]
    catalog = load_catalog(ROOT / "vlmprobe/families/checkpoints.toml")
    specs = [catalog.scale(family, scale) for scale in catalog.scale_names(family)]
    assert [row[1:] for row in rows if not row[2].startswith("no public id")] == [
        [f"`{spec.scale}`", spec.checkpoint, spec.processor or "its own"] for spec in specs
    ]
    named = re.findall("`([^`]+)`", " ".join(row[1] for row in rows))
    assert set(named) == set(catalog.listed_scales(family))


def test_the_map_of_contributing_has_every_folder_and_its_recipes_name_what_exists() -> None:
    """Who comes next finds each folder, and every file that a recipe says to touch."""
    text = TEXTS["CONTRIBUTING.md"]
    table = text.partition("## Where things live")[2].partition("## Recipes")[0]
    packages = {path.parent.relative_to(ROOT).as_posix() for path in ROOT.glob("vlmprobe/*/**/__init__.py")}
    top = {"migrations", "queries", "tests", "benchmarks", "docs"}
    named = set(re.findall(r"`([\w/.-]+)`", table))
    assert packages | top <= named, sorted((packages | top) - named)
    paths = {path for path in re.findall(r"`([\w/.-]+/[\w/.-]+)`", text) if not path.startswith(".venv")}
    missing = sorted(path for path in paths if not (ROOT / path).exists())
    assert not missing


def test_the_one_test_that_contributing_runs_exists() -> None:
    """The first command that a newcomer copies."""
    file, name = re.findall(r"pytest (\S+) -k (\w+)$", TEXTS["CONTRIBUTING.md"], flags=re.MULTILINE)[0]
    assert f"def test_{name}(" in (ROOT / file).read_text(encoding="utf-8")


def test_the_recipes_of_contributing() -> None:
    """The six changes that are usual."""
    recipes = re.findall(
        r"^### (.+)$", TEXTS["CONTRIBUTING.md"].partition("## Recipes")[2], flags=re.MULTILINE
    )
    wanted = ("metric", "figure", "option", "reader", "column", "architecture")
    assert [next(word for word in wanted if word in title) for title in recipes] == list(wanted)


def test_queries_are_called_by_their_names() -> None:
    """What the documents call a shipped query is one."""
    named = set(
        re.findall(r"\b(?:accuracy|consistency|merge|checks)/[a-z_]+\b(?!\.png)", "".join(TEXTS.values()))
    )
    assert "accuracy/by_axis" in named
    assert named <= {query.name for query in list_queries()}


@pytest.mark.parametrize("name", TEXTS)
def test_relative_links_lead_somewhere(name: str) -> None:
    """The file is there, and so is the heading that an anchor names."""
    text = re.sub(r"^```.*?^```$", "", TEXTS[name], flags=re.MULTILINE | re.DOTALL)
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text):
        path, _, anchor = link.partition("#")
        target = ((ROOT / name).parent / path).resolve() if path else ROOT / name
        assert target.is_file(), link
        if anchor:
            headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), flags=re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in slugs, link


def test_no_file_names_a_path_of_the_machine_it_was_written_on() -> None:
    """Nothing in the repository points into a developer's folders."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listing.returncode != 0:
        pytest.skip("not a git checkout")
    # Put together here, so that this file does not name them.
    private = [f"/{folder}/".encode() for folder in ("work", "tmp/dev", "root")]
    files = [ROOT / name for name in listing.stdout.decode().split("\0") if name]
    found = {
        str(file.relative_to(ROOT))
        for file in files
        if file.is_file() and any(path in file.read_bytes() for path in private)
    }
    assert found == set()
