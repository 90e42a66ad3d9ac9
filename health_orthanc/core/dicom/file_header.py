# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Header of a DICOM file: is it an instance, and whose (PS3.10 §7).

The beginning of a file is read; if the patient comes later, what is between
is passed over.
"""

import datetime as dt
import enum
import io
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, NamedTuple, Union

from pydicom.charset import convert_encodings, decode_bytes
from pydicom.dataelem import RawDataElement
from pydicom.filereader import data_element_generator
from pydicom.valuerep import VR

from .charsets import decode_name
from .element_search import TooLong, find_elements
from .values import clean_text, display_names, parse_date

__all__ = [
    'ARCHIVES', 'HEAD_LIMIT', 'Header', 'Reason', 'Unusable',
    'read_file_header', 'read_header']

# First bytes of a ZIP: normal, empty, of several volumes
ARCHIVES = (b'PK\3\4', b'PK\5\6', b'PK\7\x08')
# The identifying attributes are usually in so many bytes
HEAD_LIMIT = 2**20
_TEXT_LIMIT = 324  # characters, more than any value may have (PS3.5 §6.2)

_PREAMBLE, _PREFIX = 128, b'DICM'
_DEFLATED, _BIG_ENDIAN = '1.2.840.10008.1.2.1.99', '1.2.840.10008.1.2.2'
_DIRECTORY = '1.2.840.10008.1.3.10'
_MEDIA_CLASS, _SYNTAX, _CHARSET = 0x00020002, 0x00020010, 0x00080005
_VALUES = {
    'sop_class': 0x00080016,
    'instance_uid': 0x00080018,
    'accession_number': 0x00080050,
    'modality': 0x00080060,
    'patient_name': 0x00100010,
    'patient_id': 0x00100020,
    'issuer': 0x00100021,
    'birth_date': 0x00100030,
    'sex': 0x00100040,
    'study_uid': 0x0020000D,
    'series_uid': 0x0020000E,
    }
_LAST = 0x0020000E
# An archive needs these to store it (PS3.3 A.1)
_NEEDED = ['instance_uid', 'study_uid', 'series_uid']
_VRS = {vr.value.encode() for vr in VR if len(vr.value) == 2}
_Element = Union[RawDataElement, '_Value']
_TEXT_DELIMITERS = {ord('\\')}


class Reason(enum.Enum):
    """Why a file cannot be uploaded as a DICOM instance"""
    EMPTY = 'empty'
    NOT_DICOM = 'not_dicom'
    DIRECTORY = 'directory'  # DICOMDIR: it only lists other files
    HEADER = 'header'  # it begins like DICOM but cannot be read
    INCOMPLETE = 'incomplete'  # there is no instance, series or study UID
    NO_CLASS = 'no_class'  # there is no SOP class UID
    LONG = 'long'  # too much comes before the patient and the UIDs
    ARCHIVE = 'archive'  # an archive inside of another
    ENCRYPTED = 'encrypted'
    NAME = 'name'  # its path leads out of the folder
    LINK = 'link'  # not a file but a link to one
    METHOD = 'method'  # an unknown compression
    DAMAGED = 'damaged'
    TRUNCATED = 'truncated'  # shorter than declared
    TOO_LARGE = 'too_large'
    TOO_MANY = 'too_many'
    BOMB = 'bomb'  # a ZIP bomb

    @property
    def passenger(self) -> bool:
        """bool : whether such files accompany images on every CD"""
        return self in {Reason.DIRECTORY, Reason.EMPTY, Reason.NOT_DICOM}

    @property
    def needs_more(self) -> bool:
        """bool : whether a longer beginning of the file may suffice"""
        return self in {Reason.HEADER, Reason.INCOMPLETE, Reason.NO_CLASS}


class Unusable(ValueError):
    """A file that cannot be uploaded, or an archive that cannot be read

    Attributes
    ----------
    reason : Reason
    """

    def __init__(self, reason: Reason):
        super().__init__(reason.value)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Header:
    """The attributes that identify an instance

    Attributes
    ----------
    patient_name : str
        The PN (0010,0010) with all its groups.
    birth_date : date or None
        None also if it is malformed.
    sop_class, instance_uid, series_uid, study_uid : str
        Never empty.
    charset : str
        SpecificCharacterSet (0008,0005), as in the file.
    is_name_complete : bool
        Whether every letter of the name could be read.
    """
    sop_class: str
    instance_uid: str
    series_uid: str
    study_uid: str
    patient_id: str = ''
    issuer: str = ''
    patient_name: str = ''
    birth_date: dt.date | None = None
    sex: str = ''
    accession_number: str = ''
    modality: str = ''
    charset: str = field(default='', compare=False)
    is_name_complete: bool = field(default=True, compare=False)

    @property
    def display_name(self) -> str:
        """str : the patient's name for people to read"""
        return display_names(self.patient_name)


def read_header(head: bytes) -> Header:
    """Return the header of a file from its first bytes.

    The file is DICOM as of PS3.10, or a dataset without preamble and meta
    information.

    Parameters
    ----------
    head : bytes
        The first `HEAD_LIMIT` bytes, or the whole file.

    Raises
    ------
    Unusable
    """
    if not head:
        raise Unusable(Reason.EMPTY)
    # Orthanc takes a preamble that begins so for a ZIP archive
    if head.startswith(ARCHIVES):
        raise Unusable(Reason.ARCHIVE)
    is_file = _is_file(head)
    if not is_file and not _may_be_dataset(head):
        raise Unusable(Reason.NOT_DICOM)
    try:
        return _read(head[_dataset_start(head):])
    except Unusable:
        raise
    except Exception:
        # pydicom raises many errors for bytes that are no DICOM
        raise Unusable(
            Reason.HEADER if is_file else Reason.NOT_DICOM) from None


