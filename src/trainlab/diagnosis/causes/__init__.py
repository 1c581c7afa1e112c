"""Why a network does not learn, a group of causes a module: each function looks for one cause in the
evidence."""
