"""Python blocks of the README and the manuals; as a script, writes each as a module to check.

python tests/support/documentation.py FOLDER
"""

from __future__ import annotations

import ast
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PACKAGE = ROOT / "livepeer_async"
MANUALS = (
    "__init__",
    "errors/__init__",
    "ingest/__init__",
    "models/__init__",
    "sandbox/__init__",
    "tus/__init__",
    "webhooks/__init__",
)
FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?:^    .*\n(?:\n+(?=    ))?)+", re.MULTILINE)


def python_blocks() -> Iterator[tuple[str, str]]:
    """Yield the name and the code of each block."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    fenced = [code for kind, code in FENCED.findall(readme) if kind == "python"]
    yield from _numbered("readme", fenced)
    for manual in MANUALS:
        module = ast.parse((PACKAGE / f"{manual}.py").read_text(encoding="utf-8"))
        text = ast.get_docstring(module) or ""
        fenced = [code for kind, code in FENCED.findall(text) if kind == "python"]
        indented = map(textwrap.dedent, INDENTED.findall(FENCED.sub("", text) + "\n"))
        name = manual.removesuffix("/__init__").replace("__init__", "livepeer_async")
        yield from _numbered(f"manual_{name}", [*fenced, *filter(_has_calls, indented)])


def as_module(code: str) -> str:
    """Return a block as a module: with its imports, and in an async function if it awaits."""
    tree = ast.parse(code)
    imports = _missing_imports(tree)
    if _is_complete(tree):
        return "".join(imports) + code
    body = textwrap.indent(code, "    ")
    return f"{''.join(imports)}\n\nasync def block(livepeer: AsyncLivepeer) -> None:\n{body}"


def write_modules(folder: Path) -> None:
    """Write each block to a module of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.py"):
        old.unlink()
    for name, code in python_blocks():
        (folder / f"{name}.py").write_text(as_module(code), encoding="utf-8")


def _numbered(name: str, blocks: list[str]) -> Iterator[tuple[str, str]]:
    for number, code in enumerate(blocks, 1):
        yield f"{name}_{number}", code


def _has_calls(code: str) -> bool:
    """Whether an indented block is Python that calls something, rather than a table or JSON."""
    try:
        tree = ast.parse(code)
    except SyntaxError:
        return False
    return any(isinstance(node, ast.Call) for node in ast.walk(tree))


def _is_complete(tree: ast.Module) -> bool:
    """Whether a block awaits nothing outside its functions."""
    functions = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    outer = (node for node in tree.body if not isinstance(node, functions))
    awaiting = ast.Await | ast.AsyncFor | ast.AsyncWith
    return not any(isinstance(node, awaiting) for part in outer for node in ast.walk(part))


def _missing_imports(tree: ast.Module) -> list[str]:
    """Return imports of the public names that the block, like the text around it, assumes."""
    public = {
        alias.name
        for module in ("exports.py", "errors/__init__.py", "models/__init__.py")
        for node in ast.walk(ast.parse((PACKAGE / module).read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("livepeer_async")
        for alias in node.names
    }
    bound = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom | ast.Import)
        for alias in node.names
    }
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    if not _is_complete(tree):
        used.add("AsyncLivepeer")
        bound.discard("AsyncLivepeer")
    return [f"from livepeer_async import {name}\n" for name in sorted((used & public) - bound)]


if __name__ == "__main__":
    write_modules(Path(sys.argv[1]))
