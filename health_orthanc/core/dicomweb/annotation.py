# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a viewer makes of images: measurements, marks, segmentations.

They are read before they are stored, and name the person who has saved them.
"""

import io
import logging
import warnings
from collections.abc import Iterable
from dataclasses import dataclass

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from ..dicom.values import is_uid

__all__ = ['Annotation', 'AnnotationError', 'read_annotation']

# Orthanc 1.10 ends with those that are nested deeper
_DEEPEST = 32
# Items of all sequences of a file: each takes a hundred times its size
_MOST_ITEMS = 50_000
_ITEM_TAGS = [b'\xfe\xff\x00\xe0', b'\xff\xfe\xe0\x00']
# Bytes before the meta information
_PREAMBLE = 132
_REPORTS = {
    # Basic Text, Enhanced, Comprehensive, Comprehensive 3D SR
    '1.2.840.10008.5.1.4.1.1.88.11', '1.2.840.10008.5.1.4.1.1.88.22',
    '1.2.840.10008.5.1.4.1.1.88.33', '1.2.840.10008.5.1.4.1.1.88.34'}
_KEY_OBJECTS = '1.2.840.10008.5.1.4.1.1.88.59'
_SEGMENTATION = '1.2.840.10008.5.1.4.1.1.66.4'
_MODALITIES = {
    **dict.fromkeys(_REPORTS, 'SR'), _KEY_OBJECTS: 'KO',
    _SEGMENTATION: 'SEG'}
_UTF_8 = 'ISO_IR 192'
# DCM, Person Observer Name (PS3.16 TID 1003)
_OBSERVER_NAME = '121008'


def _is_error(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR


# pydicom's warnings quote values, which may be a patient's
warnings.filterwarnings('ignore', category=UserWarning, module='pydicom')
logging.getLogger('pydicom').addFilter(_is_error)


class AnnotationError(ValueError):
    """The file is none that a viewer may store

    Its text is ``'unreadable'``, ``'class'`` or ``'uid'``.
    """


@dataclass(frozen=True)
class Annotation:
    """A file of a viewer

    Attributes
    ----------
    dataset : Dataset
    study, series, instance : str
        UIDs.
    modality : str
    patient_id : str
        Without padding.
    """
    dataset: Dataset
    study: str
    series: str
    instance: str
    modality: str
    patient_id: str

    def signed(self, author: str) -> bytes:
        """Return the file with its author.

        What it says of authors and of a verification is replaced: a viewer
        cannot speak for anybody else.

        Parameters
        ----------
        author : str
            PN.

        Returns
        -------
        bytes

        Raises
        ------
        AnnotationError
        """
        try:
            return self._signed(author)
        except Exception as error:
            # pydicom raises whatever a value leads to
            raise AnnotationError('unreadable') from error

    def _signed(self, author: str) -> bytes:
        dataset = self.dataset
        if not author.isascii():
            dataset.decode()
            dataset.SpecificCharacterSet = _UTF_8
        if self.modality == 'SEG':
            dataset.ContentCreatorName = author
        elif self.modality == 'KO':
            _name_observer(dataset, author)
        else:
            _name_author(dataset, author)
            _rename_observers(dataset, author)
        stream = io.BytesIO()
        dataset.save_as(stream, enforce_file_format=True)
        return stream.getvalue()


def read_annotation(data: bytes) -> Annotation:
    """Read a file of a viewer.

    Parameters
    ----------
    data : bytes

    Raises
    ------
    AnnotationError
    """
    try:
        _check_size(data)
        dataset = dcmread(io.BytesIO(data))
        _check_depth(dataset)
        sop_class = str(dataset.get('SOPClassUID', ''))
        uids = [str(dataset.get(name, '')) for name in [
                'StudyInstanceUID', 'SeriesInstanceUID', 'SOPInstanceUID']]
        patient_id = str(dataset.get('PatientID', '') or '').strip()
        meta = dataset.file_meta
        same = (
            meta.get('MediaStorageSOPClassUID') == sop_class
            and meta.get('MediaStorageSOPInstanceUID') == uids[-1]
            and UID(meta.TransferSyntaxUID).is_transfer_syntax)
    except Exception as error:
        # pydicom raises whatever a value leads to
        raise AnnotationError('unreadable') from error
    if sop_class not in _MODALITIES or str(
            dataset.get('Modality', '')) != _MODALITIES[sop_class]:
        raise AnnotationError('class')
    if not same or not all(map(is_uid, uids)):
        raise AnnotationError('uid')
    study, series, instance = uids
    return Annotation(
        dataset, study, series, instance, _MODALITIES[sop_class], patient_id)


def _check_size(data: bytes) -> None:
    """Check that a file takes no more memory than its own size explains."""
    stream = io.BytesIO(data)
    stream.seek(_PREAMBLE)
    meta = read_dataset(
        stream, is_implicit_VR=False, is_little_endian=True,
        stop_when=lambda tag, vr, length: tag >> 16 != 2)
    # pydicom unpacks it without a limit
    if meta.get('TransferSyntaxUID') == DeflatedExplicitVRLittleEndian:
        raise AnnotationError('unreadable')
    if any(data.count(tag) > _MOST_ITEMS for tag in _ITEM_TAGS):
        raise AnnotationError('unreadable')


def _check_depth(dataset: Dataset) -> None:
    """Check that all of a file can be read, and how deep it is nested."""
    level: Iterable[Dataset] = [dataset]
    for _ in range(_DEEPEST):
        level = [
            item for parent in level for element in parent
            if element.VR == 'SQ' for item in element.value]
        if not level:
            return
    raise AnnotationError('unreadable')


def _name_author(dataset: Dataset, author: str) -> None:
    """Name the author of a report (PS3.3 C.17.2)."""
    item = Dataset()
    item.ObserverType = 'PSN'
    item.PersonName = author
    item.PersonIdentificationCodeSequence = Sequence()
    item.InstitutionName = ''
    item.InstitutionCodeSequence = Sequence()
    dataset.AuthorObserverSequence = Sequence([item])
    dataset.VerificationFlag = 'UNVERIFIED'
    for name in ['VerifyingObserverSequence', 'ParticipantSequence']:
        if name in dataset:
            delattr(dataset, name)


def _name_observer(dataset: Dataset, author: str) -> None:
    """Name who has marked images (PS3.16 TID 2010, TID 1003)."""
    code = Dataset()
    code.CodeValue = _OBSERVER_NAME
    code.CodingSchemeDesignator = 'DCM'
    code.CodeMeaning = 'Person Observer Name'
    item = Dataset()
    item.RelationshipType = 'HAS OBS CONTEXT'
    item.ValueType = 'PNAME'
    item.ConceptNameCodeSequence = Sequence([code])
    item.PersonName = author
    others = [
        other for other in dataset.get('ContentSequence', [])
        if not _is_observer_name(other)]
    dataset.ContentSequence = Sequence([item, *others])


def _rename_observers(dataset: Dataset, author: str) -> None:
    """Name the author wherever a report names an observer.

    `_check_depth` has bound how deep it is nested.
    """
    for item in dataset.get('ContentSequence', []):
        if _is_observer_name(item):
            item.PersonName = author
        _rename_observers(item, author)


def _is_observer_name(item: Dataset) -> bool:
    return any(
        code.get('CodeValue') == _OBSERVER_NAME
        for code in item.get('ConceptNameCodeSequence', []))
