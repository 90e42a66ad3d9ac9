# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Synthetic DICOM studies: nobody's images, of nobody."""
import datetime as dt
import io
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom.data
import pydicom.datadict
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    ComputedRadiographyImageStorage, CTImageStorage,
    DigitalXRayImageStorageForPresentation, EnhancedSRStorage,
    ExplicitVRLittleEndian, MRImageStorage, UltrasoundMultiFrameImageStorage,
    generate_uid)

__all__ = [
    'Patient',
    'charset_files',
    'make_bulk',
    'make_dataset',
    'make_series',
    'make_study',
    'packaged_files',
    ]

STORAGE = {
    'CR': ComputedRadiographyImageStorage,
    'CT': CTImageStorage,
    'DX': DigitalXRayImageStorageForPresentation,
    'MR': MRImageStorage,
    'SR': EnhancedSRStorage,
    'US': UltrasoundMultiFrameImageStorage,
    }
BODY_PARTS = {
    'CR': 'CHEST', 'CT': 'HEAD', 'DX': 'CHEST', 'MR': 'HEAD', 'US': 'ABDOMEN'}
MANUFACTURER = "Synthetic"


@dataclass(frozen=True)
class Patient:
    """Who the modality says was there; None leaves an element out.

    Attributes
    ----------
    name
        DICOM PN.
    birth_date
        DICOM DA.
    sex
        M, F or O.
    """
    name: str | None = "Phantom^Synthetic"
    id: str | None = 'PHANTOM'
    birth_date: str | None = '19700101'
    sex: str | None = 'O'

    def tags(self) -> dict[str, str]:
        tags = {
            'PatientName': self.name,
            'PatientID': self.id,
            'PatientBirthDate': self.birth_date,
            'PatientSex': self.sex,
            }
        return {
            keyword: value for keyword, value in tags.items()
            if value is not None}


def make_study(
        modality: str = 'CT', patient: Patient = Patient(), *,
        series: int = 2, instances: int = 10, rows: int = 256,
        frames: int = 12, charset: str = 'ISO_IR 192',
        date: dt.datetime = dt.datetime(2026, 3, 2, 9, 30),
        **tags: object) -> list[Dataset]:
    """Return the instances of a new study.

    Parameters
    ----------
    modality
        CT, MR (slices of a head), US (cine loops), CR, DX (chests), or SR
        (documents).
    instances
        In each series.
    rows
        Height and width of the images in pixels.
    frames
        Of each US instance.
    charset
        SpecificCharacterSet; text must be encodable in it.
    date
        When the study began.
    tags
        Elements by keyword, for all instances; None removes an element.
    """
    study = {
        'SpecificCharacterSet': charset,
        'StudyInstanceUID': generate_uid(),
        'StudyDate': date.strftime('%Y%m%d'),
        'StudyTime': date.strftime('%H%M%S'),
        'StudyID': date.strftime('%m%d%H%M'),
        'StudyDescription': f"{modality} {_region(modality)}".strip(),
        'AccessionNumber': '',
        'ReferringPhysicianName': '',
        'InstitutionName': "Synthetic Hospital",
        **patient.tags(),
        }
    datasets = []
    for number in range(1, series + 1):
        datasets += _make_series(
            modality, number, instances, rows, frames, date, {**study, **tags})
    return datasets


def make_dataset(modality: str = 'CT', **tags: object) -> Dataset:
    """Return a study of one small image, with elements by keyword."""
    dataset, = make_study(
        modality, series=1, instances=1, rows=16, frames=2, **tags)
    return dataset


