"""Settings become objects, in one place and by one policy.

- `worker_trust`: how trust in settings reaches a worker
- `default_paths`: the folders to use, which untrusted settings do not decide
- `parts`: the parts of the settings, how each is called, what untrusted settings may name in it
- `allowlist`: what untrusted settings name, judged by the object that it leads to
- `nodes`: the one `instantiate`
- `renamed`: names in settings as first released, and where the object is now
"""

from trainlab.instantiate import allowlist
from trainlab.instantiate.allowlist import allowing
from trainlab.instantiate.default_paths import resolve_paths
from trainlab.instantiate.nodes import check_bounded, check_node, instantiate, root_cause_message

__all__ = [
    "allowing",
    "allowlist",
    "check_bounded",
    "check_node",
    "instantiate",
    "resolve_paths",
    "root_cause_message",
]
