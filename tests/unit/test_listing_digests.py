# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Digests of resources as they are listed."""
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trytond.modules.health_orthanc.core.orthanc.listing_digests import (
    listed_digests)

STUDY = {
    'ID': 'a', 'ParentPatient': 'p', 'IsStable': True,
    'LastUpdate': '20260101T000000', 'Labels': ['x', 'y'],
    'MainDicomTags': {'StudyDate': '20260101', 'StudyID': '1'},
    'PatientMainDicomTags': {'PatientID': 'P'}, 'Series': ['s', 't'],
    'Type': 'Study'}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda some: st.lists(some) | st.dictionaries(st.text(), some))


def digest(resource: dict, form: str = '') -> str:
    found, = listed_digests([resource], form).values()
    return found


@pytest.mark.parametrize('change', [
        {'IsStable': False}, {'LastUpdate': '20260101T000001'},
        {'Series': ['s']}, {'Series': ['s', 'u']}, {'Labels': []},
        {'MainDicomTags': {'StudyDate': '20260101', 'StudyID': '2'}},
        {'MainDicomTags': {'StudyDate': '20260101'}},
        {'PatientMainDicomTags': {'PatientID': 'Q'}}, {'More': ''}])
def test_another_content_has_another_digest(change):
    assert digest({**STUDY, **change}) != digest(STUDY)


def test_another_form_has_another_digest():
    assert digest(STUDY, '1') != digest(STUDY, '2')


def test_sets_are_listed_in_any_order():
    assert digest({
            **STUDY, 'Series': ['t', 's'], 'Labels': ['y', 'x']
            }) == digest(STUDY)


@given(JSON, JSON)
def test_equal_contents_are_recognized_and_others_are_not(one, other):
    # As they come over the network, with lone surrogates and all
    one, other = (json.loads(json.dumps(value)) for value in [one, other])
    same = json.dumps(one) == json.dumps(other)
    assert same == (
        digest({'ID': 'a', 'MainDicomTags': one})
        == digest({'ID': 'a', 'MainDicomTags': other}))
    digest({'ID': 'a', 'Series': one, 'Labels': other})


@pytest.mark.parametrize('id_', [None, 1, [], {}])
def test_what_has_no_id_is_left_out(id_):
    assert not listed_digests([{**STUDY, 'ID': id_}], '')
    assert not listed_digests([{}], '')
