# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A right is remembered for a minute at most."""

from trytond.modules.health_orthanc.viewing.memory import REMEMBERED, Memory


def test_it_forgets_before_a_minute():
    "nginx may have asked just before, and remembers for a second"
    now = [0]
    memory = Memory(10, lambda: now[0])
    assert REMEMBERED + 1 < 60
    memory.set('a', True)
    now[0] = REMEMBERED - 1
    # Asking does not prolong it
    assert memory.get('a')
    now[0] = REMEMBERED
    assert memory.get('a') is None


def test_it_does_not_grow():
    memory = Memory(10)
    for number in range(100):
        memory.set(number, True)
    assert sum(memory.get(n) is not None for n in range(100)) == 10
    memory.clear()
    assert memory.get(99) is None
