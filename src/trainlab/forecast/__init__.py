"""Will it learn? Measured at initialization, no training."""
