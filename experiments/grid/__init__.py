"""Five axes at once: what matters, what depends on what, which rules of thumb hold."""
