# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Audit messages, their way to a collector, and the chain of digests."""

import base64
import datetime as dt
import re
import ssl
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from trytond.modules.health_orthanc.core.audit.digests import (
    CHAINED, Break, Link, find_break, row_digest)
from trytond.modules.health_orthanc.core.audit.messages import (
    Entry, Source, application_message, audit_message)
from trytond.modules.health_orthanc.core.audit.syslog import (
    Collector, CollectorUnavailable, frame, syslog_message)

from devtools.certificates import Authority
from tests import collector

SCHEMA = etree.RelaxNG(etree.parse(
        str(Path(__file__).with_name('audit_message.rng'))))
SOURCE = Source('gnuhealth@example', 'hospital')
AT = dt.datetime(2026, 3, 4, 5, 6, 7)
ENTRY = Entry(
    7, 'd' * 64, AT, 'view', 'success', user='anna', user_name="Anna Doe",
    address='192.0.2.1', puid='GNU777ORG', study_uid='1.2.3', server="PACS",
    detail="1.2.3.4")

# What PS3.15, A.5.3 asks of each message
EVENTS = {
    'view': ('110103', 'R', {'110180', '2'}),
    'preview': ('110103', 'R', {'110180', '2'}),
    'attach': ('110103', 'R', {'110180', '2'}),
    'token': ('110102', 'E', {'110180', '2'}),
    'download': ('110106', 'R', {'110180', '2'}),
    'share': ('110106', 'R', {'110180', '2'}),
    'upload': ('110107', 'C', {'110180', '2'}),
    'link': ('110110', 'U', {'110180', '2'}),
    'reconcile': ('110110', 'U', {'110180', '2'}),
    'delete': ('110105', 'D', {'110180', '2'}),
    'query': ('110112', 'E', {'110181', '110180', '2'}),
    'login': ('110114', 'E', {'110180', '2'}),
    }


def parse(message):
    root = etree.fromstring(message)
    SCHEMA.assertValid(root)
    return root


def event(root):
    found = root.find('EventIdentification')
    return (
        found.find('EventID').get('csd-code'), found.get('EventActionCode'),
        {o.find('ParticipantObjectIDTypeCode').get('csd-code')
            for o in root.findall('ParticipantObjectIdentification')})


@pytest.mark.parametrize('action', EVENTS)
def test_messages(action):
    root = parse(audit_message(replace(ENTRY, action=action), SOURCE))
    assert event(root) == EVENTS[action]
    found = root.find('EventIdentification')
    assert found.get('EventDateTime') == '2026-03-04T05:06:07Z'
    assert found.get('EventOutcomeIndicator') == '0'


def test_every_action_has_a_message():
    from trytond.modules.health_orthanc.audit.entry import ACTIONS
    alerts = {'wizard', 'button', 'route'}
    assert {action for action, _ in ACTIONS} - alerts == set(EVENTS)


@pytest.mark.parametrize('action', [*EVENTS, 'wizard', 'button', 'route'])
def test_refusals_are_alerts(action):
    root = parse(audit_message(
            replace(ENTRY, action=action, outcome='refused'), SOURCE))
    code, kind = (
        ('110114', '110122') if action == 'login' else ('110113', '110132'))
    assert event(root)[0] == code
    found = root.find('EventIdentification')
    assert found.find('EventTypeCode').get('csd-code') == kind
    assert found.get('EventOutcomeIndicator') == '8'


def test_who_and_what():
    root = parse(audit_message(ENTRY, SOURCE))
    person, = root.findall('ActiveParticipant')
    assert dict(person.attrib) == {
        'UserID': 'anna', 'UserName': "Anna Doe", 'UserIsRequestor': 'true',
        'NetworkAccessPointID': '192.0.2.1',
        'NetworkAccessPointTypeCode': '2'}
    study, patient = root.findall('ParticipantObjectIdentification')
    assert study.get('ParticipantObjectID') == '1.2.3'
    assert patient.get('ParticipantObjectID') == 'GNU777ORG'
    assert {
        d.get('type'): base64.b64decode(d.get('value')).decode()
        for d in study.findall('ParticipantObjectDetail')} == {
        'Action': 'view', 'Detail': '1.2.3.4', 'Entry': '7',
        'Digest': 'd' * 64}
    assert root.find('AuditSourceIdentification').get(
        'AuditSourceID') == 'gnuhealth@example'


def test_nobody_is_logged_in():
    root = parse(audit_message(
            Entry(1, 'd', AT, 'login', 'refused', address='192.0.2.1'),
            SOURCE))
    assert root.find('ActiveParticipant').get('UserID') == 'unknown'
    assert event(root)[2] == set()


def test_a_study_of_nobody_known():
    root = parse(audit_message(
            replace(ENTRY, puid='', action='delete', user=''), SOURCE))
    assert [o.get('ParticipantObjectID') for o in root.findall(
            'ParticipantObjectIdentification')] == ['1.2.3', 'unknown']


def test_the_start_of_the_application():
    root = parse(application_message(AT, SOURCE))
    assert event(root) == ('110100', 'E', set())
    assert root.find('EventIdentification/EventTypeCode').get(
        'csd-code') == '110120'


texts = st.text(max_size=20)


@given(texts, texts, texts, texts)
def test_any_text_is_valid(user, name, puid, detail):
    root = parse(audit_message(
            replace(
                ENTRY, user=user, user_name=name, puid=puid, detail=detail),
            SOURCE))
    assert root.find('ActiveParticipant').get('UserID') is not None


