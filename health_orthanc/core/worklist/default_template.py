# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Worklist template of study types that have none of their own."""

__all__ = ['DEFAULT_TEMPLATE']

DEFAULT_TEMPLATE = r"""{# An entry of the worklist (DICOM PS3.4 K.6). Keys that
DICOM asks for and that are missing here are added to each entry. #}\
{% if template_type == 'dump2dcm' %}\
(0008,0005) CS [$SpecificCharacterSet]
(0008,0050) SH [$AccessionNumber]
(0008,0080) LO [$InstitutionName]
(0008,0090) PN [$ReferringPhysicianName]
(0008,0201) SH [$TimezoneOffsetFromUTC]
(0010,0010) PN [$PatientName]
(0010,0020) LO [$PatientID]
(0010,0030) DA [$PatientBirthDate]
(0010,0040) CS [$PatientSex]
(0010,1010) AS [$PatientAge]
(0010,1030) DS [$PatientWeight]
(0010,2000) LO [$MedicalAlerts]
(0010,2110) LO [$Allergies]
(0010,21c0) US $PregnancyStatus
(0020,000d) UI [$StudyInstanceUID]
(0032,1032) PN [$RequestingPhysician]
(0032,1033) LO [$RequestingService]
(0032,1060) LO [$RequestedProcedureDescription]
(0038,0010) LO [$AdmissionID]
(0038,0050) LO [$SpecialNeeds]
(0038,0300) LO [$CurrentPatientLocation]
(0038,0500) LO [$PatientState]
(0040,0100) SQ
  (fffe,e000) na
    (0008,0060) CS [$Modality]
    (0020,0060) CS [$Laterality]
    (0032,1070) LO [$RequestedContrastAgent]
    (0040,0001) AE [$ScheduledStationAETitle]
    (0040,0002) DA [$ScheduledProcedureStepStartDate]
    (0040,0003) TM [$ScheduledProcedureStepStartTime]
    (0040,0006) PN [$ScheduledPerformingPhysicianName]
    (0040,0007) LO [$ScheduledProcedureStepDescription]
    (0040,0009) SH [$ScheduledProcedureStepID]
    (0040,0010) SH [$ScheduledStationName]
    (0040,0011) SH [$ScheduledProcedureStepLocation]
    (0040,0012) LO [$PreMedication]
    (0040,0020) CS [$ScheduledProcedureStepStatus]
  (fffe,e00d) na
(fffe,e0dd) na
(0040,1001) SH [$RequestedProcedureID]
(0040,1002) LO [$ReasonForTheRequestedProcedure]
(0040,1003) SH [$RequestedProcedurePriority]
(0040,1004) LO [$PatientTransportArrangements]
(0040,1400) LT [$RequestedProcedureComments]
(0040,3001) LO [$ConfidentialityConstraintOnPatientDataDescription]
{% end %}\
{% if template_type == 'json' %}\
{
    "SpecificCharacterSet": "$SpecificCharacterSet",
    "AccessionNumber": "$AccessionNumber",
    "InstitutionName": "$InstitutionName",
    "ReferringPhysicianName": "$ReferringPhysicianName",
    "TimezoneOffsetFromUTC": "$TimezoneOffsetFromUTC",
    "PatientName": "$PatientName",
    "PatientID": "$PatientID",
    "PatientBirthDate": "$PatientBirthDate",
    "PatientSex": "$PatientSex",
    "PatientAge": "$PatientAge",
    "PatientWeight": "$PatientWeight",
    "MedicalAlerts": "$MedicalAlerts",
    "Allergies": "$Allergies",
    "PregnancyStatus": "$PregnancyStatus",
    "StudyInstanceUID": "$StudyInstanceUID",
    "RequestingPhysician": "$RequestingPhysician",
    "RequestingService": "$RequestingService",
    "RequestedProcedureDescription": "$RequestedProcedureDescription",
    "AdmissionID": "$AdmissionID",
    "SpecialNeeds": "$SpecialNeeds",
    "CurrentPatientLocation": "$CurrentPatientLocation",
    "PatientState": "$PatientState",
    "ScheduledProcedureStepSequence": [{
        "Modality": "$Modality",
        "Laterality": "$Laterality",
        "RequestedContrastAgent": "$RequestedContrastAgent",
        "ScheduledStationAETitle": "$ScheduledStationAETitle",
        "ScheduledProcedureStepStartDate": "$ScheduledProcedureStepStartDate",
        "ScheduledProcedureStepStartTime": "$ScheduledProcedureStepStartTime",
        "ScheduledPerformingPhysicianName":
            "$ScheduledPerformingPhysicianName",
        "ScheduledProcedureStepDescription":
            "$ScheduledProcedureStepDescription",
        "ScheduledProcedureStepID": "$ScheduledProcedureStepID",
        "ScheduledStationName": "$ScheduledStationName",
        "ScheduledProcedureStepLocation": "$ScheduledProcedureStepLocation",
        "PreMedication": "$PreMedication",
        "ScheduledProcedureStepStatus": "$ScheduledProcedureStepStatus"
    }],
    "RequestedProcedureID": "$RequestedProcedureID",
    "ReasonForTheRequestedProcedure": "$ReasonForTheRequestedProcedure",
    "RequestedProcedurePriority": "$RequestedProcedurePriority",
    "PatientTransportArrangements": "$PatientTransportArrangements",
    "RequestedProcedureComments": "$RequestedProcedureComments",
    "ConfidentialityConstraintOnPatientDataDescription":
        "$ConfidentialityConstraintOnPatientDataDescription"
}
{% end %}\
"""
