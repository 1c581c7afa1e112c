"""The W&B account of whoever runs this: its server, a key, an answer. No torch."""

import logging
import netrc
import os
from urllib.error import HTTPError
from urllib.parse import urlparse
from urllib.request import Request, urlopen

log = logging.getLogger(__name__)

ANSWER_SECONDS = 10
NO_KEY = "no W&B key: `wandb login` asks for one, or set WANDB_API_KEY"


def server() -> str:
    """The address of W&B's server: WANDB_BASE_URL, the user's settings, or W&B's own."""
    import wandb

    return wandb.setup().settings.base_url


def has_key() -> bool:
    """A key in the environment or in the netrc file, where `wandb login` puts it."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlparse(server()).hostname or ""
    try:
        return netrc.netrc(os.environ.get("NETRC")).authenticators(host) is not None
    except FileNotFoundError:
        return False
    except netrc.NetrcParseError as error:
        log.warning("the netrc file cannot be read (%s): W&B stays offline", error)
        return False


def why_unreachable() -> str | None:
    """That the server does not answer, and why; None where it does, whatever it says."""
    address = server()
    try:
        with urlopen(Request(address, method="HEAD"), timeout=ANSWER_SECONDS):
            return None
    except HTTPError:
        return None
    except (OSError, ValueError) as error:  # URLError is one of the first, a broken address the second
        return f"W&B cannot be reached at {address}: {getattr(error, 'reason', error)}"
