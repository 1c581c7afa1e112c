"""The shape of the code: imports point down the layers, without circles; one name has one meaning."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "trainlab"

LAYERS = (
    ("errors", "project", "process_limits", "units", "json_types", "lazy_imports", "axes"),
    ("terminal", "section"),
    ("settings",),
    ("instantiate",),
    ("stats",),
    ("signals", "data", "nn", "theory", "runs"),
    ("models", "analysis", "config"),
    ("diagnosis",),
    ("build",),
    ("forecast", "stacked"),
    ("training", "figures", "doctor"),
    ("serving",),
    ("sweeps",),
    ("claims", "wandb_sync"),
    ("cli", "app"),
)
"""Packages and single modules of trainlab, the lowest layer first: each may import those below it."""

SIDEWAYS = {("signals", "nn"), ("cli", "app"), ("wandb_sync", "claims")}
"""(importer, imported): who may import from a package that is not below it."""

WITHOUT_TORCH = ("errors", "terminal", "project", "runs", "analysis", "config", "cli", "sweeps", "wandb_sync")
"""Packages that start, plan or show: torch may be imported inside a function, not with the module."""
HEAVY = {"torch", "torchvision", "lightning", "torchmetrics"}
PRELOADS_TORCH = {"trainlab.sweeps.preload"}
"""What a sweep's fork server imports, so that its children need not."""

SAME_IDEA = {
    "anatomy": {"app.pages.anatomy", "cli.anatomy", "models.anatomy"},
    "claims": {"app.pages.claims", "cli.claims"},
    "compare": {"analysis.compare", "app.pages.compare", "cli.compare"},
    "data": {"build.data", "stacked.data"},
    "evaluate": {"cli.evaluate", "serving.evaluate"},
    "explain": {"cli.explain", "diagnosis.explain"},
    "export": {"cli.export", "serving.export"},
    "layers": {"nn.layers", "stacked.layers"},
    "lr_range": {"cli.lr_range", "training.lr_range"},
    "norm_layers": {"nn.norm_layers", "stacked.norm_layers"},
    "normalization": {"nn.normalization", "stacked.normalization"},
    "options": {"cli.options", "config.options"},
    "optimizer": {"build.optimizer", "stacked.optimizer"},
    "phase_diagram": {"analysis.phase_diagram", "figures.phase_diagram"},
    "predict": {"cli.predict", "serving.predict"},
    "preflight": {"cli.preflight", "forecast.preflight"},
    "schedules": {"nn.schedules", "stacked.schedules"},
    "run": {"app.pages.run", "training.run"},
}
"""Modules that share a name because they are one idea: a page, a command, a figure, the part, its stack."""

TYPER_INTERNALS = "trainlab.cli.command_app"
BASE_CLASSES = {
    "torch.nn.modules.batchnorm._BatchNorm",
    "torch.nn.modules.conv._ConvNd",
    "torch.nn.modules.conv._ConvTransposeNd",
}
"""Private by name only: what all batch norms and all convolutions of torch are, in every release."""

DRAWERS = ("utils", "helpers", "misc", "common")
MAX_LINES = 400


@dataclass(frozen=True)
class Import:
    """One import statement's target: a module, or a name in one (`module.name`)."""

    target: str
    line: int
    is_top_level: bool


