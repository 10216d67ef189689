"""Every table as a parquet file, for people who would rather not open a database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmprobe.store.kept_rows import KEPT
from vlmprobe.store.rows import fetch_arrow
from vlmprobe.store.schema import Base
from vlmprobe.whole_file import whole_file

if TYPE_CHECKING:
    from pathlib import Path

    from vlmprobe.store.engine import Database

__all__ = ["write_tables"]


def write_tables(database: Database, folder: Path) -> list[Path]:
    """Write ``folder/{table}.parquet`` for every table but those made of the others; return the files."""
    import pyarrow.parquet as pq

    folder.mkdir(parents=True, exist_ok=True)
    written = []
    made_of_others = {table.__tablename__ for table in KEPT}
    with database.transaction(write=False) as connection:
        for name, table in sorted(Base.metadata.tables.items()):
            if name in made_of_others:
                continue
            # By key: the same rows give the same file.
            keys = ", ".join(column.name for column in table.primary_key.columns)
            path = folder / f"{name}.parquet"
            rows = fetch_arrow(connection, f'SELECT * FROM "{name}" ORDER BY {keys}')  # noqa: S608 - our own names
            with whole_file(path) as partial:
                pq.write_table(rows, partial)
            written.append(path)
    return written
