# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Completion of worklist items with required attributes (PS3.4 K.6.1.2.2)."""

from collections.abc import Mapping
from functools import lru_cache

from pydicom import config
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from .dump import EMPTY_SEQUENCES, STEP, texts_of
from .element_values import WorklistError, representation

__all__ = [
    'IDENTITY', 'ROOT_KEYS', 'STEP_KEYS', 'allowed_identities', 'complete',
    'new_element', 'set_value', 'text_of']

# Return key types (PS3.4 Table K.6-1)
ROOT_KEYS = {
    'SpecificCharacterSet': '1C',
    'AccessionNumber': '2',
    'InstitutionName': '3',
    'ReferringPhysicianName': '2',
    'TimezoneOffsetFromUTC': '3',
    'PatientName': '1',
    'PatientID': '1',
    'PatientBirthDate': '2',
    'PatientSex': '2',
    'PatientWeight': '2',
    'MedicalAlerts': '2',
    'Allergies': '2',
    'PregnancyStatus': '2',
    'StudyInstanceUID': '1',
    'RequestingPhysician': '2',
    'RequestingService': '3',
    'RequestedProcedureDescription': '1C',
    'AdmissionID': '2',
    'SpecialNeeds': '2',
    'CurrentPatientLocation': '2',
    'PatientState': '2',
    'RequestedProcedureID': '1',
    'RequestedProcedurePriority': '2',
    'PatientTransportArrangements': '2',
    'ConfidentialityConstraintOnPatientDataDescription': '2',
    }
STEP_KEYS = {
    'Modality': '1',
    'ScheduledStationAETitle': '1',
    'ScheduledProcedureStepStartDate': '1',
    'ScheduledProcedureStepStartTime': '1',
    'ScheduledPerformingPhysicianName': '2',
    'ScheduledProcedureStepDescription': '1C',
    'ScheduledProcedureStepID': '1',
    'ScheduledStationName': '2',
    'ScheduledProcedureStepLocation': '2',
    'ScheduledProcedureStepStatus': '3',
    'PreMedication': '2',
    'RequestedContrastAgent': '2',
    }
# Alternatives of type 1C
_CODES = {
    'RequestedProcedureDescription': 'RequestedProcedureCodeSequence',
    'ScheduledProcedureStepDescription': 'ScheduledProtocolCodeSequence'}
# Images are matched by these: a template must not change them
IDENTITY = (
    'PatientID', 'StudyInstanceUID', 'AccessionNumber',
    'ScheduledProcedureStepID')


def complete(
        dataset: Dataset, variables: Mapping[str, str]) -> tuple[str, ...]:
    """Add the attributes that are missing, and check those that identify.

    Parameters
    ----------
    dataset : Dataset
        Changed in place.
    variables : mapping
        Safe values of the order.

    Returns
    -------
    tuple of str
        The keywords of what was added.

    Raises
    ------
    WorklistError
        A value is ``missing``, ``differs`` from that of the order, or there
        are ``many`` steps.
    """
    step = _step_item(dataset)
    completed, problems = [], []
    for part, keys in [(dataset, ROOT_KEYS), (step, STEP_KEYS)]:
        for keyword, type_ in keys.items():
            absent = _tag(keyword) not in part
            if _add(part, keyword, type_, variables):
                problems.append(('missing', keyword))
            if absent and _tag(keyword) in part:
                completed.append(keyword)
    for keyword in EMPTY_SEQUENCES:
        if _tag(keyword) not in dataset:
            set_value(dataset, keyword, [])
    if 'RequestedProcedureDescription' in dataset:
        # Some consoles read it there
        set_value(step, 'RequestedProcedureDescription', text_of(
                dataset, 'RequestedProcedureDescription'))
    for keyword in IDENTITY:
        part = step if keyword in STEP_KEYS else dataset
        if text_of(part, keyword) not in allowed_identities(
                keyword, variables):
            problems.append(('differs', keyword))
    if problems:
        raise WorklistError(*problems)
    return tuple(completed)


def allowed_identities(
        keyword: str, variables: Mapping[str, str]) -> set[str]:
    """Return the allowed values of an element that identifies."""
    own = {variables[keyword]}
    if keyword == 'PatientID' and variables.get('MergeID'):
        # For workstations that keep only the patient's ID
        own.add(variables['MergeID'])
    return own


def _add(
        part: Dataset, keyword: str, type_: str,
        variables: Mapping[str, str]) -> bool:
    """Add an element, and return whether its value is missing."""
    if _tag(keyword) in part and (
            type_ in {'2', '3'} or text_of(part, keyword)):
        return False
    value = variables[keyword]
    if keyword == 'ScheduledProcedureStepDescription':
        value = value or variables['RequestedProcedureDescription']
    if value or type_ == '2':
        set_value(part, keyword, value)
    return not value and (
        type_ == '1' or type_ == '1C' and not _is_coded(part, keyword))


def _is_coded(part: Dataset, keyword: str) -> bool:
    codes = _CODES.get(keyword)
    return codes is not None and codes in part


def _step_item(dataset: Dataset) -> Dataset:
    """Return the item of the step, which is added if it is missing."""
    items = dataset.get(STEP) or []
    if len(items) > 1:
        raise WorklistError(('many', STEP))
    if not items:
        items = [Dataset()]
        set_value(dataset, STEP, items)
    return items[0]


@lru_cache(maxsize=1024)
def _tag(keyword: str) -> BaseTag:
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise KeyError(keyword)
    return BaseTag(tag)


def text_of(part: Dataset, keyword: str) -> str:
    """Return the text of an element.

    Returns
    -------
    str
        Values separated by backslashes; empty if there is no such element.
    """
    element = part.get(_tag(keyword))
    return '\\'.join(texts_of(element)) if element is not None else ''


def set_value(
        part: Dataset, keyword: str, value: str | list[Dataset]) -> None:
    """Set an element.

    Parameters
    ----------
    part : Dataset
    keyword : str
    value : str or list of Dataset
        Safe text, or the items of a sequence.
    """
    part[_tag(keyword)] = new_element(keyword, value)


def new_element(keyword: str, value: str | list[Dataset]) -> DataElement:
    """Return an element, with a value as for `set_value`."""
    vr, _ = representation(keyword)
    return DataElement(
        _tag(keyword), vr, _number(value) if vr == 'US' else value,
        validation_mode=config.IGNORE)


def _number(value: str | list[Dataset]) -> int | None:
    return int(value) if isinstance(value, str) and value else None
