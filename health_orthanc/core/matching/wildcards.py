# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Patterns with ``*`` for any characters and ``?`` for one."""

import fnmatch
import re
from collections.abc import Iterable
from functools import lru_cache

__all__ = ['LEAST_CHARACTERS', 'is_specific', 'matches_any']

# That a pattern must have beside its wildcards
LEAST_CHARACTERS = 2


def is_specific(pattern: str) -> bool:
    "Return whether a pattern says enough not to match nearly everything"
    return len(re.sub(r'[*?\s]', '', pattern)) >= LEAST_CHARACTERS


def matches_any(pattern: str, texts: Iterable[str | None]) -> bool:
    "Return whether one of the texts is as the pattern says, in any case"
    match = _compiled(pattern).match
    return any(match(text.strip()) for text in texts if text)


@lru_cache(256)
def _compiled(pattern: str) -> re.Pattern[str]:
    # A bracket is one; expressions of `fnmatch` take no time to fail
    expression = fnmatch.translate(pattern.strip().replace('[', '[[]'))
    return re.compile(expression, re.IGNORECASE)
