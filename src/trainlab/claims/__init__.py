"""A claim becomes a sweep, a sweep becomes a verdict. No torch in this process.

- `spec`: what `experiments/<name>/claim.yaml` may say; `expectations`, `sources`: its kinds of expectation,
  and what they may measure; `registry`: the claims that there are, read with one-line errors
- `jobs`: arms × seeds as runs; `execution`: runs what is missing, tunes arms; `runner`: one claim, start to
  end: run what is missing, judge, add seeds, judge again
- `source_evaluator`: a source becomes a value per arm and seed; `network_facts`, `batchnorm_facts`,
  `measured_facts`, `shift_evaluation` (with `distribution_shifts`, `linear_probe`): the part of that which
  needs torch, in a process of its own; `table_reader`: what is read of the tables of runs, `steps_to_goal`:
  how soon one gets somewhere
- `judge` (with `contrasts`, and `untestable`: why there is no mean to test): expectations, claims, and all
  claims of a page judged (statistics: `trainlab.stats`)
- `design_check`: what cannot be decided (`design_power`) or measured (`source_check`) is refused
- `claim_record`: the result of a claim on disk, made by `record_builder`; `claim_figure`, `claim_page`,
  `collection_pages`, `html_report` (with `safe_html`): the same for people
"""
