"""Starts the app: on this machine only, with no watching of files and nothing sent anywhere."""

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
    "runner.postScriptGC": False,  # takes as long as a view, once torch is there; Python does it as it needs
    "browser.serverAddress": "localhost",
    "browser.gatherUsageStats": False,
    "client.toolbarMode": "viewer",
    "logger.hideWelcomeMessage": True,
}
SHUTDOWN_SECONDS = 3
"""So long open windows may take to say goodbye when the app ends."""


def serve(place: AppPaths, port: int | None, host: str = LOOPBACK) -> None:
    """Tells the address and serves until it is interrupted; without `port`, the first free one is taken.

    `host` is the name or address of this machine that it listens on, and answers to beside localhost.

    Raises:
        RequestError: the extra `app` is not installed, the port is taken, `host` is none of this machine.
    """
    if find_spec("streamlit") is None or find_spec("altair") is None:
        raise RequestError("the app needs streamlit and altair; pip install 'trainlab[app]'")
    listener = _listen_on_free_port(host) if port is None else _listen(port, host)
    if listener is None:
        raise RequestError(f"port {port} of {host} is taken; choose another with --port")
    with listener:
        server = _make_server(place, listener.getsockname()[1], host)
        name = "localhost" if host in (LOOPBACK, *ANY_ADDRESS) else host
        print(f"trainlab app: http://{name}:{listener.getsockname()[1]}  ", end="")
        print(f"(runs in {place.runs}; Ctrl-C ends it)", flush=True)
        try:
            server.run(sockets=[listener])
        except KeyboardInterrupt:  # uvicorn raises it again once everything is closed
            return


def _make_server(place: AppPaths, port: int, host: str) -> "Server":
    """The server with all that the first view needs, so that an address that is told answers at once."""
    import narwhals.stable.v1  # noqa: F401 - altair's way to a table
    import pandas  # noqa: F401 - Streamlit's way to a table, as is the next
    import pyarrow.compute  # noqa: F401
    import scipy.special  # noqa: F401 - intervals need it; a second by itself
    import streamlit as st
    import uvicorn
    from altair.utils import schemapi
    from starlette.middleware import Middleware
    from streamlit.web import bootstrap

    from trainlab.app import compare_views, theme  # noqa: F401
    from trainlab.app.allowed_hosts import AllowedHosts
    from trainlab.app.static_cache import StaticCache

    schemapi.disable_debug_mode()  # checking a chart against its schema takes as long as making it: tests do
    inspect.stack()  # Streamlit asks for it at its first element; the first time is slow
    gc.freeze()  # what is imported stays: no collection needs to look through it
    threading.Thread(target=_warm_caches, args=(place,), daemon=True).start()
    names = [*LOCAL_NAMES, host]
    streamlits = ["*"] if host in ANY_ADDRESS else names  # it knows no addresses, and ours stands before it
    given = {**STREAMLIT_SETTINGS, **theme.theme_options(), "server.port": port, "server.address": host}
    given["server.allowedHosts"] = streamlits
    bootstrap.load_config_options({name.replace(".", "_"): value for name, value in given.items()})
    sys.argv = [str(MAIN_SCRIPT), *place.arguments()]  # where `trainlab.app.paths` finds it, in every view
    return uvicorn.Server(
        uvicorn.Config(
            st.App(MAIN_SCRIPT, middleware=[Middleware(AllowedHosts, names=names), Middleware(StaticCache)]),
            log_level="error",
            ws_max_size=MAX_UPLOAD_MB * 2**20,
            ws_per_message_deflate=False,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        )
    )


def _warm_caches(place: AppPaths) -> None:
    """The table of all runs, read while the browser is being opened; and one chart, as the first is slow."""
    import polars as pl

    from trainlab.app import run_cache
    from trainlab.figures import learning_curves
    from trainlab.figures.style import PageChart

    run_cache.load_run_table(place.runs)
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
    """A socket that takes connections at this port; None where it is taken.

    Raises RequestError for a host that is none of this machine.

    asyncio sends small answers at once only on a socket that names its protocol; on others, as Streamlit
    opens them, the system keeps an answer's second half back for up to 40 ms.
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
