"""A user's own `./conf` goes before the package's on Hydra's search path."""

from hydra.core.config_search_path import ConfigSearchPath, SearchPathQuery
from hydra.plugins.search_path_plugin import SearchPathPlugin

from trainlab.config.options import package_conf, user_conf


class TrainlabSearchPath(SearchPathPlugin):
    """Puts `./conf` first when it exists and is not the package's own."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Only for our own application: other programs that use Hydra keep their search path."""
        ours = f"file://{package_conf()}"
        mine = user_conf()
        if mine and any(e.path in (ours, str(package_conf())) for e in search_path.get_path()):
            search_path.prepend("trainlab-user", f"file://{mine}", SearchPathQuery(provider="main"))
