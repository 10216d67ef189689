"""Paths in a home are stored relative to it; addresses of MLflow, too."""

from __future__ import annotations

from pathlib import Path

import pytest

from vlmprobe.store.places import Places, former_home, is_shared, local_path, stored_path, whole_path

HOME = Path("/data/a study #1")


@pytest.mark.parametrize(
    ("path", "stored"),
    [
        ("/data/a study #1/spool/r1/00001.safetensors", "spool/r1/00001.safetensors"),
        ("/data/a study #1/~/file?.tsv", "~/file?.tsv"),
        ("/data/a study #1", "."),
        ("/data/a study #10/spool/x", "/data/a study #10/spool/x"),
        ("/data/bench.tsv", "/data/bench.tsv"),
        ("/data/a study #1/../bench.tsv", "/data/a study #1/../bench.tsv"),
    ],
)
def test_a_path_in_the_home_is_relative_and_comes_back(path: str, stored: str) -> None:
    """One outside stays whole, also where it only looks as if it were inside."""
    assert stored_path(HOME, Path(path)) == stored
    assert whole_path(HOME, stored) == Path(path)


def test_a_path_through_a_link_to_the_home_is_in_the_home(tmp_path: Path) -> None:
    """Settings resolve the home; a user may name its files by the link."""
    (tmp_path / "home").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "home")
    assert stored_path(tmp_path / "home", tmp_path / "link" / "bench.tsv") == "bench.tsv"


@pytest.mark.parametrize(
    ("address", "stored"),
    [
        ("file:///data/a%20study%20%231/mlartifacts/7/00001.safetensors", "mlartifacts/7/00001.safetensors"),
        ("/data/a study #1/mlartifacts/7/x", "mlartifacts/7/x"),
        ("file:///elsewhere/7/x", "file:///elsewhere/7/x"),
        ("file://server/data/x", "file://server/data/x"),
        ("runs:/7/hidden_states/x", "runs:/7/hidden_states/x"),
        ("mlflow-artifacts:/1/7/x", "mlflow-artifacts:/1/7/x"),
        ("s3://bucket/x#1", "s3://bucket/x#1"),
    ],
)
def test_an_address_in_the_home_is_a_relative_path(address: str, stored: str) -> None:
    """It becomes an address again from where the home is; what is no file of this machine is left as it is."""
    assert Places(HOME).stored_address(address) == stored
    again = Places(HOME).whole_address(stored)
    assert again is not None
    assert local_path(again) == local_path(address)


def test_a_database_outside_of_the_home_names_whole_paths() -> None:
    """Several homes may share it: 'spool' alone would be the spool of whoever reads it."""
    places = Places(HOME, holds_database=False)
    assert places.stored(HOME / "spool" / "x") == str(HOME / "spool" / "x")
    assert places.stored_address((HOME / "x").as_uri()) == (HOME / "x").as_uri()


def test_a_path_below_the_store_root_is_found_wherever_that_is_mounted() -> None:
    """Hosts that share a file system may mount it at different places; what is elsewhere stays whole."""
    here = Places(HOME, holds_database=False, root=Path("/data"))
    stored = here.stored(HOME / "spool" / "x")
    assert stored == "shared:/a study #1/spool/x"
    assert here.stored(Path("/scratch/x")) == "/scratch/x"
    there = Places(Path("/home"), holds_database=False, root=Path("/mnt/team"))
    assert there.whole(stored) == Path("/mnt/team/a study #1/spool/x")
    address = here.stored_address((HOME / "mlartifacts" / "x").as_uri())
    assert there.whole_address(address) == "file:///mnt/team/a%20study%20%231/mlartifacts/x"
    assert here.whole(stored) == HOME / "spool" / "x"


def test_a_shared_path_says_so_where_nobody_named_the_root() -> None:
    """It is no path of this host; nothing is looked for in the working directory."""
    nowhere = Places(HOME, holds_database=False)
    assert is_shared(str(nowhere.whole("shared:/home/spool/x")))
    assert nowhere.whole_address("shared:/home/mlartifacts/x") == "shared:/home/mlartifacts/x"


def test_a_shared_path_that_was_read_without_the_root_is_written_as_it_was() -> None:
    """A copy of the database, made where the folder is not mounted, names the same files."""
    for there in (Places(HOME), Places(HOME, holds_database=False), Places(HOME, root=Path("/data"))):
        assert there.stored(Places(HOME, holds_database=False).whole("shared:/spool/x")) == "shared:/spool/x"


def test_a_home_with_its_own_database_needs_no_root() -> None:
    """Its paths are relative to itself already."""
    assert Places(HOME, root=Path("/data")).stored(HOME / "x") == "x"
    assert Places(HOME, root=Path("/data")).stored(Path("/data/x")) == "/data/x"


@pytest.mark.parametrize(
    ("path", "address", "of_one_host"),
    [
        ("/scratch/home/spool/x", None, True),
        ("/scratch/home/spool/x", "file:///scratch/home/mlartifacts/x", True),
        ("/scratch/home/spool/x", "mlflow-artifacts:/1/7/x", False),
        ("/scratch/home/spool/x", "s3://bucket/x", False),
        ("shared:/home/spool/x", None, False),
    ],
)
def test_files_that_one_host_alone_can_read(path: str, address: str | None, of_one_host: bool) -> None:
    """Neither a server nor a shared folder has them; with the database in the home the question does not arise."""
    assert Places(HOME, holds_database=False).is_of_one_host(path, address) is of_one_host
    assert not Places(HOME).is_of_one_host(path, address)


def test_the_former_home_is_what_comes_before_a_known_place() -> None:
    """For databases that were written with whole paths and then moved."""
    inside = Path("spool/r1/00001.safetensors")
    assert former_home("/old/home/spool/r1/00001.safetensors", inside) == Path("/old/home")
    assert former_home("/old/home/spool/r2/00001.safetensors", inside) is None
    assert former_home("/spool/../etc/x", Path("spool/../etc/x")) is None
