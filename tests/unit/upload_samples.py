# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""DICOM files and what several of them come in."""

import io
import struct
import zipfile
from collections.abc import Iterable, Mapping
from typing import Any

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

SECONDARY_CAPTURE = '1.2.840.10008.5.1.4.1.1.7'


def dataset(number: int = 1, **values: Any) -> Dataset:
    found = Dataset()
    found.SpecificCharacterSet = 'ISO_IR 192'
    found.SOPClassUID = SECONDARY_CAPTURE
    found.SOPInstanceUID = f'1.2.826.0.1.3680043.8.498.1.1.{number}'
    found.SeriesInstanceUID = '1.2.826.0.1.3680043.8.498.1.1'
    found.StudyInstanceUID = '1.2.826.0.1.3680043.8.498.1'
    found.Modality = 'OT'
    found.PatientID = 'GNU777ORG'
    found.PatientName = 'Betz^Ana María'
    found.PatientBirthDate = '19851004'
    found.PatientSex = 'F'
    for keyword, value in values.items():
        setattr(found, keyword, value)
    return found


def dicom(
        number: int = 1, syntax: str = ExplicitVRLittleEndian,
        **values: Any) -> bytes:
    """Return a file as of PS3.10."""
    found = dataset(number, **values)
    found.file_meta = FileMetaDataset()
    found.file_meta.TransferSyntaxUID = syntax
    file = io.BytesIO()
    found.save_as(file, enforce_file_format=True)
    return file.getvalue()


def bare(implicit: bool, little: bool, **values: Any) -> bytes:
    """Return a dataset without preamble and meta information."""
    file = io.BytesIO()
    dataset(**values).save_as(
        file, implicit_vr=implicit, little_endian=little)
    return file.getvalue()


def pack(contents: Iterable[bytes]) -> bytes:
    """Return files as the clients pack them."""
    return b'MULT' + b''.join(
        struct.pack('<Q', len(content)) + content for content in contents)


def archive(
        contents: Mapping[Any, bytes],
        compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a ZIP; the keys are names or what zipfile takes for them."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, 'w', compression) as found:
        for name, content in contents.items():
            found.writestr(name, content)
    return file.getvalue()
