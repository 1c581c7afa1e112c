"""One folder per claim, and the script behind the README's figures."""
