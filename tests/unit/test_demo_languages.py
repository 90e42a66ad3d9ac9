# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the demo's hospital is called in each language."""
import datetime as dt

import pytest
from pydicom.charset import convert_encodings

from devtools import demo_languages, demo_morning, hospital

NAMES = [
    'INSTITUTION', 'PHYSICIAN', 'PATIENTS', 'STUDY_TYPES', 'ROLES',
    'COMMENTS', 'DESCRIPTIONS']
MORNING_NAMES = ['STUDY_TYPES', 'TEXTS']
NOW = dt.datetime(2026, 3, 2, 18)


@pytest.fixture(params=[
        code for code, words in demo_languages.LANGUAGES.items() if words])
def words(request, monkeypatch):
    """Have the hospital in a language, and yield its words."""
    for module, names in [(hospital, NAMES), (demo_morning, MORNING_NAMES)]:
        for name in names:
            value = getattr(module, name)
            monkeypatch.setattr(
                module, name,
                value.copy() if isinstance(value, (dict, list)) else value)
    demo_languages.use(request.param)
    return demo_languages.LANGUAGES[request.param]


def test_people_studies_and_users(words):
    by_puid = {person.puid: person for person in hospital.PATIENTS}
    assert words.names.keys() <= by_puid.keys()
    for puid, (family, given, charset) in words.names.items():
        person = by_puid[puid]
        assert (person.family, person.given) == (family, given)
        assert person.pn == f'{family}^{given}'
        assert charset in {'ISO_IR 100', 'ISO_IR 192'}
    assert {
        kind.code: kind.name
        for kind in hospital.STUDY_TYPES + demo_morning.STUDY_TYPES
        } == words.study_types
    assert hospital.COMMENTS == words.comments
    assert words.comments.keys() == {
        kind.code for kind in hospital.STUDY_TYPES}
    assert {role.login: role.name for role in hospital.ROLES} == words.roles
    assert hospital.INSTITUTION == words.institution


def test_letters_beyond_ascii_are_in_each_character_set(words):
    charsets = {
        charset for family, given, charset in words.names.values()
        if not f'{family}{given}'.isascii()}
    assert charsets == {'ISO_IR 100', 'ISO_IR 192'}


def test_studies_can_be_stored(words):
    descriptions = set()
    for study in hospital.sample_studies(NOW):
        dataset = study.datasets[0]
        charset = dataset.SpecificCharacterSet
        encodings = convert_encodings(
            [charset] if isinstance(charset, str) else list(charset))
        for value in [
                str(dataset.get('StudyDescription', '')),
                str(dataset.get('InstitutionName', ''))]:
            value.encode(encodings[0])
        descriptions.add(dataset.StudyDescription)
    assert set(words.descriptions.values()) & descriptions


def test_what_is_written_in_the_morning_is_in_the_language(words):
    written = {
        order.information for order in demo_morning.ORDERS
        if order.information}
    assert words.texts.keys() == written | {
        demo_morning.CRITICAL, demo_morning.FINDING, demo_morning.REPEATED}
