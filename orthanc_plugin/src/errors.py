# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: AGPL-3.0-or-later
"""Errors described without values that may hold patient data."""
from __future__ import annotations

import os
import traceback

# The innermost frames of an error that are named
MAXIMUM_FRAMES = 12


def describe_error(error: Exception) -> str:
    """Return the text of an error of the operating system."""
    return getattr(error, 'strerror', None) or str(error)


def locate_error(error: Exception) -> str:
    """Return the type of an error and the frames that it passed.

    Neither its text nor values are in it.
    """
    frames = traceback.StackSummary.extract(
        traceback.walk_tb(error.__traceback__), limit=-MAXIMUM_FRAMES,
        lookup_lines=False)
    found = ' > '.join(
        f'{os.path.basename(frame.filename)}:{frame.lineno} {frame.name}'
        for frame in frames)
    return f'{type(error).__name__} in {found or "?"}'
