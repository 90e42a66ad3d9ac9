# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signals that end the script in an orderly way."""
import signal
from collections.abc import Iterator
from contextlib import contextmanager


class Terminated(BaseException):
    """A signal asks the script to end.

    Attributes
    ----------
    number : int
        Of the signal.
    """

    def __init__(self, number: int):
        super().__init__(number)
        self.number = number


@contextmanager
def raise_on_signals() -> Iterator[None]:
    """Raise `Terminated` on SIGINT, SIGTERM and SIGHUP.

    Afterwards these are ignored, so that the process ends with its exit code.
    """
    def terminate(number: int, frame: object) -> None:
        raise Terminated(number)
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in numbers:
        signal.signal(number, terminate)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
