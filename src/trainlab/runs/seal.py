"""A seal on what this user has written for themselves: nobody else can make it, and nothing can be changed.

The key lies in the user's own configuration folder, made when it is first needed; where none can be kept, it
lasts as long as the process, and what was sealed before is simply not recognized.
"""

import functools
import hashlib
import hmac
import os
from contextlib import suppress
from pathlib import Path

KEY_FILE = "trainlab/seal.key"
_KEY_BYTES = 32


def seal(content: bytes) -> str:
    """32 hexadecimal digits that only this user can make for this content."""
    return hmac.digest(_key(), content, "sha256").hex()[:32]


def sealer() -> str:
    """Whose seals they are: 8 hexadecimal digits that tell nothing of the key."""
    return hashlib.sha256(b"trainlab" + _key()).hexdigest()[:8]


@functools.cache
def _key() -> bytes:
    fresh = os.urandom(_KEY_BYTES)
    with suppress(OSError, RuntimeError):  # no home, or one that cannot be written
        path = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / KEY_FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{os.getpid()}.{fresh.hex()[:8]}")
        beside.touch(0o600)
        try:
            beside.write_bytes(fresh)
            with suppress(FileExistsError):
                os.link(beside, path)  # whole at once, and the first of several processes wins
        finally:
            beside.unlink()
        known = path.read_bytes()
        return known if len(known) == _KEY_BYTES else fresh
    return fresh
