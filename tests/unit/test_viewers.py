# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trytond.modules.health_orthanc.core.orthanc.viewers import (
    PLACEHOLDERS, TemplateError, check_template, check_token_template,
    viewer_url)

BASE = 'https://pacs.example.org/orthanc/'


@pytest.mark.parametrize('template, expected', [
        ('app/explorer.html#study?uuid={OrthancID}',
            BASE + 'app/explorer.html#study?uuid=a-b'),
        ('/viewer?study={StudyInstanceUID}',
            'https://pacs.example.org/viewer?study=1.2.3'),
        ('https://view.example.org/?s={StudyInstanceUID}',
            'https://view.example.org/?s=1.2.3'),
        ('{ServerURL}/ui/{OrthancID}', BASE + 'ui/a-b'),
        ('https://view.example.org/?root={ServerURL}&s={StudyInstanceUID}',
            'https://view.example.org/?root=' + BASE[:-1] + '&s=1.2.3'),
        ('weasis://x?{StudyInstanceUID}', 'weasis://x?1.2.3'),
        ])
def test_address_of_a_study(template, expected):
    check_template(template, 'study')
    values = {
        'OrthancID': 'a-b', 'StudyInstanceUID': '1.2.3', 'PatientID': None}
    assert viewer_url(template, BASE, values) == expected


@given(st.text(st.characters(exclude_categories=['Cs'])))
def test_value_stays_in_its_place(value):
    url = viewer_url('v?id={PatientID}&x=1', BASE, {'PatientID': value})
    parts = urlsplit(url)
    assert parts.netloc == 'pacs.example.org' and not parts.fragment
    query = parse_qs(parts.query, keep_blank_values=True)
    assert query == {'id': [value], 'x': ['1']}
    path = viewer_url('v/{PatientID}/end', BASE, {'PatientID': value})
    if value not in {'', '.', '..'}:
        assert unquote(path) == f'{BASE}v/{value}/end'


@pytest.mark.parametrize('template, level, reason', [
        ('v?{SeriesInstanceUID}', 'study', 'placeholder'),
        ('v?{SOPInstanceUID}', 'series', 'placeholder'),
        ('v?{StudyInstanceUID}', 'patient', 'placeholder'),
        ('v?{password}', 'study', 'placeholder'),
        ('v?{0}', 'study', 'placeholder'),
        ('v?{}', 'study', 'placeholder'),
        ('v?{OrthancID.__class__}', 'study', 'placeholder'),
        ('v?{OrthancID[0]}', 'study', 'placeholder'),
        ('v?{OrthancID!r}', 'study', 'syntax'),
        ('v?{OrthancID:>99}', 'study', 'syntax'),
        ('v?{OrthancID', 'study', 'syntax'),
        ('v?}', 'study', 'syntax'),
        ('javascript:alert(1)', 'study', 'scheme'),
        (' javascript:alert(1)', 'study', 'scheme'),
        ('JavaScript:alert(1)', 'study', 'scheme'),
        ('data:text/html,x', 'study', 'scheme'),
        ('file:///etc/passwd', 'study', 'scheme'),
        ('//elsewhere.example.org/', 'study', 'scheme'),
        ('{OrthancID}:x', 'study', 'scheme'),
        ])
def test_templates_that_are_refused(template, level, reason):
    with pytest.raises(TemplateError) as caught:
        check_template(template, level)
    assert caught.value.reason == reason


@pytest.mark.parametrize('level', ['study', 'series', 'instance'])
def test_a_template_with_a_token(level):
    template = 'v?study={StudyInstanceUID}&token={Token}'
    check_token_template(template, level)
    assert viewer_url(template, 'https://x/', {
            'StudyInstanceUID': '1.2', 'Token': 'a_b-c'}) == (
                'https://x/v?study=1.2&token=a_b-c')
    # Not where there is none
    with pytest.raises(TemplateError):
        check_template(template, level)


@pytest.mark.parametrize('template, level, reason', [
        ('v?study={StudyInstanceUID}', 'study', 'token'),
        # A token names a study
        ('v?token={Token}', 'patient', 'token'),
        ('v?token={Token}&x={SOPInstanceUID}', 'study', 'placeholder'),
        ('v?token={Token', 'study', 'syntax'),
        ('javascript:{Token}', 'study', 'scheme'),
        ('{Token}://x', 'study', 'scheme'),
        ])
def test_templates_with_a_token_that_are_refused(template, level, reason):
    with pytest.raises(TemplateError) as caught:
        check_token_template(template, level)
    assert caught.value.reason == reason


def test_every_level_has_its_own_id():
    for level, names in PLACEHOLDERS.items():
        assert {'OrthancID', 'ServerURL'} <= names
        for name in names:
            check_template('v?{%s}' % name, level)
