"""Many small networks of one shape, trained at once as one network with a leading run dimension.

A run in a stack equals the run alone up to rounding, at any place and beside any neighbour: no operation
mixes runs. Legend: B runs, N images of a batch, C channels, H × W pixels, P parameters of one run.
"""
