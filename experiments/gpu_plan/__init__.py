"""The plan of all claims in their `gpu` profile: runs, stacks, steps, and time by a card's rates."""
