# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: AGPL-3.0-or-later
"""Matching as Orthanc repeats it on the answers of the plugin."""
from __future__ import annotations

from .matching import (
    KEYS_MATCHED, Dataset, DatasetTest, Test, all_of, compile_wildcards)


def compile_orthanc_filter(
        asked: Dataset, case_sensitive: bool = False) -> DatasetTest:
    """Return a function that tests whether Orthanc keeps the item of a step.

    Orthanc compares the keys within ScheduledProcedureStepSequence again, in
    its own way: dates and times as text and each on its own, and all values
    of an element as one.  It removes an item that differs from the answer.

    Parameters
    ----------
    asked, case_sensitive
        As of `compile_query`, with the keys of the item.
    """
    tests = []
    for tag, value in asked.items():
        if isinstance(value, str) and value:
            tests.append(_compile_key(tag, value, case_sensitive))
    return all_of(tests)


def _compile_key(tag: str, value: str, case_sensitive: bool) -> DatasetTest:
    vr = KEYS_MATCHED.get(tag)

    def normal(text: str) -> str:
        text = text.strip(' \0')
        return text if vr != 'PN' or case_sensitive else text.upper()

    if vr in {'DA', 'TM'} and '-' in value:
        # Spaces around the dash are part of the values.
        first, last = normal(value).split('-', 1)
        matches = _compile_bounds(first, last)
    elif '\\' in value:
        matches = frozenset(map(normal, value.split('\\'))).__contains__
    else:
        matches = compile_wildcards(normal(value))

    def test(item: Dataset) -> bool:
        held = item.get(tag)
        return isinstance(held, str) and matches(normal(held))
    return test


def _compile_bounds(first: str, last: str) -> Test:
    return lambda text: first <= text and (not last or text <= last)
