"""The web server of the app: this machine only, no watching of files, no telemetry."""

import errno
import gc
import inspect
import socket
import sys
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from trainlab.app.allowed_hosts import ANY_ADDRESS, LOCAL_NAMES
from trainlab.app.paths import AppPaths
from trainlab.errors import RequestError

if TYPE_CHECKING:
    from uvicorn import Server

LOOPBACK = "127.0.0.1"
FIRST_PORT, PORTS_TRIED = 8501, 50
MAIN_SCRIPT = Path(__file__).parent / "pages" / "main.py"
MAX_UPLOAD_MB = 64
STREAMLIT_SETTINGS = {
    "server.headless": True,
    "server.fileWatcherType": "none",
    "server.maxUploadSize": MAX_UPLOAD_MB,
    "runner.magicEnabled": False,
    "runner.postScriptGC": False,  # takes as long as a view, once torch is imported
    "browser.serverAddress": "localhost",
    "browser.gatherUsageStats": False,
    "client.toolbarMode": "viewer",
    "logger.hideWelcomeMessage": True,
}
SHUTDOWN_SECONDS = 3
"""How long open connections may take to close when the app ends."""


def serve(paths: AppPaths, port: int | None, host: str = LOOPBACK) -> None:
    """Prints the address and serves until interrupted; without `port`, on the first free one.

    `host` is the name or address of this machine to listen on, and to answer to beside localhost.

    Raises:
        RequestError: the extra `app` is not installed, the port is taken, `host` is not of this machine.
    """
    if find_spec("streamlit") is None or find_spec("altair") is None:
        raise RequestError("the app needs streamlit and altair; pip install 'trainlab[app]'")
    listener = _listen_on_free_port(host) if port is None else _listen(port, host)
    if listener is None:
        raise RequestError(f"port {port} of {host} is taken; choose another with --port")
    with listener:
        server = _make_server(paths, listener.getsockname()[1], host)
        name = "localhost" if host in (LOOPBACK, *ANY_ADDRESS) else host
        print(f"trainlab app: http://{name}:{listener.getsockname()[1]}  ", end="")
        print(f"(runs in {paths.runs}; Ctrl-C ends it)", flush=True)
        try:
            server.run(sockets=[listener])
        except KeyboardInterrupt:  # uvicorn raises it again once everything is closed
            return


def _make_server(paths: AppPaths, port: int, host: str) -> "Server":
    """The server, with everything imported that the first view needs: a printed address answers at once."""
    import narwhals.stable.v1  # noqa: F401 - altair's way to a table
    import pandas  # noqa: F401 - Streamlit's way to a table, as is the next
    import pyarrow.compute  # noqa: F401
    import scipy.special  # noqa: F401 - intervals need it; a second by itself
    import streamlit as st
    import uvicorn
    from altair.utils import schemapi
    from starlette.middleware import Middleware

    from trainlab.app import compare_curves, compare_views, theme  # noqa: F401
    from trainlab.app.allowed_hosts import AllowedHosts
    from trainlab.app.static_cache import StaticCache
    from trainlab.app.streamlit_internals import set_options

    schemapi.disable_debug_mode()  # validating a chart takes as long as making it; tests validate
    inspect.stack()  # Streamlit calls it at its first element; the first call is slow
    gc.freeze()  # what is imported stays: no collection needs to look through it
    threading.Thread(target=_warm_caches, args=(paths,), daemon=True).start()
    names = [*LOCAL_NAMES, host]
    own_options = {
        "server.port": port,
        "server.address": host,
        # Streamlit's check knows names and no addresses; `AllowedHosts` comes before it
        "server.allowedHosts": ["*"] if host in ANY_ADDRESS else names,
    }
    set_options({**STREAMLIT_SETTINGS, **theme.theme_options(), **own_options})
    sys.argv = [str(MAIN_SCRIPT), *paths.arguments()]  # `app_paths()` reads them in every view
    return uvicorn.Server(
        uvicorn.Config(
            st.App(MAIN_SCRIPT, middleware=[Middleware(AllowedHosts, names=names), Middleware(StaticCache)]),
            log_level="error",
            ws_max_size=MAX_UPLOAD_MB * 2**20,
            ws_per_message_deflate=False,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        )
    )


def _warm_caches(paths: AppPaths) -> None:
    """Reads the table of all runs while the browser opens, and makes one chart: the first is slow."""
    import polars as pl

    from trainlab.app import run_cache
    from trainlab.figures import learning_curves
    from trainlab.figures.style import PageChart

    run_cache.load_run_table(paths.runs)
    points = pl.DataFrame({"setting": "", "epoch": [1, 2], "mean": 0.5, "low": 0.0, "high": 1.0})
    PageChart(learning_curves.learning_curves_plot(points, "val/acc", "", chance=0.1)).to_dict()


def _listen_on_free_port(host: str) -> socket.socket:
    for port in range(FIRST_PORT, FIRST_PORT + PORTS_TRIED):
        if listener := _listen(port, host):
            return listener
    raise RequestError(
        f"no free port from {FIRST_PORT} to {FIRST_PORT + PORTS_TRIED - 1}; choose one with --port"
    )


def _listen(port: int, host: str) -> socket.socket | None:
    """A socket listening on this port; None where the port is taken.

    Raises RequestError for a host that is not of this machine.

    asyncio sets TCP_NODELAY only on a socket that names its protocol; on others, as Streamlit opens them,
    Nagle's algorithm delays the second half of an answer by up to 40 ms.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise RequestError(f"--host {host}: {error}; expected a name or address of this machine") from None
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if sys.platform != "win32":  # there, it would let two servers have the same port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRNOTAVAIL:
            raise RequestError(f"--host {host}: expected a name or address of this machine") from None
        return None
    return listener
