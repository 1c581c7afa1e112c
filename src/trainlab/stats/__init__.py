"""How sure is it? All statistics in one place, on plain numbers and arrays.

- `intervals`: confidence intervals of a mean, of a share
- `confusion`: accuracy and class shares of a confusion matrix
- `hypothesis_tests`: one-sided tests of a fixed number of runs, equivalence, corrections for several tests
- `e_processes`: evidence that may be looked at after every seed; e-BH
- `power`: the largest e-value of so many seeds, how often and how soon a design ends in a verdict
- `anova`: sums of squares of the axes of a grid; `variance_shares`: their shares, with intervals
"""
