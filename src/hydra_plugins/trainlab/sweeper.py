"""Hydra's `-m` becomes a trainlab sweep; everything it does is in trainlab.sweeps."""

from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf


class TrainlabSweeper(Sweeper):
    """`hydra/sweeper=trainlab`. `params` is a preset's own grid; the command line goes before it."""

    def __init__(self, params: Mapping[str, Any] | None = None):
        self.params = dict(params or {})
        self.config: DictConfig | None = None
        self.hydra_context: HydraContext | None = None
        self.launcher: Launcher | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Takes what Hydra knows, and the launcher that was chosen."""
        self.config, self.hydra_context = config, hydra_context
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Sequence[Any]:
        """Plans and runs the sweep. Raises RequestError, SweepFailed."""
        from trainlab.sweeps.external_hydra_plugins import ExternalLauncherEngine, composer_from_hydra
        from trainlab.sweeps.grid import expand_grid
        from trainlab.sweeps.sweep import run_sweep
        from trainlab.terminal import PlainConsole

        assert self.config is not None and self.hydra_context is not None and self.launcher is not None
        grid = expand_grid(arguments, self.params, self.hydra_context.config_loader)
        composer = composer_from_hydra(self.hydra_context, self.config)
        engine = getattr(self.launcher, "engine", None) or ExternalLauncherEngine(self.launcher)
        values: Any = OmegaConf.to_container(self.config.sweep, resolve=True)

        return run_sweep(grid, composer.compose, values, engine, PlainConsole())
