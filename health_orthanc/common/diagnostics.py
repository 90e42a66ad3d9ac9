# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Unexpected errors in the log: where they happened, without values

The message of an error and the values of its frames may hold patient data.
Types, files, lines and names of functions do not.
"""

import logging
import traceback
from pathlib import Path

__all__ = ['locate_error', 'log_unexpected']

# The innermost frames that are named
_FRAMES = 25


def log_unexpected(logger, error, text, *args):
    """Log an error that nobody has expected, at level ERROR.

    Parameters
    ----------
    logger : Logger
    error : Exception
        Its message only appears with the traceback, at level DEBUG.
    text : str
        What has failed, with placeholders for the arguments.
    args : tuple
        Identifiers, which must not be patient data.
    """
    logger.error(
        f'{text}: %s', *args, locate_error(error),
        exc_info=error if logger.isEnabledFor(logging.DEBUG) else None)


def locate_error(error):
    """Return the type of an error and the frames that it passed.

    Parameters
    ----------
    error : BaseException

    Returns
    -------
    str
        One line; the error that has caused it comes last.
    """
    return ', caused by '.join(map(_describe, _chain(error)))


def _chain(error):
    "Yield an error and its causes, as Python would print them"
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (
            None if error.__suppress_context__ else error.__context__)


def _describe(error):
    frames = traceback.StackSummary.extract(
        traceback.walk_tb(error.__traceback__), limit=-_FRAMES,
        lookup_lines=False)
    found = [
        f'{_shorten(frame.filename)}:{frame.lineno} {frame.name}'
        for frame in frames]
    return type(error).__name__ + (f" in {' > '.join(found)}" if found else '')


def _shorten(path):
    "Return the end of a path, which tells the module"
    return '/'.join(Path(path).parts[-3:])
