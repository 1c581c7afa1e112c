"""How the records on disk reach W&B. No torch; `wandb` is imported when it is needed.

`offline_runs` finds the runs that were tracked offline and uploads them with W&B's own `wandb sync`;
`sweep_view` builds a sweep's saved view; `claims_report` builds the claims' report."""
