"""Is the forecast right? A zoo of small runs that the platform trains, and the score on it."""
