"""A claim becomes a sweep, a sweep becomes a verdict. No torch in this process.

- `spec`: what `experiments/<name>/claim.yaml` may say; `sources`: what an expectation may measure
- `folder`: the claims that there are, read with one-line errors
- `jobs`: arms × seeds as runs; `runner`: the story: sweep what is missing, judge, add seeds, judge again
- `evidence`: a source becomes a value per arm and seed; `worker`, `shifts`: what of that needs torch, in a
  process of its own
- `inference`: the statistics; `verdict`: expectations judged, claims judged, many claims judged together
- `record`: what a claim came to, on disk; `pictures`, `page`, `course`, `report`: the same for people
"""
