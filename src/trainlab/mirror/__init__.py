"""Handing the record to W&B. No torch; `wandb` is imported when it is needed.

`offline` the runs that were tracked without a network; `upload` sends them, by W&B's own `wandb sync`;
`sweep_view` a sweep as a saved view; `claims_report` the claims as a report.
"""
