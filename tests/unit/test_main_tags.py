# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an Orthanc should list, besides what it does."""
import pytest

from trytond.modules.health_orthanc.core.orthanc.main_tags import (
    WANTED, unlisted_tags)

# Of Orthanc 1.12 and 1.13, as it is installed
LISTED = {
    'Study': '0008,0020;0008,0050;0020,000d', 'Series': '0008,0060;0040,0275'}


def test_tags_that_are_listed_by_default_are_not_asked_for():
    assert unlisted_tags({'MainDicomTags': LISTED}) == {
        'Study': ['IssuerOfPatientID', 'PerformingPhysicianName']}


def test_tags_that_were_added_are_not_asked_for():
    assert unlisted_tags({'MainDicomTags': {
                **LISTED, 'Study': '0008,1050;0010,0021'}}) == {}


def test_nothing_is_asked_of_an_orthanc_that_cannot_list_more():
    assert unlisted_tags({'Version': '1.10.1'}) == {}


@pytest.mark.parametrize('listed', [None, [], 'text', 5])
def test_answers_of_another_form(listed):
    assert unlisted_tags({'MainDicomTags': listed}) == {}
    assert unlisted_tags({'MainDicomTags': {
                'Study': listed, 'Series': listed}}) == WANTED
