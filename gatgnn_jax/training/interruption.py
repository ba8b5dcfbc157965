"""Signals that ask a training to stop, for its loop to act on."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(Exception):
    """Training was asked to stop by a signal (its number); its state is saved."""

    def __init__(self, number: int):
        super().__init__(number)
        self.number = number


@contextmanager
def stop_signals() -> Iterator[list[int]]:
    """Collects SIGINT and SIGTERM for the loop to act on; a second SIGINT stops at once."""
    received: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        if received and number == signal.SIGINT:
            raise KeyboardInterrupt
        received.append(number)

    numbers = (signal.SIGINT, signal.SIGTERM)
    try:
        previous = [signal.signal(number, handle) for number in numbers]
    except ValueError:  # not in the main thread: signals are somebody else's business
        yield received
        return
    try:
        yield received
    finally:
        for number, handler in zip(numbers, previous, strict=True):
            signal.signal(number, handler)
