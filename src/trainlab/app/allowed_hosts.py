"""Which hosts are allowed: requests under this machine's own names, from pages that the app itself served.

A web page can point its own name to 127.0.0.1 once it is open, and then read what answers there (DNS
rebinding): the Host header of its requests is still its own. A page of another program on this machine has
another port as its origin. Both are refused before Streamlit sees them.
"""

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

    Where the app listens on every address of the machine, any IP address is allowed: only names can rebind.
    """

    def __init__(self, app: "ASGIApp", names: Collection[str] = LOCAL_NAMES) -> None:
        self.app = app
        self.names = frozenset(map(str.lower, names))

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Passes an allowed request on, and refuses any other."""
        kind = scope["type"]
        if kind not in ("http", "websocket") or self._is_allowed(dict(scope["headers"]), kind):
            await self.app(scope, receive, send)
        elif kind == "websocket":
            await send({"type": "websocket.close", "code": 1008})  # closed before it is accepted: a 403
        else:
            headers = [(b"content-type", b"text/plain; charset=utf-8")]
            await send({"type": "http.response.start", "status": 403, "headers": headers})
            await send({"type": "http.response.body", "body": b"not a name of this app (see --host)\n"})

    def _is_allowed(self, headers: dict[bytes, bytes], kind: str) -> bool:
        host, origin = headers.get(b"host", b""), headers.get(b"origin")
        if not self._is_known_host(host.decode("latin-1")):
            return False
        if kind == "http" or origin is None:  # over HTTP Streamlit's CORS rules decide
            return True
        return urlsplit(origin.decode("latin-1")).netloc.lower() == host.decode("latin-1").lower()

    def _is_known_host(self, host: str) -> bool:
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
