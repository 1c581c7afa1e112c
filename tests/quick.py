"""`python tests/quick.py`: the test files that `make quick` runs, those of what changed first.

What changed is what git says differs from the last commit, or, where nothing does, in the last commit
itself. A test file covers a module that it imports. After these come a few files that go once through the
whole platform.
"""

import ast
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
CORE = (
    "tests/test_layers.py",
    "tests/runs/test_identity.py",
    "tests/training/test_run.py",
    "tests/config/test_overrides.py",
    "tests/theory/test_mean_field.py",
    "tests/cli/test_commands.py",
)


def main() -> list[str]:
    """Paths of test files, in the order in which they are worth running."""
    changed = _changed() or _git("show", "--name-only", "--format=")
    modules = {_module(name) for name in changed if name.endswith(".py") and not name.startswith("tests/")}
    own = [name for name in changed if Path(name).name.startswith("test_") and name.endswith(".py")]
    covering = [str(path.relative_to(ROOT)) for path in _test_files() if _imported(path) & modules]
    return [name for name in dict.fromkeys([*own, *covering, *CORE]) if (ROOT / name).is_file()]


def _changed() -> list[str]:
    return [
        *_git("diff", "--name-only", "HEAD"),
        *_git("ls-files", "--others", "--exclude-standard"),
    ]


def _git(*arguments: str) -> list[str]:
    """The lines that git prints; none outside a repository, where the core alone is run."""
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.split("\n")[:-1] if done.returncode == 0 else []


def _module(path: str) -> str:
    parts = Path(path.removeprefix("src/")).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _test_files() -> list[Path]:
    return sorted((ROOT / "tests").rglob("test_*.py"))


def _imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


if __name__ == "__main__":
    print("\n".join(main()))
