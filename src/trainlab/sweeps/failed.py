"""What a sweep ends with when not all is well."""


class SweepFailed(Exception):
    """Something failed or was interrupted; the summary, already printed, says which. Exit code 1."""
