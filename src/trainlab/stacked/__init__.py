"""Many small networks of one shape, trained at once as one network with a leading run dimension.

A run in a stack equals the run alone up to rounding, at any place and beside any neighbour: no operation
mixes runs. Legend: B runs, N images of a batch, C channels, H × W pixels, P parameters of one run.

- `network`: `stack_networks`, of networks that are alike; the stacked form of each layer
- `normalization`: `stack_models`, with the input normalization of each run
- `leaf`, `layers`, `norm_layers`, `convolution`, `run_loop`: the stacked layers
- `product`, `layout`: convolution as a batched product; maps of a stack in memory
- `tuning`: `tune`, which implementation of each convolution is fastest on this device
- `run_states`: one run's tensors in a stack
"""

from trainlab.stacked.network import StackedNetwork, stack_networks
from trainlab.stacked.normalization import StackedModel, stack_models
from trainlab.stacked.tuning import ConvolutionChoice, tune

__all__ = ["ConvolutionChoice", "StackedModel", "StackedNetwork", "stack_models", "stack_networks", "tune"]
