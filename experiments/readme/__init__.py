"""The README's figures: every preset run, its record read, its numbers written into the README."""
