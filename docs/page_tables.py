"""Tables in Markdown, and the marked places of a page that they fill; for the scripts that make pages."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["fill_marked", "markdown"]


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def fill_marked(page: str, blocks: Mapping[str, str], name: str) -> str:
    """Return a page with each ``<!-- table: NAME -->`` filled anew, up to its ``<!-- end -->``.

    Args:
        page: its text.
        blocks: name of a place -> what goes there.
        name: of the page, for the message.

    Raises:
        SystemExit: a block has no place.
        KeyError: a place has no block.
    """
    used = set()

    def put(match: re.Match[str]) -> str:
        used.add(match[1])
        return f"<!-- table: {match[1]} -->\n{blocks[match[1]]}\n<!-- end -->"

    filled = re.sub(r"<!-- table: (.+?) -->\n.*?<!-- end -->", put, page, flags=re.DOTALL)
    if missing := set(blocks) - used:
        raise SystemExit(f"{name} has no place for: {', '.join(sorted(missing))}")
    return filled
