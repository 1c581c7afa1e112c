"""Starts the app: on this machine only, with no watching of files and nothing sent anywhere."""

import socket
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from trainlab.app.place import Place
from trainlab.errors import RequestError

ADDRESS = "127.0.0.1"
FIRST_PORT, PORTS = 8501, 50
MAIN = Path(__file__).parent / "pages" / "main.py"
LARGEST_UPLOAD_MB = 64
SETTINGS = {
    "server.address": ADDRESS,
    "server.headless": True,
    "server.fileWatcherType": "none",
    "server.maxUploadSize": LARGEST_UPLOAD_MB,
    "runner.magicEnabled": False,
    "browser.serverAddress": "localhost",
    "browser.gatherUsageStats": False,
    "client.toolbarMode": "viewer",
    "logger.hideWelcomeMessage": True,
}


def serve(place: Place, port: int | None) -> None:
    """Tells the address and serves until it is interrupted; without `port`, the first free one is taken.

    Raises:
        RequestError: the extra `app` is not installed, or the port is taken.
    """
    if find_spec("streamlit") is None or find_spec("altair") is None:
        raise RequestError("the app needs streamlit and altair; pip install 'trainlab[app]'")
    port = port if port is not None else _first_free_port()
    if not _is_free(port):
        raise RequestError(f"port {port} of {ADDRESS} is taken; choose another with --port")
    from streamlit.web import bootstrap

    from trainlab.app import theme

    given: dict[str, Any] = {**SETTINGS, **theme.options(), "server.port": port}
    flags = {name.replace(".", "_"): value for name, value in given.items()}
    bootstrap.load_config_options(flags)
    _import()
    threading.Thread(target=_read, args=(place,), daemon=True).start()
    print(f"trainlab app: http://localhost:{port}  (runs in {place.runs}; Ctrl-C ends it)", flush=True)
    bootstrap.run(str(MAIN), False, place.arguments(), flags)


def _import() -> None:
    """What the first view needs and is slow to import, so that an address that is told answers at once."""
    import altair  # noqa: F401
    import scipy.special  # noqa: F401 - intervals need it; a second by itself

    from trainlab.app import comparing  # noqa: F401


def _read(place: Place) -> None:
    """The table of all runs, read while the browser is being opened."""
    from trainlab.app import records

    records.table(place.runs)


def _first_free_port() -> int:
    for port in range(FIRST_PORT, FIRST_PORT + PORTS):
        if _is_free(port):
            return port
    raise RequestError(f"no free port from {FIRST_PORT} to {FIRST_PORT + PORTS - 1}; choose one with --port")


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((ADDRESS, port))
        except OSError:
            return False
    return True
