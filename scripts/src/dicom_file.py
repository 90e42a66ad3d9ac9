# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Worklist files read and compared."""
import io
import logging
from typing import Any

import pydicom
from pydicom.datadict import keyword_for_tag
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag, Tag

TEXTS = {'LO', 'LT', 'PN', 'SH', 'ST', 'UC', 'UT'}
ESCAPE = b'\x1b'
STEP = Tag('ScheduledProcedureStepSequence')
PATIENT_ID = Tag('PatientID')

# pydicom would log values that hold patient data.
logging.getLogger('pydicom').addHandler(logging.NullHandler())
logging.getLogger('pydicom').propagate = False


class BadDicom(ValueError):
    """A file is not a worklist file."""


def read_dicom(data: bytes) -> Dataset:
    """Return the dataset of a worklist file.

    Raises
    ------
    BadDicom
        If it has not one scheduled procedure step and a Patient ID.
    """
    try:
        dataset = pydicom.dcmread(io.BytesIO(data))
        elements = flatten(dataset)
    except Exception:
        # pydicom raises many types of errors for damaged files.
        raise BadDicom from None
    _, patient_id = elements.get((PATIENT_ID,), ('', ''))
    if elements.get((STEP,)) != 1 or not patient_id:
        raise BadDicom
    return dataset


def flatten(
        dataset: Dataset, path: tuple[int, ...] = ()
        ) -> dict[tuple[int, ...], Any]:
    """Return VR and value of each element by its path of tags.

    For a sequence it is the number of its items.  File meta information,
    group lengths, padding and the way in which a text switches between
    character sets are no part of it.
    """
    elements: dict[tuple[int, ...], Any] = {}
    for tag in dataset.keys():
        if not tag.element:
            continue
        element = dataset.get_item(tag)
        if element.VR == 'SQ':
            items = dataset[tag].value or []
            elements[(*path, tag)] = len(items)
            for number, item in enumerate(items):
                elements.update(flatten(item, (*path, tag, number)))
            continue
        elements[(*path, tag)] = (
            element.VR, normalize_value(dataset, tag, element))
    return elements


def normalize_value(dataset: Dataset, tag: BaseTag, element: Any) -> str:
    """Return the values without padding, decoded if they are text."""
    value = element.value
    if not isinstance(value, bytes):
        return str(value)
    if element.VR in TEXTS and (not value.isascii() or ESCAPE in value):
        decoded = dataset[tag].value
        if not isinstance(decoded, MultiValue):
            decoded = [decoded]
        text = '\\'.join(str(one).strip(' ') for one in decoded)
        if '\ufffd' not in text:
            return text
    parts = value.decode('latin-1').split('\\')
    return '\\'.join(part.strip(' \0') for part in parts)


def differences(expected: Dataset, found: Dataset) -> list[str]:
    """Return the keywords of the elements that differ."""
    left, right = flatten(expected), flatten(found)
    tags = {
        BaseTag(path[-1]) for path in {**left, **right}
        if left.get(path) != right.get(path)}
    return sorted({keyword_for_tag(tag) or str(tag) for tag in tags})
