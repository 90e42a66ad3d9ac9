# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether two identities are one person."""
import datetime as dt
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trytond.modules.health_orthanc.core.matching.identities import (
    Identity, compare_identities)
from trytond.modules.health_orthanc.core.matching.verdicts import Verdict

EQUAL, DIFFERS, MISSING = Verdict.EQUAL, Verdict.DIFFERS, Verdict.MISSING
ERIKA = Identity('MUS310ERI', ("Muster Erika",), dt.date(1964, 8, 12), 'F')


def names(one, other):
    return compare_identities(
        Identity(names=(one,)), Identity(names=(other,))).name


def test_same_person_is_certain():
    comparison = compare_identities(ERIKA, ERIKA)
    assert set(comparison.verdicts) == {EQUAL}
    assert comparison.certain and not comparison.contradicts


@pytest.mark.parametrize('field, value', [
        ('patient_id', 'MUS310ERJ'),
        ('names', ("Beispiel Erika",)),
        ('birth_date', dt.date(1964, 12, 8)),
        ('sex', 'M'),
        ])
def test_one_other_field_contradicts(field, value):
    other = replace(ERIKA, **{field: value})
    for pair in [(ERIKA, other), (other, ERIKA)]:
        comparison = compare_identities(*pair)
        assert comparison.contradicts and not comparison.certain
        assert sorted(v.value for v in comparison.verdicts) == [
            'differs', 'equal', 'equal', 'equal']


@pytest.mark.parametrize('field, value', [
        ('patient_id', None), ('patient_id', ''), ('names', ()),
        ('names', ('',)), ('names', (' ^ ',)), ('birth_date', None),
        ('sex', None), ('sex', ''), ('sex', 'O'), ('sex', 'U'),
        ])
def test_what_is_unknown_is_no_difference(field, value):
    other = replace(ERIKA, **{field: value})
    for pair in [(ERIKA, other), (other, ERIKA), (other, other)]:
        comparison = compare_identities(*pair)
        assert not comparison.contradicts and not comparison.certain


def test_nothing_known_is_nothing_certain():
    comparison = compare_identities(Identity(), Identity())
    assert set(comparison.verdicts) == {MISSING}
    assert not comparison.certain


@pytest.mark.parametrize('sex', ['f', ' F '])
def test_sex_is_read_loosely(sex):
    assert compare_identities(ERIKA, replace(ERIKA, sex=sex)).sex is EQUAL


@pytest.mark.parametrize('one, other', [
        ("Muster Erika", "ERIKA MUSTER"),
        ("Ejemplo Núñez Juan José", "EJEMPLO NUNEZ JUAN JOSE"),
        ("Müller Jürgen", "Mueller Juergen"),
        ("Müller Jürgen", "Muller Jurgen"),
        ("Weiß Anna", "WEISS ANNA"),
        ("Sørensen Åse", "Soerensen Aase"),
        ("O'Brien Mary", "OBRIEN MARY"),
        ("Smith-Jones Ann", "SMITH JONES ANN"),
        ("Παράδειγμα Ελένη", "ΠΑΡΆΔΕΙΓΜΑ ΕΛΈΝΗ"),
        ("Примеров Иван", "ПРИМЕРОВ ИВАН"),
        ("見本 花子", "花子 見本"),
        ("Ｍｕｓｔｅｒ Erika", "Muster Erika"),
        ("Zoe\u0301 Exemple", "Exemple Zoé"),
        ])
def test_one_name_in_several_spellings(one, other):
    assert names(one, other) is names(other, one) is EQUAL


@pytest.mark.parametrize('one, other', [
        ("Ejemplo Núñez Juan", "Ejemplo Juan"),
        ("Muster Erika Maria", "Muster Erika"),
        ("Muster Erika", "Muster E"),
        ("Muster Erika", "Muster"),
        ])
def test_part_of_a_name_is_missing(one, other):
    assert names(one, other) is names(other, one) is MISSING


@pytest.mark.parametrize('one, other', [
        ("Muster Erika", "Muster Max"),
        ("Muster Erika", "Beispiel Erika"),
        ("Muster Erika", "Muster Erik"),
        ("Ejemplo Juan", "Ejemplo José"),
        ("Muster E", "Muster M"),
        ("か き", "が ぎ"),
        ])
def test_other_names_differ(one, other):
    assert names(one, other) is names(other, one) is DIFFERS


def test_any_way_of_writing_a_name_will_do():
    ours = Identity(names=("見本 花子", "Mihon Hanako"))
    theirs = Identity(names=("MIHON HANAKO", "みほん はなこ"))
    assert compare_identities(ours, theirs).name is EQUAL
    assert compare_identities(
        ours, Identity(names=("ほかの はなこ",))).name is DIFFERS


def test_letters_that_read_alike_are_never_equal():
    assert names("Mihon Hanako", "みほん はなこ") is MISSING


def test_patient_id_is_compared_as_it_is():
    for other in ['mus310eri', ' MUS310ERI', 'MUS310ERI ', 'MUS310']:
        assert compare_identities(
            ERIKA, replace(ERIKA, patient_id=other)).patient_id is DIFFERS


@given(st.text(), st.text())
def test_names_are_compared_both_ways_alike(one, other):
    assert names(one, other) is names(other, one)
    assert names(one, one) is not DIFFERS