def read_file_header(file: BinaryIO, size: int) -> Header:
    """Return the header of a file, however far it is from its beginning.

    Parameters
    ----------
    file : binary file
        Seekable, at its beginning.
    size : int
        Bytes of the whole file.

    Raises
    ------
    Unusable
    """
    head = file.read(HEAD_LIMIT)
    try:
        return read_header(head)
    except Unusable as error:
        if size <= len(head) or not error.reason.needs_more:
            raise
    try:
        return _read_on(file, head)
    except Unusable:
        raise
    except TooLong:
        raise Unusable(Reason.LONG) from None
    except Exception:
        raise Unusable(Reason.HEADER) from None


def _read_on(file: BinaryIO, head: bytes) -> Header:
    start = _dataset_start(head)
    meta, length = _read_meta(head[start:])
    syntax = _text(meta.get(_SYNTAX))
    if syntax == _DEFLATED:
        raise TooLong
    start += length
    beginning = head[start:start + 6]
    file.seek(start)
    return _header({
            tag: _Value(value) for tag, value in find_elements(
                file, beginning[4:6] not in _VRS,
                _is_little(beginning, syntax),
                {_CHARSET, *_VALUES.values()}, _LAST).items()})


class _Value(NamedTuple):
    """The value of an element"""
    value: bytes


def _is_file(head: bytes) -> bool:
    return head[_PREAMBLE:].startswith(_PREFIX)


def _dataset_start(head: bytes) -> int:
    return _PREAMBLE + len(_PREFIX) if _is_file(head) else 0


def _is_little(data: bytes, syntax: str) -> bool:
    return not (
        syntax == _BIG_ENDIAN or not syntax and data.startswith(b'\0\x08'))


def _may_be_dataset(head: bytes) -> bool:
    """Return whether the first tag is in group 0002 or 0008."""
    return len(head) >= 12 and head[:2] in {b'\2\0', b'\x08\0', b'\0\x08'}


def _read(data: bytes) -> Header:
    meta, start = _read_meta(data)
    media_class, syntax = (
        _text(meta.get(tag)) for tag in [_MEDIA_CLASS, _SYNTAX])
    if media_class == _DIRECTORY:
        raise Unusable(Reason.DIRECTORY)
    data = data[start:]
    if syntax == _DEFLATED:
        # pydicom would inflate all of it, however large
        data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, HEAD_LIMIT)
    elements, _ = _elements(
        data, _is_little(data, syntax), _VALUES.values(), _LAST)
    if not elements:
        raise ValueError("nothing is known of it")
    return _header(elements)


def _read_meta(data: bytes) -> tuple[dict[int, RawDataElement], int]:
    """Return the meta information, and its length."""
    if not data.startswith(b'\2\0'):
        return {}, 0
    return _elements(data, True, [_MEDIA_CLASS, _SYNTAX], 0x0002FFFF)


def _elements(
        data: bytes, little: bool, tags: Iterable[int],
        last: int) -> tuple[dict[int, RawDataElement], int]:
    file = io.BytesIO(data)
    found = {}
    for element in data_element_generator(
            file, data[4:6] not in _VRS, little,
            stop_when=lambda tag, vr, length: tag > last,
            specific_tags=list(tags)):
        if isinstance(element, RawDataElement):
            if element.value and len(element.value) < element.length:
                raise Unusable(Reason.HEADER)
            found[int(element.tag)] = element
    return found, file.tell()


def _header(elements: Mapping[int, _Element]) -> Header:
    charset = _text(elements.get(_CHARSET))
    encodings = _encodings(charset)
    values = {
        name: _text(elements.get(tag), encodings)
        for name, tag in _VALUES.items()}
    name = decode_name(_value(elements.get(_VALUES['patient_name'])), charset)
    values['patient_name'] = name.text[:_TEXT_LIMIT]
    if not all(values[name] for name in _NEEDED):
        raise Unusable(Reason.INCOMPLETE)
    if not values['sop_class']:
        raise Unusable(Reason.NO_CLASS)
    try:
        birth_date = parse_date(values['birth_date'])
    except ValueError:
        birth_date = None
    texts = {k: v for k, v in values.items() if k != 'birth_date'}
    return Header(
        **texts, birth_date=birth_date, charset=charset,
        is_name_complete=name.is_complete)


def _encodings(charset: str) -> Sequence[str]:
    try:
        return convert_encodings(charset.split('\\'))
    except LookupError:
        return ('latin-1',)


def _value(element: _Element | None) -> bytes:
    if element is None or not element.value:
        return b''
    return bytes(element.value[:4 * _TEXT_LIMIT])


def _text(
        element: _Element | None,
        encodings: Sequence[str] = ('latin-1',)) -> str:
    text = decode_bytes(_value(element), encodings, _TEXT_DELIMITERS)
    return clean_text(text.rstrip('\0'))[:_TEXT_LIMIT]
