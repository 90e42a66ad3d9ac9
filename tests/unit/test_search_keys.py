# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""By what patients are looked for."""
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trytond.modules.health_orthanc.core.dicom.values import NameGroup
from trytond.modules.health_orthanc.core.matching.names import name_groups
from trytond.modules.health_orthanc.core.matching.search_keys import (
    name_keys, near_identifiers, pair_near)

from benchmarks.linking import MemoryIndex, measure, share
from benchmarks.pairs import Hospital, Rates
from benchmarks.people import PeopleRates, Population


@pytest.mark.parametrize('one, other', [
        ("Muster^Erika", "ERIKA^MUSTER"),
        ("Müller^Jürgen", "Mueller Juergen"),
        ("García López^Juan Carlos", "LOPEZ^JUAN"),
        ("van den Berg^Jan", "BERG^JAN"),
        ("van den Berg^Jan", "VANDENBERG^JAN"),
        ("Иванов^Сергей", "Ivanov^Sergey"),
        ("محمد^علي", "Mohammed^Ali"),
        ("Yamada^Taro", "YAMADA^TARO=山田^太郎"),
        ("山田^太郎", "YAMADA^TARO=山田^太郎"),
        ])
def test_names_that_are_alike_share_a_key(one, other):
    ours = name_keys([NameGroup.parse(one)])
    assert ours & name_keys(name_groups(other))


@pytest.mark.parametrize('text', ["", "^", "Muster", "M^E", "???^???"])
def test_one_word_has_no_key(text):
    assert not name_keys([NameGroup.parse(text)])


@given(st.text(), st.text())
def test_keys_do_not_depend_on_the_order(family, given_name):
    assert name_keys([NameGroup(family, given_name)]) == name_keys(
        [NameGroup(given_name, family)])


IDENTIFIERS = st.lists(st.text('AB01', max_size=6), max_size=20)


@given(IDENTIFIERS, IDENTIFIERS, st.randoms(use_true_random=False))
def test_pairs_are_those_that_neighbors_make(texts, others, random):
    for text in texts:
        near = sorted(near_identifiers(text))
        others += random.sample(near, min(len(near), 3))
    expected = {}
    for other in others:
        if found := {t for t in texts if other in near_identifiers(t)}:
            expected[other] = found
    assert pair_near(texts, others) == expected


@given(st.text(
            st.characters(categories=['Lu', 'Nd', 'Pd']), min_size=4,
            max_size=16))
def test_every_neighbor_is_paired(text):
    near = near_identifiers(text)
    assert pair_near([text], near) == dict.fromkeys(near, {text})


def test_studies_find_their_patients():
    population = Population(7, 4000, PeopleRates())
    hospital = Hospital(population, 1000, Rates(), 7)
    tally, _ = measure(hospital.pairs, MemoryIndex(hospital).candidates)
    assert not tally.false_certain
    assert share(tally.certain) >= 0.98
    assert share(tally.rank_1) >= 0.98
    assert share(tally.found) >= 0.99
