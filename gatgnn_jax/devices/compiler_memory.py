"""Gives the memory that XLA's compiler used back to the system."""

import ctypes
from functools import cache

import jax

COMPILED = "/jax/core/compile/backend_compile_duration"
"""The event that JAX records when a program is compiled, before it first runs."""

LONG = 0.5
"""Seconds; shorter compilations leave little behind."""


@cache
def release_after_compiling() -> None:
    """Return freed memory to the system after each long compilation of this process.

    XLA compiles a training step in millions of small pieces of memory, some 200 MB together. glibc
    keeps them when they are freed, and the step's own arrays would come on top. Does nothing where
    the C library is not glibc.
    """
    try:
        trim = ctypes.CDLL("libc.so.6").malloc_trim
    except (OSError, AttributeError):
        return

    def listen(event: str, duration_secs: float, **kwargs: str | int) -> None:
        if event == COMPILED and duration_secs > LONG:
            trim(0)

    jax.monitoring.register_event_duration_secs_listener(listen)
