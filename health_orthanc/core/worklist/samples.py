# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sample orders with which templates are checked."""

from collections.abc import Iterator

from .template import UNKNOWN

__all__ = ['FULL', 'SPARSE', 'Sample']

# The attributes that every order has
SPARSE = {
    'MergeID': '1.2.826.0.1.3680043.8.498.1',
    'AccessionNumber': 'A1',
    'Modality': 'CT',
    'PatientID': 'P1',
    'PatientName': 'SAMPLE',
    'RequestedProcedureDescription': 'Sample',
    'RequestedProcedureID': 'R1',
    'ScheduledProcedureStepID': 'S1',
    'ScheduledProcedureStepStartDate': '20240229',
    'ScheduledProcedureStepStartTime': '073000',
    'ScheduledStationAETitle': 'SAMPLE',
    'StudyInstanceUID': '1.2.826.0.1.3680043.8.498.1',
    }
FULL = {
    **SPARSE,
    'AdmissionID': 'V1',
    'Allergies': ['Sample', 'Other sample'],
    'ConfidentialityConstraintOnPatientDataDescription': 'Sample',
    'CurrentPatientLocation': 'Sample',
    'InstitutionName': 'Sample',
    'Laterality': 'L',
    'MedicalAlerts': ['Sample', 'Other sample'],
    'PatientAge': '044Y',
    'PatientBirthDate': '19800101',
    'PatientName': 'SAMPLE^ANNA^B^DR^III',
    'PatientSex': 'F',
    'PatientState': 'Sample',
    'PatientTransportArrangements': 'Sample',
    'PatientWeight': '70.5',
    'PreMedication': 'Sample',
    'PregnancyStatus': '4',
    'ReasonForTheRequestedProcedure': 'Sample',
    'ReferringPhysicianName': 'SAMPLE^DOCTOR',
    'RequestedContrastAgent': 'Sample',
    'RequestedProcedureComments': 'Sample',
    'RequestedProcedurePriority': 'ROUTINE',
    'RequestingPhysician': 'SAMPLE^DOCTOR',
    'RequestingService': 'Sample',
    'ScheduledPerformingPhysicianName': 'SAMPLE^PERFORMER',
    'ScheduledProcedureStepDescription': 'Sample',
    'ScheduledProcedureStepLocation': 'Sample',
    'ScheduledProcedureStepStatus': 'SCHEDULED',
    'ScheduledStationName': 'SAMPLE',
    'SpecialNeeds': 'Sample',
    'TimezoneOffsetFromUTC': '+0100',
    }


class Sample(str):
    """A value for everything that a template reads from ``my``"""
    __slots__ = ()

    def __new__(cls, is_full: bool) -> 'Sample':
        return super().__new__(cls, UNKNOWN if is_full else '')

    def __getattr__(self, name: str) -> 'Sample':
        if name.startswith('_'):
            raise AttributeError(name)
        return self

    def __getitem__(self, index: object) -> 'Sample':
        return self

    def __call__(self, *args: object) -> 'Sample':
        return self

    def __iter__(self) -> Iterator['Sample']:
        return iter([self] if self else [])

    def __add__(self, other: object) -> 'Sample':
        return self

    __radd__ = __sub__ = __rsub__ = __add__

    def __lt__(self, other: object) -> bool:
        return bool(self)

    __le__ = __gt__ = __ge__ = __lt__
