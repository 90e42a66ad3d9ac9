# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Patterns with ``*`` for any characters and ``?`` for one."""

import fnmatch
import re
from collections.abc import Iterable
from functools import lru_cache

__all__ = ['LEAST_CHARACTERS', 'is_specific', 'matches_any']

# Least number of characters beside wildcards
LEAST_CHARACTERS = 2


def is_specific(pattern: str) -> bool:
    """Return whether a pattern excludes most texts.

    It must have `LEAST_CHARACTERS` beside its wildcards.
    """
    return len(re.sub(r'[*?\s]', '', pattern)) >= LEAST_CHARACTERS


def matches_any(pattern: str, texts: Iterable[str | None]) -> bool:
    """Return whether a pattern matches one of several texts.

    Parameters
    ----------
    pattern : str
        Compared without case, with a whole text.
    texts : iterable of str or None
        Empty ones match nothing.
    """
    match = _compiled(pattern).match
    return any(match(text.strip()) for text in texts if text)


@lru_cache(256)
def _compiled(pattern: str) -> re.Pattern[str]:
    # Brackets are literal; expressions of `fnmatch` fail fast
    expression = fnmatch.translate(pattern.strip().replace('[', '[[]'))
    return re.compile(expression, re.IGNORECASE)
