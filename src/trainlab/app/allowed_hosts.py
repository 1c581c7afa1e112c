"""Which hosts are allowed: requests under this machine's own names, from pages that the app itself served.

A web page can point its own name to 127.0.0.1 once it is open, and then read what answers there (DNS
rebinding): the Host header of its requests is still its own. A page of another program on this machine has
another port as its origin. Both are refused before Streamlit sees them."""

import ipaddress
from collections.abc import Collection
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
ANY_ADDRESS = ("0.0.0.0", "::")


class AllowedHosts:
    """ASGI middleware: 403 for a Host that is not among `names`, or a page of another origin.

    Where the app listens on every address of the machine, any address will do as a name: only names rebind.
    """

    def __init__(self, app: "ASGIApp", names: Collection[str] = LOCAL_NAMES) -> None:
        self.app = app
        self.names = frozenset(map(str.lower, names))

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """One request."""
        if scope["type"] not in ("http", "websocket") or self._may(dict(scope["headers"]), scope["type"]):
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})  # before it is accepted: a 403
        else:
            headers = [(b"content-type", b"text/plain; charset=utf-8")]
            await send({"type": "http.response.start", "status": 403, "headers": headers})
            await send({"type": "http.response.body", "body": b"not a name of this app (see --host)\n"})

    def _may(self, headers: dict[bytes, bytes], kind: str) -> bool:
        host, origin = headers.get(b"host", b""), headers.get(b"origin")
        if not self._is_ours(host.decode("latin-1")):
            return False
        if kind == "http" or origin is None:  # what other origins may read over HTTP is Streamlit's to say
            return True
        return urlsplit(origin.decode("latin-1")).netloc.lower() == host.decode("latin-1").lower()

    def _is_ours(self, host: str) -> bool:
        try:
            parts = urlsplit(f"//{host}")
            name, _ = parts.hostname, parts.port
        except ValueError:
            return False
        if name is None or parts.netloc != host or parts.username is not None:
            return False
        name = name.rstrip(".")
        return name in self.names or (bool(self.names & set(ANY_ADDRESS)) and _is_ip_address(name))


def _is_ip_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
