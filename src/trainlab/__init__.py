"""trainlab shows why a convolutional network learns or does not."""

__version__ = "0.1.0"
