"""Collects every message that the software can print, from its sources: docs/messages.md has to explain them all.

`PYTHONPATH=functions python -m tools.messages` lists those that it does not.
"""

import ast
import re
import sys
from collections.abc import Iterator

from tools.build import ROOT

EXPLAINED = ROOT / "docs/messages.md"
# What stands for anything that is filled in.
BLANK = "…"
LOGGING = frozenset({"debug", "info", "warning", "error", "exception", "critical"})
# Lists of the ledger whose sentences people read.
LISTS = ("not_closed_because", "advice")
# Modules whose functions return what others raise.
RETURNING = frozenset({"network.py"})
# Functions of the scripts that tell of something wrong.
TELLING = ("fail", "misused", "warn", "problem", "concern", "note", "receiver_fails")
# Pieces shorter than this are in any text.
SHORTEST = 10


def messages() -> Iterator[tuple[str, str]]:
    """Where each message stands (file and line), and its text, with BLANK for what is filled in."""
    for path in sorted((ROOT / "functions").rglob("*.py")):
        for line, text in of_python(path.read_text(), returned=path.name in RETURNING):
            yield f"{path.relative_to(ROOT)}:{line}", text
    for path in sorted([*ROOT.glob("*.sh"), *ROOT.glob("installer/*.sh")]):
        for line, text in of_shell(path.read_text()):
            yield f"{path.relative_to(ROOT)}:{line}", text


def of_python(source: str, *, returned: bool = False) -> Iterator[tuple[int, str]]:
    """Texts that are logged, raised, or put into a list of the ledger; those that functions return, where wanted."""
    for node in ast.walk(ast.parse(source)):
        told: list[ast.expr] = []
        if not isinstance(node, ast.stmt | ast.expr):
            continue
        if isinstance(node, ast.Return) and node.value and returned:
            told = [node.value]
        elif isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and _name(node.exc) != "TypeError":
            told = node.exc.args  # TypeError is for programmers
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            in_ledger = node.func.attr == "append" and any(name in ast.unparse(node.func) for name in LISTS)
            told = node.args[:1] if node.func.attr in LOGGING or in_ledger else []
        for argument in told:
            if text := _literal(argument):
                yield node.lineno, text


def _name(call: ast.Call) -> str:
    return ast.unparse(call.func).rpartition(".")[2]


def _literal(node: ast.expr) -> str:
    """The text of a literal; nothing if it is none."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.sub(r"%[sdr]", BLANK, node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else BLANK for part in node.values)
    return ""


def of_shell(source: str) -> Iterator[tuple[int, str]]:
    """Texts in double quotes that a script gives to what tells of something wrong, or that begin with Note."""
    starts = rf'(?<![\w.-])(?:{"|".join(TELLING)}) (?=")|say (?="Note:)'
    for found in re.finditer(starts, source):
        line = source.count("\n", 0, found.start()) + 1
        if not source.splitlines()[line - 1].lstrip().startswith("#"):
            yield line, " ".join(_quoted(source, found.end() + 1).split())


def _quoted(source: str, start: int) -> str:
    """The text from a position after a double quote to its end, with BLANK for each expansion."""
    text = ""
    position = start
    while source[position] != '"':
        [piece] = re.findall(r"^(?:\\.|\$[\w*@#?]+|\$[({]|.)", source[position : position + 80], re.DOTALL)
        position += len(piece)
        if piece in {"$(", "${"}:
            position = _end(source, position, piece[1])
        text += BLANK if piece[0] == "$" and len(piece) > 1 else piece.removeprefix("\\")
    return text


def _end(source: str, position: int, opening: str) -> int:
    """The position after the bracket that ends an expansion."""
    closing = {"(": ")", "{": "}"}[opening]
    depth = 1
    while depth:
        if source[position] == "'" and opening == "(":
            position = source.index("'", position + 1)
        depth += (source[position] == opening) - (source[position] == closing)
        position += 1
    return position


def unexplained(document: str) -> list[str]:
    """The messages, each with its place, that the document does not have."""
    known = " ".join(document.split())
    return [f"{where}: {text}" for where, text in messages() if not _has(known, text)]


def _has(known: str, text: str) -> bool:
    """Whether the document has the longest piece of the text that is always the same; a few letters are in any."""
    piece = max((piece.strip(" :.,'()") for piece in text.split(BLANK)), key=len)
    return len(piece) < SHORTEST or piece in known


def main() -> None:
    """Print what is not explained, and fail if there is any."""
    missing = unexplained(EXPLAINED.read_text())
    print("\n".join(missing))
    sys.exit(bool(missing))


if __name__ == "__main__":
    main()
