"""trainlab shows why a convolutional network learns or does not."""
