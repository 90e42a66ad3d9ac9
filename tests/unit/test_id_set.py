# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets of ids that were listed."""
from hypothesis import given
from hypothesis import strategies as st

from trytond.modules.health_orthanc.core.orthanc.id_set import IdSet

IDS = st.sets(st.text(min_size=1))


@given(IDS, IDS, st.integers(1, 4))
def test_exactly_the_others_are_missing(ids, others, shares):
    listed = IdSet()
    listed.add(ids)
    listed.add(ids)
    assert len(listed) == len(ids)
    text = listed.dumps()
    found = []
    for share in range(shares):
        some = IdSet(text, share, shares)
        found += some.missing(sorted(others))
    assert sorted(found) == sorted(others - ids)


@given(IDS, IDS)
def test_sets_are_merged(ids, others):
    one, other = IdSet(), IdSet()
    one.add(ids)
    other.add(others)
    one.merge(other.dumps())
    one.merge(None)
    assert len(one) == len(ids | others)
    assert not one.missing(ids | others)


def test_a_set_is_small():
    listed = IdSet()
    listed.add(f'id{number}' for number in range(5000))
    assert len(listed.dumps()) < 5000 * 11
