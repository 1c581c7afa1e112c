"""How fast to 94% on CIFAR-10: the recipe of the public records, run over seeds."""
