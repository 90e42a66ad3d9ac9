# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: AGPL-3.0-or-later
"""What GNU Health needs to find the patient and the order of a study."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .archive import Archive
from .matching import Dataset

MAXIMUM_TEXTS = 300
MAXIMUM_TEXT = 128
MAXIMUM_VALUE = 1024
MAXIMUM_SERIES = 500
REQUEST_ATTRIBUTES = '0040,0275'
STUDY_TAGS = {
    'StudyInstanceUID': '0020,000d',
    'PatientID': '0010,0020',
    'IssuerOfPatientID': '0010,0021',
    'OtherPatientIDs': '0010,1000',
    'PatientName': '0010,0010',
    'PatientBirthDate': '0010,0030',
    'PatientSex': '0010,0040',
    'AccessionNumber': '0008,0050',
    'StudyID': '0020,0010',
    'StudyDate': '0008,0020',
    'StudyTime': '0008,0030',
    'StudyDescription': '0008,1030',
    'RequestedProcedureDescription': '0032,1060',
    'ReferringPhysicianName': '0008,0090',
    'InstitutionName': '0008,0080',
    }
SERIES_TAGS = {
    'SeriesInstanceUID': '0020,000e',
    'Modality': '0008,0060',
    'SeriesDescription': '0008,103e',
    'StationName': '0008,1010',
    'PerformedStationAETitle': '0040,0241',
    'PerformedProcedureStepID': '0040,0253',
    'PerformedProcedureStepStartDate': '0040,0244',
    'PerformedProcedureStepStartTime': '0040,0245',
    }
REQUEST_TAGS = {
    'RequestedProcedureID': '0040,1001',
    'ScheduledProcedureStepID': '0040,0009',
    'AccessionNumber': '0008,0050',
    'StudyInstanceUID': '0020,000d',
    }


def summarize_study(
        archive: Archive, study: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values by which GNU Health finds patient and order.

    Parameters
    ----------
    study
        As Orthanc describes it.  What Orthanc does not index is read from
        the first image of each series.
    """
    first: Dataset = {}
    series: list[dict[str, Any]] = []
    texts: dict[str, None] = {}
    for one in archive.series(study['Series'][:MAXIMUM_SERIES]):
        instances = one['Instances']
        tags = archive.tags(instances[0]) if instances else {}
        first = first or tags
        series.append(_summarize_series(one, tags))
        texts.update(dict.fromkeys(_collect_texts(tags)))
    main = {**study['PatientMainDicomTags'], **study['MainDicomTags']}
    return {
        **_collect_values(STUDY_TAGS, main, first),
        'IsStable': study['IsStable'],
        'LastUpdate': study.get('LastUpdate', ''),
        'Series': series,
        'Texts': list(texts)[:MAXIMUM_TEXTS],
        }


def _summarize_series(
        series: Mapping[str, Any], tags: Dataset) -> dict[str, Any]:
    items = tags.get(REQUEST_ATTRIBUTES)
    return {
        'ID': series['ID'],
        **_collect_values(SERIES_TAGS, series['MainDicomTags'], tags),
        'Instances': len(series['Instances']),
        'RequestAttributes': [
            _collect_values(REQUEST_TAGS, {}, item)
            for item in (items if isinstance(items, list) else [])[:20]],
        }


def _collect_values(
        names: Mapping[str, str], main: Mapping[str, Any], tags: Dataset
        ) -> dict[str, str]:
    """Return keyword → value, without empty values.

    Parameters
    ----------
    names
        Keyword → tag.
    main, tags
        What Orthanc indexes, by keyword; what is in the image, by tag.
    """
    values = {
        name: main.get(name) or tags.get(tag) for name, tag in names.items()}
    return {
        name: value[:MAXIMUM_VALUE] for name, value in values.items()
        if isinstance(value, str) and value}


def _collect_texts(tags: Dataset) -> list[str]:
    """Return the texts of an image, any of which may identify its order."""
    return [
        value for tag, value in tags.items()
        if isinstance(value, str) and 0 < len(value) <= MAXIMUM_TEXT
        # The format of the pixels
        and not tag.startswith('0028,')]
