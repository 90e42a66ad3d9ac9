# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Patients, studies, series and instances as Orthanc describes them in JSON.

Only the identifiers of a resource are required. Every tag may be missing,
empty or malformed: its attribute is then empty, and `malformed` has the
keyword and the text of tags that could not be read.
"""

import datetime as dt
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from ..dicom.values import (
    clean_texts, display_names, is_uid, parse_date, parse_integer, parse_time)
from .errors import UnexpectedAnswer

__all__ = [
    'Change', 'ChangePage', 'InstanceResource', 'MalformedResource',
    'PatientResource', 'PatientTags', 'RequestAttributes', 'SeriesResource',
    'StudyResource', 'error_message', 'find_identifier', 'is_identifier',
    'parse_identifier', 'parse_json', 'parse_resources']

# Items of a sequence that are read; more are never sent by a modality
MAXIMUM_ITEMS = 20
_REQUEST_TAGS = [
    'StudyInstanceUID', 'AccessionNumber', 'RequestedProcedureID',
    'ScheduledProcedureStepID']

T = TypeVar('T')
Malformed = tuple[tuple[str, str], ...]


class MalformedResource(ValueError):
    """The JSON lacks the identifiers of a resource"""


@dataclass(frozen=True, slots=True)
class Change:
    """An entry of Orthanc's change log

    Attributes
    ----------
    seq : int
        Its number; numbers grow and are never used again.
    change_type : str
        As in ``'NewStudy'`` or ``'StableStudy'``.
    level : str
        ``'patient'``, ``'study'``, ``'series'`` or ``'instance'``.
    orthanc_id : str
    date : datetime or None
        By the server's clock, in UTC.
    """
    seq: int
    change_type: str
    level: str
    orthanc_id: str
    date: dt.datetime | None

    @classmethod
    def from_json(cls, json: Any) -> 'Change':
        """Return an entry from Orthanc's JSON.

        Raises
        ------
        MalformedResource
            Number, type or resource are missing.
        """
        seq = _mapping(json).get('Seq')
        if seq is None or not _is_integer(seq):
            raise MalformedResource("a change without Seq")
        return cls(
            seq=seq,
            change_type=_identifier(json, 'ChangeType'),
            level=_identifier(json, 'ResourceType').lower(),
            orthanc_id=_identifier(json, 'ID'),
            date=_timestamp(json.get('Date')))


@dataclass(frozen=True, slots=True)
class ChangePage:
    """A page of Orthanc's change log

    Attributes
    ----------
    changes : tuple of Change
        In their order.
    done : bool
        Whether it is the last page.
    last : int
        The number of the last entry on the page. **If the page is empty, it is
        the highest number that Orthanc has ever used**, even if that entry was
        deleted with its resource.
    """
    changes: tuple[Change, ...]
    done: bool
    last: int

    @classmethod
    def from_json(cls, json: Any) -> 'ChangePage':
        """Return a page from Orthanc's JSON.

        Raises
        ------
        MalformedResource
            It is no page of changes.
        """
        json = _mapping(json)
        changes, last = json.get('Changes'), json.get('Last')
        if not isinstance(changes, list) or not _is_integer(last):
            raise MalformedResource("a page without Changes or Last")
        return cls(
            changes=tuple(map(Change.from_json, changes)),
            done=json.get('Done') is True, last=last)


@dataclass(frozen=True, slots=True)
class PatientTags:
    """The patient, as one study names it

    Orthanc keeps these tags for each study: two studies with one PatientID may
    differ in all others.

    Attributes
    ----------
    name : str
        The PN as received.
    display_name : str
        The name for people to read.
    patient_id, other_patient_ids : str
    birth_date : date or None
    sex : {'M', 'F', 'O', ''}
    """
    name: str
    display_name: str
    patient_id: str
    other_patient_ids: str
    birth_date: dt.date | None
    sex: str

    @classmethod
    def _from_tags(cls, tags: '_Tags') -> 'PatientTags':
        name = tags.text('PatientName')
        return cls(
            name=name,
            display_name=display_names(name),
            patient_id=tags.text('PatientID'),
            other_patient_ids=tags.text('OtherPatientIDs'),
            birth_date=tags.parsed('PatientBirthDate', parse_date),
            sex=tags.parsed('PatientSex', _parse_sex) or '')


@dataclass(frozen=True, slots=True)
class PatientResource:
    """A patient of Orthanc: all studies with one PatientID"""
    orthanc_id: str
    tags: PatientTags
    study_ids: tuple[str, ...]
    malformed: Malformed

    @classmethod
    def from_json(cls, json: Any) -> 'PatientResource':
        """Return a patient from Orthanc's JSON.

        Raises
        ------
        MalformedResource
            Its Orthanc id is missing.
        """
        tags = _Tags(json, 'MainDicomTags')
        return cls(
            orthanc_id=_identifier(json, 'ID'),
            tags=PatientTags._from_tags(tags),
            study_ids=_identifiers(json, 'Studies'),
            malformed=tags.malformed)


@dataclass(frozen=True, slots=True)
class StudyResource:
    """A study of Orthanc

    Names of physicians are for people to read. `date` and `time` are in the
    modality's time zone, `last_update` is in UTC. `labels` are empty from an
    Orthanc before 1.12.
    """
    orthanc_id: str
    patient_orthanc_id: str
    study_instance_uid: str
    date: dt.date | None
    time: dt.time | None
    study_id: str
    description: str
    accession_number: str
    institution_name: str
    referring_physician_name: str
    requesting_physician: str
    requested_procedure_description: str
    performing_physician_name: str
    issuer_of_patient_id: str
    patient: PatientTags
    series_ids: tuple[str, ...]
    is_stable: bool
    last_update: dt.datetime | None
    labels: tuple[str, ...]
    malformed: Malformed

    @classmethod
    def from_json(cls, json: Any) -> 'StudyResource':
        """Return a study from Orthanc's JSON.

        Raises
        ------
        MalformedResource
            Its Orthanc id or that of its patient is missing.
        """
        tags = _Tags(json, 'MainDicomTags')
        patient_tags = _Tags(json, 'PatientMainDicomTags')
        return cls(
            orthanc_id=_identifier(json, 'ID'),
            patient_orthanc_id=_identifier(json, 'ParentPatient'),
            study_instance_uid=tags.uid('StudyInstanceUID'),
            date=tags.parsed('StudyDate', parse_date),
            time=tags.parsed('StudyTime', parse_time),
            study_id=tags.text('StudyID'),
            description=tags.text('StudyDescription'),
            accession_number=tags.text('AccessionNumber'),
            institution_name=tags.text('InstitutionName'),
            referring_physician_name=tags.names('ReferringPhysicianName'),
            requesting_physician=tags.names('RequestingPhysician'),
            requested_procedure_description=tags.text(
                'RequestedProcedureDescription'),
            performing_physician_name=tags.names('PerformingPhysicianName'),
            issuer_of_patient_id=tags.text('IssuerOfPatientID'),
            patient=PatientTags._from_tags(patient_tags),
            series_ids=_identifiers(json, 'Series'),
            is_stable=json.get('IsStable') is True,
            last_update=_timestamp(json.get('LastUpdate')),
            labels=tuple(sorted(_identifiers(json, 'Labels'))),
            malformed=tags.malformed + patient_tags.malformed)


@dataclass(frozen=True, slots=True)
class RequestAttributes:
    """An order that a series names (PS3.3 C.7.3.1, Table 10-9)

    Texts are as received, empty if they are missing.
    """
    study_instance_uid: str
    accession_number: str
    procedure_id: str
    step_id: str

    @classmethod
    def _from_tags(cls, item: Any) -> 'RequestAttributes':
        texts = clean_texts(_mapping(item))
        return cls(*(texts.get(keyword, '') for keyword in _REQUEST_TAGS))

    @property
    def tags(self) -> dict[str, str]:
        """dict : the texts that are not empty, by keyword"""
        values = [
            self.study_instance_uid, self.accession_number,
            self.procedure_id, self.step_id]
        return {
            keyword: value for keyword, value in zip(_REQUEST_TAGS, values)
            if value}


@dataclass(frozen=True, slots=True)
class SeriesResource:
    """A series of Orthanc

    `expected_instances` is None if the modality did not announce a number;
    `request_attributes` are empty from an Orthanc before 1.11.
    """
    orthanc_id: str
    study_orthanc_id: str
    series_instance_uid: str
    number: int | None
    description: str
    modality: str
    body_part: str
    station_name: str
    protocol_name: str
    manufacturer: str
    operators_name: str
    performing_physician_name: str
    request_attributes: tuple[RequestAttributes, ...]
    date: dt.date | None
    time: dt.time | None
    instance_ids: tuple[str, ...]
    expected_instances: int | None
    is_stable: bool
    last_update: dt.datetime | None
    malformed: Malformed

    @classmethod
    def from_json(cls, json: Any) -> 'SeriesResource':
        """Return a series from Orthanc's JSON.

        Raises
        ------
        MalformedResource
            Its Orthanc id or that of its study is missing.
        """
        tags = _Tags(json, 'MainDicomTags')
        expected = _mapping(json).get('ExpectedNumberOfInstances')
        return cls(
            orthanc_id=_identifier(json, 'ID'),
            study_orthanc_id=_identifier(json, 'ParentStudy'),
            series_instance_uid=tags.uid('SeriesInstanceUID'),
            number=tags.parsed('SeriesNumber', parse_integer),
            description=tags.text('SeriesDescription'),
            modality=tags.text('Modality'),
            body_part=tags.text('BodyPartExamined'),
            station_name=tags.text('StationName'),
            protocol_name=tags.text('ProtocolName'),
            manufacturer=tags.text('Manufacturer'),
            operators_name=tags.names('OperatorsName'),
            performing_physician_name=tags.names('PerformingPhysicianName'),
            request_attributes=tuple(map(
                    RequestAttributes._from_tags,
                    tags.items('RequestAttributesSequence'))),
            date=tags.parsed('SeriesDate', parse_date),
            time=tags.parsed('SeriesTime', parse_time),
            instance_ids=_identifiers(json, 'Instances'),
            expected_instances=expected if _is_integer(expected) else None,
            is_stable=json.get('IsStable') is True,
            last_update=_timestamp(json.get('LastUpdate')),
            malformed=tags.malformed)


@dataclass(frozen=True, slots=True)
class InstanceResource:
    """An instance of Orthanc

    `image_position_patient` has three numbers as received, in mm and separated
    by backslashes (PS3.3 C.7.6.2); `number_of_frames` is None if the instance
    has no such tag.
    """
    orthanc_id: str
    series_orthanc_id: str
    sop_instance_uid: str
    number: int | None
    image_position_patient: str
    number_of_frames: int | None
    malformed: Malformed

    @classmethod
    def from_json(cls, json: Any) -> 'InstanceResource':
        """Return an instance from Orthanc's JSON.

        Raises
        ------
        MalformedResource
            Its Orthanc id or that of its series is missing.
        """
        tags = _Tags(json, 'MainDicomTags')
        return cls(
            orthanc_id=_identifier(json, 'ID'),
            series_orthanc_id=_identifier(json, 'ParentSeries'),
            sop_instance_uid=tags.uid('SOPInstanceUID'),
            number=tags.parsed('InstanceNumber', parse_integer),
            image_position_patient=tags.text('ImagePositionPatient'),
            number_of_frames=tags.parsed('NumberOfFrames', parse_integer),
            malformed=tags.malformed)


class _Tags:
    """The tags of a resource, with a list of those that are malformed"""

    def __init__(self, json: Any, name: str):
        self._values = _mapping(_mapping(json).get(name))
        self._tags = clean_texts(self._values)
        self._malformed: list[tuple[str, str]] = []

    @property
    def malformed(self) -> Malformed:
        return tuple(self._malformed)

    def text(self, keyword: str) -> str:
        return self._tags.get(keyword, '')

    def items(self, keyword: str) -> list[Any]:
        """Return at most `MAXIMUM_ITEMS` items of a sequence."""
        value = self._values.get(keyword)
        return value[:MAXIMUM_ITEMS] if isinstance(value, list) else []

    def names(self, keyword: str) -> str:
        return display_names(self.text(keyword))

    def uid(self, keyword: str) -> str:
        """Return the UID even if it is malformed: what has it must be found.
        """
        value = self.text(keyword)
        if not is_uid(value):
            self._malformed.append((keyword, value))
        return value

    def parsed(
            self, keyword: str,
            parse: Callable[[str], T | None]) -> T | None:
        value = self.text(keyword)
        try:
            return parse(value)
        except ValueError:
            self._malformed.append((keyword, value))
            return None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _identifier(json: Any, key: str) -> str:
    value = _mapping(json).get(key)
    if not isinstance(value, str) or not value:
        raise MalformedResource(f"a resource without {key}")
    return value


def _identifiers(json: Any, key: str) -> tuple[str, ...]:
    values = _mapping(json).get(key)
    if not isinstance(values, list):
        return ()
    if set(map(type, values)) <= {str}:
        return tuple(values)
    return tuple(v for v in values if isinstance(v, str))


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


# Much faster than strptime
_TIMESTAMP = re.compile(
    '([0-9]{4})([0-9]{2})([0-9]{2})T([0-9]{2})([0-9]{2})([0-9]{2})')


def _timestamp(value: Any) -> dt.datetime | None:
    """Return the time that Orthanc writes as ``yyyymmddThhmmss``."""
    found = _TIMESTAMP.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return None
    year, month, day, hour, minute, second = map(int, found.groups())
    try:
        return dt.datetime(year, month, day, hour, minute, second)
    except ValueError:
        return None


def _parse_sex(text: str) -> str | None:
    sex = text.upper()
    if sex not in {'', 'M', 'F', 'O'}:
        raise ValueError("not a Patient's Sex")
    return sex or None


# --- Answers --------------------------------------------------------------


# Anything else could lead to another resource
_IDENTIFIER = re.compile(r'[A-Za-z0-9_-]+')
_PHRASE = re.compile(r'[A-Za-z][A-Za-z ,.()/-]{0,99}')


def is_identifier(value: str) -> bool:
    """Return whether a text can be one name in a path of Orthanc.

    Anything else could lead to another resource.
    """
    return _IDENTIFIER.fullmatch(value) is not None


def parse_json(type_: type, body: bytes, name: str) -> Any:
    """Return the JSON value of an answer.

    Parameters
    ----------
    type_ : type
        Which the value must have.
    body : bytes
        In UTF-8.
    name : str
        The call, for the error: as in ``'GET /studies'``.

    Raises
    ------
    UnexpectedAnswer
        ``'not JSON'``, or ``'shape'`` for another type.
    """
    try:
        value = json.loads(body.decode('utf-8'))
    except (ValueError, RecursionError):
        # The original error would hold the body
        raise UnexpectedAnswer('not JSON', name) from None
    if not isinstance(value, type_):
        raise UnexpectedAnswer('shape', name)
    return value


def parse_identifier(body: bytes, name: str) -> str:
    """Return the ``ID`` in an answer, as `find_identifier` does.

    Parameters
    ----------
    body : bytes
    name : str
        The call, for the error.
    """
    return find_identifier(parse_json(dict, body, name), 'ID', name)


def find_identifier(answer: dict[str, Any], key: str, name: str) -> str:
    """Return an identifier in an answer.

    Parameters
    ----------
    answer : dict
    key : str
    name : str
        The call, for the error.

    Raises
    ------
    UnexpectedAnswer
        ``'shape'``: it is missing, or no identifier.
    """
    value = answer.get(key)
    if not isinstance(value, str) or not is_identifier(value):
        raise UnexpectedAnswer('shape', name)
    return value


def parse_resources(body: bytes, name: str) -> list[dict[str, Any]]:
    """Return the resources in an answer.

    Parameters
    ----------
    body : bytes
    name : str
        The call, for the error.

    Returns
    -------
    list of dict

    Raises
    ------
    UnexpectedAnswer
        It is no list of objects.
    """
    values = parse_json(list, body, name)
    if not all(isinstance(value, dict) for value in values):
        raise UnexpectedAnswer('shape', name)
    return values


def error_message(body: bytes) -> str:
    """Return the message of an error of Orthanc.

    Returns
    -------
    str
        One of Orthanc's own phrases, as in ``'Bad file format'``; empty for
        anything else, which could hold data of a patient.
    """
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return ''
    message = answer.get('Message') if isinstance(answer, dict) else None
    if isinstance(message, str) and _PHRASE.fullmatch(message):
        return message
    return ''
