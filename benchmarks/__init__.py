"""How fast the platform is, measured side by side with what one would write by hand.

`make bench`, or `python -m benchmarks [NAME...] [--quick] [--out FILE]`. Contenders take turns, each in a
process of its own with the same number of threads, and a figure is the median of the rounds' ratios: what
slows the machine down for a while slows both sides of a ratio.

- `catalogue`: what is measured; then one file per measure or small family
- `measure`: one figure; `rounds`: from rounds to a figure
- `contender`: a process that does a round whenever it is asked to
- `workspace`: where runs and caches of a benchmark lie; `machine`, `report`: what is written down
- `platform_run`, `hand_loop`, `usual_pipeline`: the three ways to train that are compared
"""
