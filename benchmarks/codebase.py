"""`python -m benchmarks.codebase [CHECKOUT]`: the size and the shape of the code under src/trainlab, as JSON.

Counted from the source text alone (`ast`): nothing is imported, so any earlier checkout can be measured too.
"""

import ast
import json
import re
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

LONG_FUNCTION = 40  # lines, signature and docstring included


def main(checkout: Path) -> dict[str, object]:
    """Every figure of a checkout."""
    source = checkout / "src" / "trainlab"
    texts = {path: path.read_text(encoding="utf-8") for path in sorted(source.rglob("*.py"))}
    trees = {_module(path, source): ast.parse(text) for path, text in texts.items()}
    lengths = {path: len(text.splitlines()) for path, text in texts.items()}
    longest = max(lengths, key=lambda path: lengths[path])
    return {
        "files": len(texts),
        "lines": sum(lengths.values()),
        "median_file": statistics.median(lengths.values()),
        "longest_file": [str(longest.relative_to(checkout)), lengths[longest]],
        "files_under_50_lines": sum(n < 50 and path.stem != "__init__" for path, n in lengths.items()),
        "functions": sum(1 for _ in _functions(trees)),
        f"functions_over_{LONG_FUNCTION}_lines": sum(_length(f) > LONG_FUNCTION for f in _functions(trees)),
        "any": sum(len(re.findall(r"\bAny\b", text)) for text in texts.values()),
        "class_names_twice": _class_names_twice(trees),
        "module_names_twice": _module_names_twice(trees),
        "import_cycles": import_cycles(trees),
        "private_modules_of_others": _private_modules(trees),
    }


def import_cycles(trees: dict[str, ast.Module]) -> list[list[str]]:
    """Modules that import each other, also inside functions; what is under TYPE_CHECKING does not count."""
    edges = {name: _imported(tree, trees) - {name} for name, tree in trees.items()}
    return sorted(sorted(group) for group in _strongly_connected(edges) if len(group) > 1)


def _module(path: Path, source: Path) -> str:
    parts = path.relative_to(source.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _functions(trees: dict[str, ast.Module]) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for tree in trees.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield node


def _length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


def _class_names_twice(trees: dict[str, ast.Module]) -> dict[str, list[str]]:
    homes = defaultdict(list)
    for module, tree in trees.items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(module)
    return {name: modules for name, modules in homes.items() if len(modules) > 1}


def _module_names_twice(trees: dict[str, ast.Module]) -> dict[str, list[str]]:
    homes = defaultdict(list)
    for module in trees:
        homes[module.rpartition(".")[2]].append(module)
    return {name: m for name, m in homes.items() if len(m) > 1 and not name.startswith("__")}


def _imported(tree: ast.Module, known: dict[str, ast.Module]) -> set[str]:
    found: set[str] = set()
    for node in _walk_without_type_checking(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                found.add(name if name in known else node.module)
    return found & set(known)


def _walk_without_type_checking(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)):
            yield from _walk_without_type_checking(child)


def _strongly_connected(edges: dict[str, set[str]]) -> list[set[str]]:
    """Groups of modules of which each reaches each (a module reaches itself)."""
    reach = {name: _reachable(name, edges) for name in edges}
    groups: list[set[str]] = []
    for name in edges:
        group = {other for other in reach[name] if name in reach[other]} | {name}
        if group not in groups:
            groups.append(group)
    return groups


def _reachable(start: str, edges: dict[str, set[str]]) -> set[str]:
    found, left = set(), list(edges[start])
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += edges[name]
    return found


def _private_modules(trees: dict[str, ast.Module]) -> dict[str, list[str]]:
    """Private modules of other packages, and the modules of ours that import them."""
    found = defaultdict(list)
    for module, tree in trees.items():
        for node in ast.walk(tree):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            for name in names:
                is_ours = name.split(".")[0] in ("trainlab", "__future__")
                if not is_ours and re.search(r"(^|\.)_[a-z]", name) and module not in found[name]:
                    found[name].append(module)
    return dict(sorted(found.items()))


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1] if len(sys.argv) > 1 else ".")), indent=2))
