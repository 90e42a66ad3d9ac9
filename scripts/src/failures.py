# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Failures that end a script with a message and an exit code."""


class Failure(Exception):
    """The work could not be done; the text says why.

    Attributes
    ----------
    code : int
        The exit code.
    """
    code = 1


class Unusable(Failure):
    """Nothing could be started."""
    code = 2
