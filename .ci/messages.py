"""List every text of vlmprobe that a user can see, one per line: ``python messages.py [CHECKOUT]``.

A text is any string in the package that reads like prose (errors, notes, options, captions, constants), and any
string, however short, that goes straight to a user. Left out are SQL, type annotations, and docstrings other than
those that ``--help`` prints. Fields of f-strings are printed as ``{field}``.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Calls and keyword arguments whose texts a user reads, however short they are.
SHOWN_CALLS = re.compile(
    r"say|warn\w*|tell|_tell|echo|track|progress|_found|_fail|Finding|BadParameter|unknown_name|text|annotate"
    r"|(set_)?(title|[xy]label|suptitle|supxlabel|supylabel)|\w*(Error|Fault|Figure|MissingPackage)"
)
SHOWN_KEYWORDS = {"help", "epilog", "caption", "title", "label", "empty", "reason", "problem"}
PROSE = re.compile(r"[A-Za-z',;:){}]{2,} +[({']?[a-z{]\w*|[a-z}] [A-Z]\w+")
SQL = re.compile(
    r"\s*(SELECT|INSERT|UPDATE|DELETE|CREATE|ATTACH|DETACH|WITH|SET|PRAGMA|COPY|CHECKPOINT|ALTER|DROP|FROM|WHERE"
    r"|ORDER BY|BY NAME|PREPARE|EXECUTE|DEALLOCATE)\b"
)


def main() -> None:
    """Print the texts of the checkout named on the command line, or of the working directory."""
    checkout = Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    n_texts = 0
    for path in sorted((checkout / "vlmprobe").rglob("*")):
        read = READERS.get(path.suffix)
        for line, text in sorted(read(path)) if read else ():
            n_texts += 1
            sys.stdout.write(f"{path.relative_to(checkout)}:{line}: {' '.join(text.split())}\n")
    sys.stderr.write(f"{n_texts} texts\n")


def python_texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the texts of a module with their lines."""
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and any(
            "command" in ast.unparse(d) for d in node.decorator_list
        ):
            yield node.lineno, ast.get_docstring(node) or ""
    yield from _strings(tree, shown=False)


def _strings(node: ast.AST, *, shown: bool) -> Iterator[tuple[int, str]]:
    """Yield the texts at and below a node; ``shown``: a user reads the node, whatever it looks like."""
    if isinstance(node, (ast.Constant, ast.JoinedStr)):
        text = _text(node)
        own_words = re.sub(r"{[^{}]*}", "{}", text)
        if not SQL.match(text) and re.search("[a-z]{2}", own_words) and (shown or PROSE.search(own_words)):
            yield node.lineno, text
    for field, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            if field == "annotation" and isinstance(child, ast.Subscript):
                yield from _strings(child.slice, shown=False)  # Annotated[..., typer.Option(help=...)]
            elif isinstance(child, ast.AST) and not _is_skipped(node, field, child):
                yield from _strings(child, shown=_is_shown(node, field, shown=shown))


def _is_skipped(parent: ast.AST, field: str, child: ast.AST) -> bool:
    is_docstring = isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)
    is_part = isinstance(parent, ast.JoinedStr) and isinstance(child, ast.Constant)
    return is_docstring or is_part or field in {"annotation", "returns"}


def _is_shown(parent: ast.AST, field: str, *, shown: bool) -> bool:
    if isinstance(parent, ast.Call):
        name = parent.func.attr if isinstance(parent.func, ast.Attribute) else getattr(parent.func, "id", "")
        return field == "args" and SHOWN_CALLS.fullmatch(name) is not None
    if isinstance(parent, ast.keyword):
        return parent.arg in SHOWN_KEYWORDS
    return shown and isinstance(parent, (ast.IfExp, ast.BinOp)) and field != "test"


def _text(node: ast.AST) -> str:
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        return f"{{{ast.unparse(node.value)}}}"
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def template_texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield what stands between the tags of a Jinja template, and the strings in its tags."""
    page = path.read_text("utf-8")
    page = re.sub(r"<style>.*?</style>", lambda style: "\n" * style[0].count("\n"), page, flags=re.DOTALL)
    for number, line in enumerate(page.splitlines(), start=1):
        texts = re.findall(r'(?:title|alt)="([^"{]+)"', line)
        for tag in re.findall(r"{[{%].*?[}%]}", line):
            texts += re.findall(r'"([^"]+)"', tag)
        texts += re.split(r"{%.*?%}|<[^>]*>", re.sub(r'="[^"]*"', "", line))
        yield from (
            (number, text) for text in texts if re.search("[a-zA-Z]{2}", re.sub(r"{{.*?}}", "", text))
        )


def plain_texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a README, or the comments of a TOML file and what its families need."""
    prose = re.compile("[A-Za-z]{2}" if path.suffix == ".md" else "^#|^needs =")
    for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
        if prose.search(line):
            yield number, line


READERS = {".py": python_texts, ".j2": template_texts, ".md": plain_texts, ".toml": plain_texts}

if __name__ == "__main__":
    main()