@cache
def modules() -> dict[str, Path]:
    """Every module of trainlab by its dotted name; a package by its own."""
    named = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE.parent).with_suffix("").parts
        named[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return named


@cache
def tree_of(module: str) -> ast.Module:
    return ast.parse(modules()[module].read_text(encoding="utf-8"))


@cache
def imports(module: str) -> tuple[Import, ...]:
    """All imports of a module, inside functions too, but for those that only a type checker sees."""
    return tuple(_imports(tree_of(module), is_top_level=True))


def _imports(node: ast.AST, *, is_top_level: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for other in child.orelse:
                yield from _imports(other, is_top_level=is_top_level)
        elif isinstance(child, ast.Import):
            yield from (Import(alias.name, child.lineno, is_top_level) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, f"line {child.lineno}: a relative import; name the module in full"
            yield from (
                Import(f"{child.module}.{alias.name}", child.lineno, is_top_level) for alias in child.names
            )
        else:
            is_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from _imports(child, is_top_level=is_top_level and not is_function)


def imported_module(target: str) -> str | None:
    """The module of trainlab that an import's target is, or lies in; None for any other library."""
    while target and target not in modules():
        target = target.rpartition(".")[0]
    return target or None


def package_of(module: str) -> str:
    """`data` of `trainlab.data.images`; empty for the root."""
    return module.split(".")[1] if "." in module else ""


def place(module: str, line: int) -> str:
    return f"{modules()[module].relative_to(SOURCE.parents[1])}:{line}"


def packages() -> list[str]:
    return sorted({package_of(module) for module in modules()} - {"", "__main__"})


# Layers


def layer_of(package: str) -> int:
    return next(height for height, layer in enumerate(LAYERS) if package in layer)


def test_every_package_has_a_layer():
    listed = [package for layer in LAYERS for package in layer]
    new, gone = set(packages()) - set(listed), set(listed) - set(packages())
    assert not new, f"put into a layer of LAYERS what is new: {', '.join(sorted(new))}"
    assert not gone, f"take out of LAYERS what is gone: {', '.join(sorted(gone))}"
    assert len(listed) == len(set(listed)), "a package stands in two layers"


@pytest.mark.parametrize("package", packages())
def test_imports_point_down(package):
    faults = []
    for module in modules():
        if package_of(module) != package:
            continue
        for one in imports(module):
            other = package_of(imported_module(one.target) or "")
            if other in ("", package) or (package, other) in SIDEWAYS:
                continue
            if layer_of(other) >= layer_of(package):
                faults.append(f"{place(module, one.line)} imports {one.target}")
    below = ", ".join(name for layer in LAYERS[: layer_of(package)] for name in layer)
    assert not faults, f"{package} may import {below or 'no package'}:\n" + "\n".join(faults)


def test_every_exception_from_the_layers_is_used():
    used = {
        (package_of(module), package_of(imported_module(one.target) or ""))
        for module in modules()
        for one in imports(module)
    }
    assert used >= SIDEWAYS, f"take out of SIDEWAYS: {sorted(SIDEWAYS - used)}"


@pytest.mark.parametrize("package", WITHOUT_TORCH)
def test_packages_without_torch_do_not_import_it(package):
    faults = [
        f"{place(module, one.line)} imports {one.target}"
        for module in modules()
        if package_of(module) == package and module not in PRELOADS_TORCH
        for one in imports(module)
        if one.is_top_level and one.target.split(".")[0] in HEAVY
    ]
    assert not faults, f"{package} starts without torch; import it inside the function:\n" + "\n".join(faults)


def test_only_the_configuration_knows_hydra():
    """Layers, initializers, sources and quantities take plain values: they work from a notebook."""
    faults = [
        f"{place(module, one.line)} imports {one.target}"
        for module in modules()
        if package_of(module) in {"nn", "models", "theory", "signals", "analysis", "diagnosis", "data"}
        for one in imports(module)
        if one.target.split(".")[0] in ("omegaconf", "hydra")
    ]
    assert not faults, "plain values instead of OmegaConf:\n" + "\n".join(faults)


def has_private_part(dotted_name: str) -> bool:
    return any(part.startswith("_") and not part.startswith("__") for part in dotted_name.split("."))


def test_no_module_imports_a_private_name_of_another():
    faults = [
        f"{place(module, one.line)} imports {one.target}"
        for module in modules()
        for one in imports(module)
        if imported_module(one.target) and has_private_part(one.target)
    ]
    assert not faults, "give what others use a public name:\n" + "\n".join(faults)


# Circles


def test_private_modules_of_other_libraries_are_in_the_internals_modules():
    """Each of these has a contract test that says what broke when the library changes."""
    faults = [
        f"{place(module, one.line)} imports {one.target}"
        for module in modules()
        if not module.endswith("_internals") and module != TYPER_INTERNALS
        for one in imports(module)
        if not imported_module(one.target) and one.target not in BASE_CLASSES
        if has_private_part(one.target)
    ]
    assert not faults, "put it into a module …_internals.py, with a contract test:\n" + "\n".join(faults)


@cache
def import_graph() -> dict[str, dict[str, int]]:
    """By module, the modules that it imports, each with a line that does."""
    graph: dict[str, dict[str, int]] = {module: {} for module in modules()}
    for module in modules():
        for one in imports(module):
            other = imported_module(one.target)
            if other is not None and other != module:
                graph[module].setdefault(other, one.line)
    return graph


def circle(graph: dict[str, dict[str, int]]) -> list[str] | None:
    """Modules of which each imports the next, and the last the first; None where there are none."""
    done: set[str] = set()

    def visit(module: str, way: list[str]) -> list[str] | None:
        if module in way:
            return way[way.index(module) :]
        if module in done:
            return None
        for other in graph[module]:
            if found := visit(other, [*way, module]):
                return found
        done.add(module)
        return None

    return next((found for module in graph if (found := visit(module, []))), None)


def test_no_modules_import_each_other_in_a_circle():
    """Imports inside functions count: they hide a circle, they do not open it."""
    graph = import_graph()
    found = circle(graph)
    if found is not None:
        steps = zip(found, [*found[1:], found[0]], strict=True)
        lines = [f"{place(one, graph[one][other])} imports {other}" for one, other in steps]
        pytest.fail("move what both need below both:\n" + "\n".join(lines))


def test_a_circle_is_found():
    assert circle({"a": {"b": 1}, "b": {"c": 1}, "c": {"b": 1}}) == ["b", "c"]
    assert circle({"a": {"b": 1, "c": 1}, "b": {"c": 1}, "c": {}}) is None


# Names


def test_no_class_name_has_two_meanings():
    by_name = defaultdict(list)
    for module in modules():
        for node in ast.walk(tree_of(module)):
            if isinstance(node, ast.ClassDef):
                by_name[node.name].append(place(module, node.lineno))
    twice = {name: places for name, places in by_name.items() if len(places) > 1}
    assert not twice, "rename all but one:\n" + "\n".join(
        f"{name}: {', '.join(places)}" for name, places in sorted(twice.items())
    )


def test_no_module_name_has_two_meanings():
    by_stem = defaultdict(list)
    for module, path in modules().items():
        if path.stem not in ("__init__", "__main__"):
            by_stem[path.stem].append(module.removeprefix("trainlab."))
    twice = {stem: set(found) for stem, found in by_stem.items() if len(found) > 1}
    wrong = {stem: found for stem, found in twice.items() if not found <= SAME_IDEA.get(stem, set())}
    assert not wrong, "rename, or list in SAME_IDEA where they are one idea:\n" + "\n".join(
        f"{stem}: {', '.join(sorted(found))}" for stem, found in sorted(wrong.items())
    )
    gone = {stem: found - twice.get(stem, set()) for stem, found in SAME_IDEA.items()}
    stale = "; ".join(f"{stem}: {', '.join(sorted(names))}" for stem, names in gone.items() if names)
    assert not stale, f"take out of SAME_IDEA what is gone: {stale}"


@pytest.mark.parametrize("module", modules())
def test_a_file_is_one_idea(module):
    path = modules()[module]
    assert path.stem not in DRAWERS, f"{path.name}: name the idea that the file holds"
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= MAX_LINES, f"{place(module, 1)}: {lines} lines, expected at most {MAX_LINES}: split it"
