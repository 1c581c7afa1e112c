"""Hydra's view of trainlab: its search path, its sweeper, its launchers."""