def make_series(
        entry: Dataset, number: int, instances: int = 2) -> list[Dataset]:
    """Return CT images of a step, as a modality makes them.

    Parameters
    ----------
    entry
        What the worklist has answered; in one study with others of its UID.
    number
        Of the series.
    """
    step, = entry.ScheduledProcedureStepSequence
    datasets = make_study(
        'CT', series=1, instances=instances, rows=16,
        StudyInstanceUID=entry.StudyInstanceUID,
        AccessionNumber=entry.AccessionNumber,
        PatientName=entry.PatientName, PatientID=entry.PatientID,
        PatientBirthDate=entry.PatientBirthDate,
        PatientSex=entry.PatientSex,
        StudyDate=step.ScheduledProcedureStepStartDate,
        StudyDescription=entry.RequestedProcedureDescription,
        SeriesNumber=number)
    item = Dataset()
    item.RequestedProcedureID = entry.RequestedProcedureID
    item.ScheduledProcedureStepID = step.ScheduledProcedureStepID
    for dataset in datasets:
        dataset.RequestAttributesSequence = [item]
    return datasets


def _region(modality: str) -> str:
    return BODY_PARTS.get(modality, '').capitalize()


def _make_series(
        modality: str, number: int, instances: int, rows: int, frames: int,
        date: dt.datetime, tags: dict[str, object]) -> Iterator[Dataset]:
    start = date + dt.timedelta(minutes=5 * number)
    common = {
        'SeriesInstanceUID': generate_uid(),
        'FrameOfReferenceUID': generate_uid(),
        'SeriesNumber': number,
        'SeriesDate': start.strftime('%Y%m%d'),
        'SeriesTime': start.strftime('%H%M%S'),
        'SeriesDescription': f"{_region(modality) or modality} {number}",
        'Modality': modality,
        'Manufacturer': MANUFACTURER,
        'StationName': f'{modality}1',
        }
    if modality in BODY_PARTS:
        common['BodyPartExamined'] = BODY_PARTS[modality]
    for index in range(instances):
        dataset = _new_dataset(STORAGE[modality])
        _set(dataset, common)
        dataset.InstanceNumber = index + 1
        _FILL[modality](dataset, index, instances, rows, frames, number)
        _set(dataset, tags)
        yield dataset


def _new_dataset(sop_class: str) -> Dataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = sop_class
    meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset = Dataset()
    dataset.file_meta = meta
    dataset.SOPClassUID = sop_class
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    return dataset


def _set(dataset: Dataset, tags: dict[str, object]) -> None:
    for keyword, value in tags.items():
        if value is not None:
            setattr(dataset, keyword, value)
        elif keyword in dataset:
            delattr(dataset, keyword)


def _set_pixels(dataset: Dataset, pixels: np.ndarray, bits: int) -> None:
    """Store grey values; a third dimension, the first one, is frames."""
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = 'MONOCHROME2'
    dataset.Rows, dataset.Columns = pixels.shape[-2:]
    dataset.BitsAllocated = 8 if bits <= 8 else 16
    dataset.BitsStored = bits
    dataset.HighBit = bits - 1
    dataset.PixelRepresentation = 0
    dtype = np.uint8 if bits <= 8 else np.dtype('<u2')
    data = pixels.clip(0, 2 ** bits - 1).astype(dtype).tobytes()
    dataset.PixelData = data + b'\0' * (len(data) % 2)


