"""Every run that claims and grid have made, as a test of the forecast."""
