"""The code of a user's own classes is part of what decides a run: edited, it is another run.

Found without importing any of it: a plan of ten thousand runs executes nothing of the user's, and no torch.
"""

import ast
import hashlib
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from trainlab.runs.identity import HASHED_AXES

_NOT_USER_CODE = (
    frozenset({"trainlab", "hydra_plugins", "torch", "torchvision", "hydra"}) | sys.stdlib_module_names
)
_INSTALLED = tuple(
    {str(Path(sysconfig.get_path(name)).resolve()) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
)
_LENGTH = 12


class UserCodeDigests:
    """Digests of the user's own modules, each looked at once in the life of this object."""

    def __init__(self) -> None:
        self._digests: dict[str, tuple[str, str] | None] = {}

    def digests(self, settings: Mapping[str, object]) -> dict[str, str]:
        """The digest of each module of the user's that these plain settings name, by the module's name.

        A module counts with all modules of the user's that it imports, anywhere in it.
        """
        targets = dict.fromkeys(target for axis in HASHED_AXES for target in _targets(settings.get(axis)))
        return dict(known for target in targets if (known := self._known(target)))

    def _known(self, target: str) -> tuple[str, str] | None:
        if target not in self._digests:
            self._digests[target] = _digest_target(target)
        return self._digests[target]


def _targets(node: object) -> Iterator[str]:
    """The dotted names of everything that a node builds."""
    if isinstance(node, Mapping):
        target = str(node.get("_target_"))
        if target.partition(".")[0] not in _NOT_USER_CODE:
            yield target
        if target.startswith("hydra.utils.get_"):  # names what it looks up
            yield str(node.get("path"))
        for value in node.values():
            yield from _targets(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from _targets(value)


def _digest_target(target: str) -> tuple[str, str] | None:
    """The own module that holds a target, and the digest of its code; None where it is not the user's."""
    modules = _user_modules(target)
    if not modules:
        return None
    files = dict(modules)
    waiting = list(modules)
    while waiting:
        name, path = waiting.pop()
        for imported in _imported_names(name, path):
            new = [pair for pair in _user_modules(imported) if pair[0] not in files]
            files |= dict(new)
            waiting += new
    digest = hashlib.sha256()
    for name in sorted(files):
        content = files[name].read_bytes().replace(b"\r\n", b"\n")
        digest.update(f"{name} {len(content)}\n".encode() + content)
    return modules[-1][0], digest.hexdigest()[:_LENGTH]


def _user_modules(target: str) -> list[tuple[str, Path]]:
    """Name and file of each own module on the way to `package.module.Class`, packages first."""
    found: list[tuple[str, Path]] = []
    parts = target.split(".")
    places: Sequence[str] | None = [*sys.path, str(Path.cwd())]
    if parts[0] in _NOT_USER_CODE:
        return found
    for count in range(1, len(parts) + 1):
        name = ".".join(parts[:count])
        spec = PathFinder.find_spec(name, places)
        if spec is None:
            break
        if path := _user_file(spec):
            found.append((name, path))
        places = spec.submodule_search_locations
        if places is None:
            break
    return found


def _user_file(spec: ModuleSpec) -> Path | None:
    if spec.origin is None or not spec.origin.endswith(".py"):
        return None
    path = Path(spec.origin).resolve()
    return None if str(path).startswith(_INSTALLED) or "site-packages" in path.parts else path


def _imported_names(name: str, path: Path) -> Iterator[str]:
    """The dotted names that a module imports, anywhere in it; relative ones in full."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):  # what is wrong with it is said when it is built
        return
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            origin = ".".join([*filter(None, base), *([node.module] if node.module else [])])
            yield from (f"{origin}.{alias.name}" for alias in node.names)
