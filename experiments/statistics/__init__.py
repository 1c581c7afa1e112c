"""How often the statistics of claims are wrong, and how soon they decide: by simulation."""
