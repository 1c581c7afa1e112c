"""What signal propagation predicts before any training.

`mean_field`: variance and correlation maps of wide random networks, their fixed points, the critical line.
`batchnorm`: the growth of gradients through BatchNorm.
`network`: forward variance and backward gradient, layer by layer, for an actual network.
"""
