"""Whether this machine can reach W&B: its server, an API key, an answer. No torch."""

import logging
import os
from collections.abc import Callable
from queue import Empty, Queue
from threading import Thread
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from trainlab.errors import error_message

log = logging.getLogger(__name__)

ANSWER_SECONDS = 10
NO_KEY_MESSAGE = "no W&B key: `wandb login` asks for one, or set WANDB_API_KEY"

MODES = ("online", "offline", "disabled", "shared", "dryrun", "run")
"""The values of WANDB_MODE that W&B takes; it refuses to start with any other."""
_DISABLED_VALUES = ("off", "none", "no", "false", "0")


def server_url() -> str:
    """The address of W&B's server: WANDB_BASE_URL, the user's settings, or W&B's own."""
    import wandb

    return wandb.setup().settings.base_url


def mode_from_environment(warn: Callable[[str], None] = log.warning) -> str | None:
    """WANDB_MODE as W&B takes it, None where it is not set. What W&B would refuse is replaced there, too."""
    value = os.environ.get("WANDB_MODE", "").strip()
    if not value:
        os.environ.pop("WANDB_MODE", None)
        return None
    mode = value.lower()
    if mode in _DISABLED_VALUES:
        mode = "disabled"
    elif mode not in MODES:
        warn(f"WANDB_MODE={value}: expected online, offline or disabled; the run is kept offline")
        mode = "offline"
    os.environ["WANDB_MODE"] = mode
    return mode


def has_api_key(warn: Callable[[str], None] = log.warning) -> bool:
    """Whether W&B knows a key, wherever it keeps one: the environment, its settings, the netrc file."""
    mode_from_environment(warn)
    try:
        return _has_credentials()
    except Exception as error:  # whatever is wrong with W&B's files, there is no key
        warn(f"W&B's settings cannot be read ({error}): it stays offline")
        return False


def _has_credentials() -> bool:
    import wandb
    from wandb.sdk.lib import wbauth

    settings = wandb.setup().settings
    named = ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE")
    return (
        any(os.environ.get(name) for name in named)
        or bool(settings.api_key or settings.identity_token_file)
        or wbauth.session_credentials(host=settings.base_url) is not None
        or wbauth.read_netrc_auth(host=settings.base_url) is not None
    )


def unreachable_reason(seconds: float = ANSWER_SECONDS) -> str | None:
    """That the server does not answer, and why; None where it does, whatever it says.

    Takes at most `seconds`, also where it is the search for the address that hangs.
    """
    try:
        address = server_url()
    except Exception as error:  # as above
        return f"W&B's settings cannot be read ({error_message(error)})"
    answers: Queue[str | None] = Queue()
    Thread(target=lambda: answers.put(_probe(address, seconds)), daemon=True).start()
    try:
        return answers.get(timeout=seconds)
    except Empty:
        return f"W&B cannot be reached at {address}: no answer in {seconds:g} s"


def _probe(address: str, seconds: float) -> str | None:
    try:
        with urlopen(Request(address, method="HEAD"), timeout=seconds):
            return None
    except HTTPError:
        return None
    except (OSError, ValueError) as error:  # URLError is one of the first, a broken address the second
        return f"W&B cannot be reached at {address}: {getattr(error, 'reason', error)}"
