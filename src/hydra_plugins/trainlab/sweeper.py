"""Hydra's `-m` becomes a sweep of `trainlab.sweeps`."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

if TYPE_CHECKING:
    from trainlab.sweeps.outcome import Outcome


class TrainlabSweeper(Sweeper):
    """`hydra/sweeper=trainlab`; `params` is a preset's own grid, which the command line overrides."""

    def __init__(self, params: Mapping[str, object] | None = None):
        self.params = dict(params or {})
        self.config: DictConfig | None = None
        self.hydra_context: HydraContext | None = None
        self.launcher: Launcher | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.config, self.hydra_context = config, hydra_context
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> "Sequence[Outcome]":
        """Plans and runs the sweep. Raises RequestError, SweepFailed."""
        from trainlab.config.hydra_application import application_composer, sweep_settings
        from trainlab.sweeps.external_hydra_plugins import ExternalLauncherEngine
        from trainlab.sweeps.sweep import run_sweep
        from trainlab.terminal import PlainConsole

        assert self.config is not None and self.hydra_context is not None and self.launcher is not None
        composer = application_composer(self.hydra_context.config_loader, self.config)
        grid = composer.grid(arguments, self.params)
        engine = getattr(self.launcher, "engine", None) or ExternalLauncherEngine(self.launcher)
        return run_sweep(grid, composer.job, sweep_settings(self.config), engine, PlainConsole())
