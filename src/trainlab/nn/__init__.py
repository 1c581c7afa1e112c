"""The swept pieces of a network: input normalization, initializers, norm layers, pooling, layers."""
