# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of DICOMweb requests (PS3.18 §8.3.4, §8.3.5).

Each has a form of its own; whatever has another one, or is not listed, is
refused and not ignored: an ignored filter would find more than was asked for.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

from ..dicom.values import parse_date
from .resource_path import Resource

__all__ = ['QueryError', 'StudySearch', 'parse_query', 'parse_study_search']

# Studies of a page, if nobody says how many; and at most
_PAGE, _LARGEST_PAGE = 100, 1000
# UIDs in one search
_MOST_UIDS = 200
# Orthanc 1.10 crashes on images whose size overflows
_LARGEST_IMAGE = 4096
_UID = re.compile(r'[0-9]+(\.[0-9]+)*')
_TEXT = re.compile(r'[^\x00-\x1f\\\x7f-\x9f]{0,64}')
_CODE = re.compile('[A-Z0-9_ ]{1,16}')
_FIELDS = re.compile('(?:[0-9A-Fa-f]{8}|[A-Za-z0-9]{1,64})')
_DECIMAL = re.compile('-?[0-9]{1,10}([.][0-9]{1,10})?')

# The keyword of each attribute that may be searched by, by its tag
_STUDY_TAGS = {
    '0020000D': 'StudyInstanceUID', '00100020': 'PatientID',
    '00100010': 'PatientName', '00080020': 'StudyDate',
    '00080050': 'AccessionNumber', '00080061': 'ModalitiesInStudy',
    '00081030': 'StudyDescription', '00200010': 'StudyID'}
_SERIES_TAGS = {
    '0020000E': 'SeriesInstanceUID', '00080060': 'Modality',
    '00200011': 'SeriesNumber', '0008103E': 'SeriesDescription'}
_INSTANCE_TAGS = {
    '00080018': 'SOPInstanceUID', '00080016': 'SOPClassUID',
    '00200013': 'InstanceNumber'}


class QueryError(ValueError):
    """A parameter is not known, or has another form"""


@dataclass(frozen=True)
class StudySearch:
    """A search for studies

    Attributes
    ----------
    filters : mapping
        Texts by keyword; without StudyInstanceUID.
    uids : tuple of str
        Study Instance UIDs; empty if all studies are meant.
    limit, offset : int
    fields : tuple of str
        Keywords or tags of further attributes to return.
    """
    filters: Mapping[str, str] = field(default_factory=dict)
    uids: tuple[str, ...] = ()
    limit: int = _PAGE
    offset: int = 0
    fields: tuple[str, ...] = ()


Pairs = Iterable[tuple[str, str]]


def parse_study_search(pairs: Pairs) -> StudySearch:
    """Return a search for studies.

    Parameters
    ----------
    pairs : iterable of tuple of str
        Names and values, decoded.

    Raises
    ------
    QueryError
    """
    values, fields = _split(pairs, _STUDY_TAGS)
    limit = _number(values.pop('limit', str(_PAGE)), _LARGEST_PAGE)
    offset = _number(values.pop('offset', '0'), 10**6)
    uids = _uids(values.pop('StudyInstanceUID', ''))
    for name, value in values.items():
        _FORMS.get(name, _text)(value)
    return StudySearch(
        {n: v for n, v in values.items() if v}, uids, limit, offset, fields)


def parse_query(resource: Resource, pairs: Pairs) -> str:
    """Return the query of a request that is passed on.

    Parameters
    ----------
    resource : Resource
        Other than a search for studies.
    pairs : iterable of tuple of str
        Names and values, decoded.

    Returns
    -------
    str
        Encoded, made of what was understood.

    Raises
    ------
    QueryError
    """
    if resource.kind in _SEARCHES:
        values, fields = _split(pairs, _SEARCHES[resource.kind])
        for name, value in values.items():
            _FORMS.get(name, _text)(value)
        return urlencode([
                *values.items(), *(('includefield', f) for f in fields)])
    if resource.kind in {'rendered', 'thumbnail'}:
        values = _once(pairs)
        for name, value in values.items():
            _RENDERING.get(name, _unknown)(value)
        return urlencode(values)
    if list(pairs):
        raise QueryError("no parameters")
    return ''


def _split(
        pairs: Pairs, tags: Mapping[str, str]
        ) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return parameters by keyword, and the attributes to return."""
    pairs = list(pairs)
    fields = tuple(
        name for key, value in pairs if key == 'includefield'
        for name in value.split(',') if name)
    if len(fields) > 200 or not all(map(_FIELDS.fullmatch, fields)):
        raise QueryError("includefield")
    values = _once(
        (tags.get(name.upper(), name), value) for name, value in pairs
        if name != 'includefield')
    if values.pop('fuzzymatching', 'false') != 'false':
        raise QueryError("fuzzymatching")
    if not values.keys() <= {*tags.values(), 'limit', 'offset'}:
        raise QueryError("unknown parameter")
    return values, fields


def _once(pairs: Pairs) -> dict[str, str]:
    values: dict[str, str] = {}
    for name, value in pairs:
        if name in values:
            raise QueryError("parameter given twice")
        values[name] = value
    return values


def _unknown(value: str) -> None:
    raise QueryError("unknown parameter")


def _number(value: str, most: int) -> int:
    if not re.fullmatch('[0-9]{1,7}', value) or int(value) > most:
        raise QueryError("not a number in range")
    return int(value)


def _uids(value: str) -> tuple[str, ...]:
    uids = tuple(re.split(r'[,\\]', value)) if value else ()
    if len(uids) > _MOST_UIDS or not all(
            len(uid) <= 64 and _UID.fullmatch(uid) for uid in uids):
        raise QueryError("not a UID")
    return uids


def _uid(value: str) -> None:
    if len(value) > 64 or not _UID.fullmatch(value):
        raise QueryError("not a UID")


def _text(value: str) -> None:
    if not _TEXT.fullmatch(value):
        raise QueryError("not a text")


def _code(value: str) -> None:
    if not _CODE.fullmatch(value):
        raise QueryError("not a code")


def _dates(value: str) -> None:
    """Check a date or a range of dates."""
    try:
        for date in value.split('-', 1):
            parse_date(date)
    except ValueError:
        raise QueryError("not a date") from None


def _viewport(value: str) -> None:
    parts = value.split(',')
    if len(parts) not in {2, 6} or not all(
            _number(part, _LARGEST_IMAGE) for part in parts[:2]):
        raise QueryError("viewport")
    for part in parts[2:]:
        if part and not _DECIMAL.fullmatch(part):
            raise QueryError("viewport")


def _window(value: str) -> None:
    center, _, rest = value.partition(',')
    width, _, function = rest.partition(',')
    if function not in {'linear', 'linear-exact', 'sigmoid'} or not all(
            map(_DECIMAL.fullmatch, [center, width])):
        raise QueryError("window")


_SEARCHES = {
    'search_series': _SERIES_TAGS,
    'search_instances': _SERIES_TAGS | _INSTANCE_TAGS,
    }
_FORMS: dict[str, Callable[[str], object]] = {
    'StudyDate': _dates, 'ModalitiesInStudy': _code, 'Modality': _code,
    'SeriesInstanceUID': _uid, 'SOPInstanceUID': _uid, 'SOPClassUID': _uid,
    'SeriesNumber': lambda value: _number(value, 10**7),
    'InstanceNumber': lambda value: _number(value, 10**7),
    'limit': lambda value: _number(value, 10**6),
    'offset': lambda value: _number(value, 10**6),
    }
_RENDERING: dict[str, Callable[[str], object]] = {
    'viewport': _viewport, 'window': _window,
    'quality': lambda value: _number(value, 100),
    }
