"""Too little memory, of the device or the machine: how it is told from other errors."""

OUT_OF_MEMORY_STACK = 71
"""The exit code of a worker whose runs found no room together: fewer of them at a time may."""

_WORDS = ("out of memory", "can't allocate memory", "_ALLOC_FAILED")


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether an exception came of too little memory, directly or in the handling of another."""
    import torch  # the sweep reads the exit code without it

    seen: set[int] = set()
    while error is not None and id(error) not in seen:  # libraries raise circles of causes, too
        seen.add(id(error))
        if isinstance(error, MemoryError | torch.OutOfMemoryError):
            return True
        # CUDA's libraries, and torch's allocator on a CPU, have no type of their own for it
        if isinstance(error, RuntimeError) and any(words in str(error) for words in _WORDS):
            return True
        error = error.__cause__ or error.__context__
    return False
