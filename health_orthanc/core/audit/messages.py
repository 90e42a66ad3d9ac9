# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""DICOM audit messages

DICOM PS3.15, Annex A.5: the events of the audit trail as XML for an audit
repository.
"""

import base64
import datetime as dt
import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree import ElementTree as ET

__all__ = ['Entry', 'Source', 'application_message', 'audit_message']

Code = tuple[str, str, str]


def _dcm(value: str, meaning: str) -> Code:
    return value, 'DCM', meaning


APPLICATION_ACTIVITY = _dcm('110100', "Application Activity")
BEGIN_TRANSFERRING = _dcm('110102', "Begin Transferring DICOM Instances")
INSTANCES_ACCESSED = _dcm('110103', "DICOM Instances Accessed")
STUDY_DELETED = _dcm('110105', "DICOM Study Deleted")
EXPORT = _dcm('110106', "Export")
IMPORT = _dcm('110107', "Import")
PATIENT_RECORD = _dcm('110110', "Patient Record")
QUERY = _dcm('110112', "Query")
SECURITY_ALERT = _dcm('110113', "Security Alert")
USER_AUTHENTICATION = _dcm('110114', "User Authentication")
APPLICATION_START = _dcm('110120', "Application Start")
LOGIN = _dcm('110122', "Login")
RESTRICTED_FUNCTION = _dcm('110132', "Use of Restricted Function")
APPLICATION = _dcm('110150', "Application")
DESTINATION = _dcm('110152', "Destination Role ID")
SOURCE = _dcm('110153', "Source Role ID")
STUDY_UID = _dcm('110180', "Study Instance UID")
CLASS_UID = _dcm('110181', "SOP Class UID")
PATIENT_NUMBER = ('2', 'RFC-3881', "Patient Number")
# Study Root Query/Retrieve Information Model: FIND
STUDY_ROOT = '1.2.840.10008.5.1.4.1.2.2.1'

# EventID, EventActionCode, and what becomes of the study
# (ParticipantObjectDataLifeCycle)
_EVENTS = {
    'view': (INSTANCES_ACCESSED, 'R', '6'),
    'preview': (INSTANCES_ACCESSED, 'R', '6'),
    'attach': (INSTANCES_ACCESSED, 'R', '6'),
    'token': (BEGIN_TRANSFERRING, 'E', '11'),
    'download': (EXPORT, 'R', '10'),
    'share': (EXPORT, 'R', '11'),
    'upload': (IMPORT, 'C', '1'),
    'link': (PATIENT_RECORD, 'U', '3'),
    'reconcile': (PATIENT_RECORD, 'U', '3'),
    'delete': (STUDY_DELETED, 'D', '15'),
    'query': (QUERY, 'E', '6'),
    'login': (USER_AUTHENTICATION, 'E', '6'),
    }
_OUTCOMES = {'success': '0', 'failure': '4', 'refused': '8'}
# What XML 1.0 cannot hold
_NOT_XML = re.compile('[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]')
# Who is not named
_UNKNOWN = 'unknown'


@dataclass(frozen=True)
class Source:
    """What reports the events

    Attributes
    ----------
    name : str
        Identifies it among others that report to the same repository.
    site : str
        May be empty.
    """
    name: str
    site: str = ''


@dataclass(frozen=True)
class Entry:
    """An entry of the audit trail

    Attributes
    ----------
    number : int
    digest : str
    at : datetime
        UTC, naive.
    action, outcome : str
    user, user_name : str
        Login and name; empty if it was the system.
    address : str
    puid : str
        The identifier of the person.
    study_uid, server, detail : str
    """
    number: int
    digest: str
    at: dt.datetime
    action: str
    outcome: str
    user: str = ''
    user_name: str = ''
    address: str = ''
    puid: str = ''
    study_uid: str = ''
    server: str = ''
    detail: str = ''


def audit_message(entry: Entry, source: Source) -> bytes:
    """Return the message for an entry.

    Parameters
    ----------
    entry : Entry
    source : Source

    Returns
    -------
    bytes
        XML in UTF-8, valid by the schema in PS3.15 A.5.1.
    """
    event, action, cycle = _EVENTS.get(
        entry.action, (SECURITY_ALERT, 'E', '6'))
    if entry.outcome == 'refused' and event is not USER_AUTHENTICATION:
        event, action = SECURITY_ALERT, 'E'
    root = ET.Element('AuditMessage')
    kind = {
        SECURITY_ALERT: RESTRICTED_FUNCTION,
        USER_AUTHENTICATION: LOGIN}.get(event)
    _add_event(root, event, kind, action, entry.at, entry.outcome)
    for participant in _participants(entry, event, source):
        _add_participant(root, **participant)
    _add_source(root, source)
    _add_objects(root, entry, event, cycle)
    return _serialize(root)


def application_message(at: dt.datetime, source: Source) -> bytes:
    """Return the message that the application has started.

    Parameters
    ----------
    at : datetime
        UTC, naive.
    source : Source

    Returns
    -------
    bytes
    """
    root = ET.Element('AuditMessage')
    _add_event(
        root, APPLICATION_ACTIVITY, APPLICATION_START, 'E', at, 'success')
    _add_participant(root, source.name, requestor=False, role=APPLICATION)
    _add_source(root, source)
    return _serialize(root)


def _serialize(root: ET.Element) -> bytes:
    return bytes(ET.tostring(root, encoding='utf-8', xml_declaration=True))


def _add(
        parent: ET.Element, tag: str, text: str | None = None,
        **attributes: str) -> ET.Element:
    element = ET.SubElement(parent, tag, {
            name: _NOT_XML.sub('?', value)
            for name, value in attributes.items() if value})
    element.text = text and _NOT_XML.sub('?', text)
    return element


def _add_code(parent: ET.Element, tag: str, code: Code) -> None:
    value, system, meaning = code
    ET.SubElement(parent, tag, {
            'csd-code': value, 'codeSystemName': system,
            'displayName': meaning, 'originalText': meaning})


def _add_event(
        root: ET.Element, event: Code, kind: Code | None, action: str,
        at: dt.datetime, outcome: str) -> None:
    element = _add(
        root, 'EventIdentification', EventActionCode=action,
        EventDateTime=f'{at.isoformat(timespec="seconds")}Z',
        EventOutcomeIndicator=_OUTCOMES[outcome])
    _add_code(element, 'EventID', event)
    if kind:
        _add_code(element, 'EventTypeCode', kind)
    if outcome != 'success':
        _add(element, 'EventOutcomeDescription', outcome)


def _participants(
        entry: Entry, event: Code, source: Source) -> Iterator[dict]:
    "Yield the person first, then the processes"
    roles = {
        BEGIN_TRANSFERRING: (DESTINATION, SOURCE),
        EXPORT: (DESTINATION, SOURCE),
        IMPORT: (SOURCE, DESTINATION),
        QUERY: (SOURCE, DESTINATION),
        }
    person, process = roles.get(event, (None, None))
    yield {
        'user': entry.user or (
            source.name if not entry.address else _UNKNOWN),
        'name': entry.user_name, 'address': entry.address,
        'requestor': True, 'role': person}
    if process or event is USER_AUTHENTICATION or event is SECURITY_ALERT:
        yield {
            'user': entry.server if process and entry.server
            else source.name, 'requestor': False,
            'role': process or APPLICATION}


def _add_participant(
        root: ET.Element, user: str, requestor: bool, name: str = '',
        address: str = '', role: Code | None = None) -> None:
    element = _add(
        root, 'ActiveParticipant', UserID=user, UserName=name,
        UserIsRequestor='true' if requestor else 'false',
        NetworkAccessPointID=address,
        NetworkAccessPointTypeCode=_access_point_type(address))
    if role:
        _add_code(element, 'RoleIDCode', role)


def _access_point_type(address: str) -> str:
    if not address:
        return ''
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return '1'
    return '2'


def _add_source(root: ET.Element, source: Source) -> None:
    element = _add(
        root, 'AuditSourceIdentification', AuditEnterpriseSiteID=source.site,
        AuditSourceID=source.name)
    # An application server
    ET.SubElement(element, 'AuditSourceTypeCode', {'csd-code': '4'})


def _add_objects(
        root: ET.Element, entry: Entry, event: Code, cycle: str) -> None:
    if event is QUERY:
        _add_object(
            root, CLASS_UID, STUDY_ROOT, '2', '3', '', entry,
            query=entry.detail)
    if entry.study_uid:
        _add_object(
            root, STUDY_UID, entry.study_uid, '2', '3', cycle, entry)
    if entry.puid or (entry.study_uid and event is not SECURITY_ALERT):
        _add_object(
            root, PATIENT_NUMBER, entry.puid or _UNKNOWN, '1', '1', '', entry)


def _add_object(
        root: ET.Element, id_type: Code, id_: str, kind: str, role: str,
        cycle: str, entry: Entry, query: str | None = None) -> None:
    element = _add(
        root, 'ParticipantObjectIdentification', ParticipantObjectID=id_,
        ParticipantObjectTypeCode=kind, ParticipantObjectTypeCodeRole=role,
        ParticipantObjectDataLifeCycle=cycle)
    _add_code(element, 'ParticipantObjectIDTypeCode', id_type)
    if query is None:
        # Names of persons are not needed to identify them
        _add(element, 'ParticipantObjectName', id_)
    else:
        _add(element, 'ParticipantObjectQuery', _encode(query))
    for name, value in [
            ('Action', entry.action), ('Detail', entry.detail),
            ('Entry', str(entry.number)), ('Digest', entry.digest)]:
        if value:
            _add(
                element, 'ParticipantObjectDetail', type=name,
                value=_encode(value))


def _encode(text: str) -> str:
    return base64.b64encode(text.encode(errors='replace')).decode()
