"""Whether what a launcher needs is there, said before anything starts."""

from importlib.util import find_spec

from trainlab.errors import RequestError


def require(package: str, launcher: str, extra: str) -> None:
    """Raises RequestError, with the command that installs it, where `package` is missing."""
    if find_spec(package) is None:
        raise RequestError(
            f"hydra/launcher={launcher} needs the package {package}: pip install 'trainlab[{extra}]'"
        )
