"""Settings become objects, in one place and by one policy.

- `trust`: how trust in settings reaches a worker; the folders to use, which untrusted settings do not decide
- `parts`: the parts of the settings, how each is called, what untrusted settings may name in it
- `allowlist`: what untrusted settings name, judged by the object that it leads to; names as first
  released
- `nodes`: the one `instantiate`
"""

from trainlab.instantiate import allowlist
from trainlab.instantiate.allowlist import allowing
from trainlab.instantiate.nodes import check_bounded, check_node, instantiate, root_cause_message
from trainlab.instantiate.trust import resolve_paths

__all__ = [
    "allowing",
    "allowlist",
    "check_bounded",
    "check_node",
    "instantiate",
    "resolve_paths",
    "root_cause_message",
]
