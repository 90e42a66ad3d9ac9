# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: AGPL-3.0-or-later
"""Errors described without values that may hold patient data."""
from __future__ import annotations


def describe_error(error: Exception) -> str:
    """Return the text of an error of the operating system."""
    return getattr(error, 'strerror', None) or str(error)


def locate_error(error: Exception) -> str:
    """Return the type of an error and where it was raised, without its text.
    """
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    return (f'{type(error).__name__} in line '
        f'{trace.tb_lineno if trace else "?"}')
