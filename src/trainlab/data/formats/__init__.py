"""The formats that a data set may lie in, a file each: `find(folder, …)` gives a handle, or None."""