def test_a_syslog_message():
    message = syslog_message("<é/>".encode(), AT, 'host.example', 42)
    assert message == (
        b'<85>1 2026-03-04T05:06:07Z host.example health_orthanc 42'
        b' DICOM+RFC3881 - \xef\xbb\xbf<\xc3\xa9/>')
    assert frame(message) == b'%d %s' % (len(message), message)
    assert syslog_message(b'', AT, "ho st\n", 1, 13).startswith(
        b'<109>1 2026-03-04T05:06:07Z host health_orthanc 1 ')
    assert b' - health_orthanc' in syslog_message(b'', AT, "é", 1)


def test_addresses_of_collectors():
    assert Collector.from_url('tls://logs.example') == Collector(
        'logs.example', 6514)
    assert Collector.from_url('tcp://127.0.0.1:601') == Collector(
        '127.0.0.1', 601, secure=False)
    assert Collector.from_url('tls://[::1]:99').host == '::1'


@pytest.mark.parametrize('url', [
        'logs.example:601', 'udp://logs.example', 'tls://', 'tls://a:b',
        'tls://user@a', 'tls://a/x', 'http://a'])
def test_what_is_no_address(url):
    with pytest.raises(ValueError):
        Collector.from_url(url)


MESSAGES = [syslog_message(b'<x/>' * 500, AT, 'h', n) for n in range(50)]


def test_sending_over_tcp():
    with collector.Collector() as received:
        Collector('127.0.0.1', received.port, secure=False).send(MESSAGES)
        assert received.messages() == MESSAGES


def test_sending_over_tls(tls):
    context, files = tls
    with collector.Collector(context) as received:
        Collector('127.0.0.1', received.port, **files).send(MESSAGES)
        assert received.messages() == MESSAGES


@pytest.fixture
def tls(tmp_path):
    authority = Authority()
    certificate, key = authority.issue('127.0.0.1')
    paths = {}
    for name, text in [
            ('ca', authority.certificate), ('certificate', certificate),
            ('key', key)]:
        paths[name] = str(tmp_path / f'{name}.pem')
        Path(paths[name]).write_text(text)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(paths['certificate'], paths['key'])
    return context, {'ca': paths['ca']}


def test_an_unknown_certificate(tls):
    context, _ = tls
    with collector.Collector(context) as received:
        with pytest.raises(CollectorUnavailable) as raised:
            Collector('127.0.0.1', received.port).send(MESSAGES)
        assert received.connections.empty()
    assert raised.value.kind == 'SSLCertVerificationError'


def test_a_collector_that_is_away():
    with collector.Collector() as received:
        port = received.port
    with pytest.raises(CollectorUnavailable) as raised:
        Collector('127.0.0.1', port, secure=False).send(MESSAGES)
    assert raised.value.kind == 'ConnectionRefusedError'


def test_a_collector_that_breaks_off():
    """What it has not read is not taken for received."""
    with collector.Collector(cut=10) as received:
        with pytest.raises(CollectorUnavailable):
            Collector('127.0.0.1', received.port, secure=False).send(MESSAGES)
        assert received.connections.empty()


def chain(count, start=Link()):
    rows = []
    for number in range(start.number + 1, start.number + count + 1):
        values = dict.fromkeys(CHAINED)
        values |= {
            'number': number, 'at': AT, 'action': 'view', 'user_id': number}
        start = Link(number, row_digest(start.digest, values))
        rows.append({**values, 'digest': start.digest})
    return rows, start


def check(rows, start, end):
    *_, last = [None, *find_break(rows, start, end)]
    return last


def test_a_chain_as_it_was_written():
    rows, end = chain(5)
    assert check(rows, Link(), end) == end
    assert check([], Link(), Link()) is None
    # After the first ones were removed
    assert check(rows[3:], Link(3, rows[2]['digest']), end) == end


@pytest.mark.parametrize('name', [*CHAINED[1:], 'digest'])
def test_a_changed_row(name):
    rows, end = chain(5)
    rows[2][name] = 'x'
    assert check(rows, Link(), end) == Break(3, 'changed')


def test_a_row_that_was_made_to_fit_itself():
    rows, end = chain(5)
    rows[2]['user_id'] = 99
    rows[2]['digest'] = row_digest(rows[1]['digest'], rows[2])
    assert check(rows, Link(), end) == Break(4, 'changed')


def test_missing_rows():
    rows, end = chain(5)
    assert check(rows[1:], Link(), end) == Break(1, 'missing')
    assert check(rows[:2] + rows[3:], Link(), end) == Break(3, 'missing')
    assert check(rows[:-1], Link(), end) == Break(5, 'missing')
    assert check([], Link(), end) == Break(1, 'missing')


def test_inserted_rows():
    rows, end = chain(5)
    assert check(rows[:3] + rows[2:], Link(), end) == Break(3, 'changed')
    more, _ = chain(1, end)
    assert check(rows + more, Link(), end) == Break(6, 'end')
    assert check(rows, Link(), replace(end, digest='x')) == Break(5, 'end')


@given(st.binary(max_size=40))
def test_frames_are_split(data):
    assert collector.split_frames(frame(data) * 3) == [data] * 3
    assert re.match(rb'\d+ ', frame(data))