def _grid(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the coordinates of the pixels, -1 to 1, y and x."""
    return np.mgrid[-1:1:rows * 1j, -1:1:rows * 1j]


def _ellipse(
        grid: tuple[np.ndarray, np.ndarray], center: tuple[float, float],
        radii: tuple[float, float], softness: float = 0.02) -> np.ndarray:
    """Return 1 inside of an ellipse, 0 outside, with a soft edge."""
    y, x = grid
    distance = np.hypot(
        (y - center[0]) / radii[0], (x - center[1]) / radii[1])
    return ((1 - distance) / softness + 0.5).clip(0, 1)


def _noise(shape: tuple[int, ...], scale: float, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, scale, shape)


def _head(rows: int, height: float, tissue: dict[str, float]) -> np.ndarray:
    """Return a slice of a head at `height`, -1 (neck) to 1 (top)."""
    grid = _grid(rows)
    size = 0.35 + 0.6 * np.sqrt(max(0, 1 - height ** 2))
    skull = _ellipse(grid, (0, 0), (0.92 * size, 0.74 * size))
    brain = _ellipse(grid, (0, 0), (0.84 * size, 0.66 * size))
    image = tissue['air'] + skull * (tissue['bone'] - tissue['air'])
    image += brain * (tissue['brain'] - tissue['bone'])
    ventricle = 0.24 * size * max(0, 1 - abs(height) * 1.6)
    for side in (-1, 1):
        if ventricle:
            image += (tissue['water'] - tissue['brain']) * _ellipse(
                grid, (-0.05, side * 0.13), (ventricle, ventricle / 3), 0.1)
    folds = np.sin(26 * grid[0] + 9 * np.sin(17 * grid[1] + 4 * height))
    return image + brain * folds * tissue['contrast']


def _height(index: int, count: int) -> float:
    return -0.75 + 1.6 * (index + 0.5) / count


def _fill_slice(
        dataset: Dataset, index: int, spacing: float, rows: int) -> None:
    position = index * spacing
    dataset.SliceThickness = spacing
    dataset.SliceLocation = position
    dataset.ImagePositionPatient = [-120, -120, position]
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.PixelSpacing = [round(240 / rows, 4)] * 2


def _fill_ct(dataset, index, instances, rows, frames, seed) -> None:
    """Hounsfield units, stored with an offset of 1024."""
    tissue = {
        'air': 24, 'bone': 1900, 'brain': 1062, 'water': 1030,
        'contrast': 6}
    image = _head(rows, _height(index, instances), tissue)
    image += _noise(image.shape, 5, 100 * seed + index)
    dataset.ImageType = ['ORIGINAL', 'PRIMARY', 'AXIAL']
    dataset.KVP = 120
    dataset.RescaleIntercept = -1024
    dataset.RescaleSlope = 1
    dataset.WindowCenter = 40
    dataset.WindowWidth = 120
    _fill_slice(dataset, index, 5.0, rows)
    _set_pixels(dataset, image, 12)


def _fill_mr(dataset, index, instances, rows, frames, seed) -> None:
    tissue = {
        'air': 12, 'bone': 90, 'brain': 520, 'contrast': 90,
        'water': 180 if seed % 2 else 900}
    image = _head(rows, _height(index, instances), tissue)
    image += abs(_noise(image.shape, 14, 200 * seed + index))
    dataset.ImageType = ['ORIGINAL', 'PRIMARY', 'M']
    dataset.ScanningSequence = 'SE'
    dataset.SequenceVariant = 'NONE'
    dataset.MRAcquisitionType = '2D'
    dataset.EchoTime = 15 if seed % 2 else 90
    dataset.RepetitionTime = 500 if seed % 2 else 4000
    dataset.MagneticFieldStrength = 1.5
    dataset.WindowCenter = 450
    dataset.WindowWidth = 900
    _fill_slice(dataset, index, 4.0, rows)
    _set_pixels(dataset, image, 12)


def _fill_cr(dataset, index, instances, rows, frames, seed) -> None:
    image = _chest(rows) + _noise((rows, rows), 25, 300 * seed + index)
    dataset.ImageType = ['ORIGINAL', 'PRIMARY']
    dataset.ViewPosition = 'PA' if index % 2 == 0 else 'LL'
    dataset.WindowCenter = 2000
    dataset.WindowWidth = 4000
    dataset.PixelSpacing = [round(400 / rows, 4)] * 2
    _set_pixels(dataset, image, 12)


def _chest(rows: int) -> np.ndarray:
    grid = _grid(rows)
    image = 250 + 2200 * _ellipse(grid, (0.25, 0), (1.35, 0.93), 0.05)
    for side in (-1, 1):
        lung = _ellipse(grid, (-0.05, side * 0.44), (0.68, 0.33), 0.12)
        image -= 1500 * lung
        for rib in range(7):
            center = (-0.85 + 0.24 * rib, side * 0.2)
            outer = _ellipse(grid, center, (0.42, 0.66), 0.02)
            inner = _ellipse(grid, center, (0.38, 0.62), 0.02)
            image += 260 * (outer - inner) * (grid[0] < center[0])
        image += 380 * _ellipse(
            grid, (-0.78, side * 0.42), (0.035, 0.4), 0.3)
    image += 900 * _ellipse(grid, (0.22, 0.17), (0.4, 0.3), 0.2)
    image += 700 * _ellipse(grid, (0, 0), (1.4, 0.09), 0.3)
    return image


def _fill_us(dataset, index, instances, rows, frames, seed) -> None:
    loop = np.stack([
            _fan(rows, 2 * np.pi * frame / frames, 400 * seed + index)
            for frame in range(frames)])
    dataset.ImageType = ['ORIGINAL', 'PRIMARY', 'ABDOMINAL', '0001']
    dataset.NumberOfFrames = frames
    dataset.FrameTime = 40
    dataset.FrameIncrementPointer = 0x00181063
    _set_pixels(dataset, loop, 8)


def _fan(rows: int, phase: float, seed: int) -> np.ndarray:
    """Return one frame of a cyst that beats in speckled tissue."""
    grid = _grid(rows)
    y, x = grid
    depth = np.hypot(y + 1.1, x)
    inside = (abs(np.arctan2(x, y + 1.1)) < 0.62) & (
        (depth > 0.25) & (depth < 2.0))
    speckle = np.random.default_rng(seed).rayleigh(48, (rows, rows))
    radius = 0.26 + 0.05 * np.sin(phase)
    cyst = _ellipse(grid, (0.05, -0.08), (radius, 1.2 * radius), 0.15)
    wall = _ellipse(grid, (0.05, -0.08), (radius + .05, 1.2 * radius + .05),
        0.15)
    bands = 26 * np.sin(14 * depth + 2 * x) + 40 * (wall - cyst)
    return inside * (1 - 0.92 * cyst) * (speckle + bands)


def _fill_sr(dataset, index, instances, rows, frames, seed) -> None:
    """A document with one sentence: no pixels (PS3.3 A.35.2)."""
    title = _code('18748-4', 'LN', "Diagnostic imaging report")
    text = Dataset()
    text.RelationshipType = 'CONTAINS'
    text.ValueType = 'TEXT'
    text.ConceptNameCodeSequence = [_code('121071', 'DCM', "Finding")]
    text.TextValue = "Nothing but phantoms."
    dataset.ContentDate = '20260302'
    dataset.ContentTime = '100000'
    dataset.CompletionFlag = 'COMPLETE'
    dataset.VerificationFlag = 'UNVERIFIED'
    dataset.ReferencedPerformedProcedureStepSequence = []
    dataset.PerformedProcedureCodeSequence = []
    dataset.ValueType = 'CONTAINER'
    dataset.ContinuityOfContent = 'SEPARATE'
    dataset.ConceptNameCodeSequence = [title]
    dataset.ContentSequence = [text]


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue = value
    code.CodingSchemeDesignator = scheme
    code.CodeMeaning = meaning
    return code


_FILL: dict[str, Callable] = {
    'CR': _fill_cr,
    'CT': _fill_ct,
    'DX': _fill_cr,
    'MR': _fill_mr,
    'SR': _fill_sr,
    'US': _fill_us,
    }


def make_bulk(
        studies: int, series: int, instances: int, *, prefix: str = 'B',
        patients: Sequence[str] = ()) -> Iterator[bytes]:
    """Yield the files of many small CT studies, as fast as can be.

    One file is made with pydicom; the others are copies of it in which
    values of equal length are put in place.

    Parameters
    ----------
    series, instances
        Of each study, of each series.
    prefix
        Of the PatientIDs, before the number of the study, six digits.
    patients
        PatientIDs to use in turn instead; all of one length.
    """
    root = generate_uid()[:40].rstrip('.')
    template = _BulkTemplate(prefix, root, patients)
    for study in range(studies):
        for number in range(series):
            for instance in range(instances):
                yield template.file(study, number, instance)


class _BulkTemplate:
    """One DICOM file with places for what differs between files."""

    def __init__(self, prefix: str, root: str, patients: Sequence[str]):
        self._prefix = prefix
        self._patients = patients
        self._root = root
        dataset, = make_study(
            'CT', Patient(name='@NAME@', id=self._patient_id(0)), series=1,
            instances=1, rows=16)
        # pydicom would strip the padding of numbers.
        values = {
            **self._values(0, 0, 0),
            'SeriesNumber': '111111', 'InstanceNumber': '222222'}
        for keyword, value in values.items():
            setattr(dataset, keyword, value)
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        stream = io.BytesIO()
        dataset.save_as(stream, enforce_file_format=True)
        self._data = stream.getvalue()
        self._places = self._find_places(values)

    def _patient_id(self, study: int) -> str:
        if self._patients:
            return self._patients[study % len(self._patients)]
        return f'{self._prefix}{study:06}'

    def _values(self, study: int, series: int, instance: int
            ) -> dict[str, str]:
        uid = f'{self._root}.1{study:06}'
        series_uid = f'{uid}.1{series:03}'
        return {
            'PatientID': self._patient_id(study),
            'PatientName': f'Bulk^Study {study:06}',
            'StudyInstanceUID': uid,
            'SeriesInstanceUID': series_uid,
            'SOPInstanceUID': f'{series_uid}.1{instance:04}',
            'SeriesNumber': str(series + 1),
            'InstanceNumber': str(instance + 1),
            }

    def _find_places(self, values: dict[str, str]
            ) -> list[tuple[int, int, str]]:
        """Return where values lie: start, end, keyword.

        Elements in explicit VR little endian: tag, VR, two bytes of
        length, value (PS3.5 7.1.2).
        """
        places = []
        for keyword, value in values.items():
            tag = pydicom.datadict.tag_for_keyword(keyword)
            header = struct.pack('<HH', tag >> 16, tag & 0xffff)
            header += pydicom.datadict.dictionary_VR(tag).encode()
            encoded = value.encode()
            if len(encoded) % 2:
                encoded += b'\0' if keyword.endswith('UID') else b' '
            element = header + struct.pack('<H', len(encoded)) + encoded
            start = self._data.index(element) + 8
            places.append((start, start + len(encoded), keyword))
        places.append(self._meta_place(values['SOPInstanceUID']))
        return sorted(places)

    def _meta_place(self, uid: str) -> tuple[int, int, str]:
        start = self._data.index(uid.encode())
        return start, start + len(uid) + len(uid) % 2, 'SOPInstanceUID'

    def file(self, study: int, series: int, instance: int) -> bytes:
        values = self._values(study, series, instance)
        data = bytearray(self._data)
        for start, end, keyword in self._places:
            padding = b'\0' if keyword.endswith('UID') else b' '
            value = values[keyword].encode().ljust(end - start, padding)
            data[start:end] = value
        return bytes(data)


def packaged_files() -> list[Path]:
    """Return files of several kinds that come with pydicom.

    Nothing is downloaded.
    """
    return [_PYDICOM / 'test_files' / name for name in _PACKAGED]


def charset_files() -> list[Path]:
    """Return pydicom's files with names in many character sets.

    They have no pixels.
    """
    return sorted((_PYDICOM / 'charset_files').glob('chr[!S]*.dcm'))


_PYDICOM = Path(pydicom.data.__file__).parent
_PACKAGED = [
    'CT_small.dcm',
    'MR_small.dcm',
    'examples_jpeg2k.dcm',
    'examples_overlay.dcm',
    'examples_palette.dcm',
    'examples_rgb_color.dcm',
    'examples_ybr_color.dcm',
    'liver_1frame.dcm',
    'reportsi.dcm',
    'rtdose.dcm',
    'rtplan.dcm',
    'test-SR.dcm',
    'waveform_ecg.dcm',
    ]
