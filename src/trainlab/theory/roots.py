"""The zero of a function of one variable, without derivatives and without SciPy's import time."""

from collections.abc import Callable


def root(f: Callable[[float], float], a: float, b: float, tolerance: float = 1e-13) -> float:
    """A zero, or a jump through zero, of f between a and b, where f changes sign.

    Regula falsi with Illinois' halving (Dowell & Jarratt 1971) for half the steps and bisection for the
    others, so that a jump converges too. Stops when the bracket is narrower than tolerance max(1, |a|, |b|).
    """
    f_a, f_b = f(a), f(b)
    if f_a == 0 or f_b == 0:
        return a if f_a == 0 else b
    weight_a, weight_b = f_a, f_b
    for step in range(200):
        if abs(b - a) <= tolerance * max(1.0, abs(a), abs(b)):
            break
        middle = (a + b) / 2
        # With an infinite end the secant is NaN, and the middle is taken.
        secant = a - weight_a * (b - a) / (weight_b - weight_a)
        x = middle if step % 3 == 2 or not min(a, b) < secant < max(a, b) else secant
        f_x = f(x)
        if f_x == 0:
            return x
        if (f_x > 0) == (f_a > 0):
            a, f_a, weight_a, weight_b = x, f_x, f_x, weight_b / 2
        else:
            b, f_b, weight_b, weight_a = x, f_x, f_x, weight_a / 2
    return a if abs(f_a) < abs(f_b) else b
