"""Why a network does not learn: a group of causes a module, a function for each cause.

Each looks for its cause in the evidence of a run and gives a finding, or None.
"""
