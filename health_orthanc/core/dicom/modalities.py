# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modalities that can be scheduled (PS3.3 C.7.3.1.1.1).

These are the terms for acquisition (PS3.16 CID 29), and ``OT``.  Documents and
derived objects such as SR or SEG are made from images and not scheduled;
retired terms are left out.
"""

__all__ = ['MODALITIES', 'from_type_code']

MODALITIES: dict[str, str] = {
    'AR': "Autorefraction",
    'BDUS': "Ultrasound Bone Densitometry",
    'BI': "Biomagnetic Imaging",
    'BMD': "Bone Mineral Densitometry",
    'CFM': "Confocal Microscopy",
    'CR': "Computed Radiography",
    'CT': "Computed Tomography",
    'DG': "Diaphanography",
    'DMS': "Dermoscopy",
    'DX': "Digital Radiography",
    'ECG': "Electrocardiography",
    'EEG': "Electroencephalography",
    'EMG': "Electromyography",
    'EOG': "Electrooculography",
    'EPS': "Cardiac Electrophysiology",
    'ES': "Endoscopy",
    'GM': "General Microscopy",
    'HD': "Hemodynamic Waveform",
    'IO': "Intra-oral Radiography",
    'IVOCT': "Intravascular Optical Coherence Tomography",
    'IVUS': "Intravascular Ultrasound",
    'KER': "Keratometry",
    'LEN': "Lensometry",
    'LS': "Laser Scan",
    'MG': "Mammography",
    'MR': "Magnetic Resonance",
    'NM': "Nuclear Medicine",
    'OAM': "Ophthalmic Axial Measurements",
    'OCT': "Optical Coherence Tomography",
    'OP': "Ophthalmic Photography",
    'OPM': "Ophthalmic Mapping",
    'OPT': "Ophthalmic Tomography",
    'OPTBSV': "Ophthalmic Tomography B-scan Volume Analysis",
    'OPTENF': "Ophthalmic Tomography En Face",
    'OPV': "Ophthalmic Visual Field",
    'OSS': "Optical Surface Scanner",
    'OT': "Other",
    'PA': "Photoacoustic",
    'POS': "Position Sensor",
    'PT': "Positron Emission Tomography",
    'PX': "Panoramic X-Ray",
    'RESP': "Respiratory Waveform",
    'RF': "Radiofluoroscopy",
    'RG': "Radiographic Imaging",
    'RTIMAGE': "RT Image",
    'SM': "Slide Microscopy",
    'SRF': "Subjective Refraction",
    'TG': "Thermography",
    'US': "Ultrasound",
    'VA': "Visual Acuity",
    'XA': "X-Ray Angiography",
    'XC': "External-camera Photography",
    }

# Codes of study types that are in use for a modality; GNU Health has XR
# for X-ray.
_USUAL = {
    'ANGIO': 'XA',
    'BONE': 'BMD',
    'CAT': 'CT',
    'CTSCAN': 'CT',
    'DENTAL': 'IO',
    'DEXA': 'BMD',
    'DR': 'DX',
    'DXA': 'BMD',
    'ECHO': 'US',
    'EKG': 'ECG',
    'FLUORO': 'RF',
    'MAMMO': 'MG',
    'MRI': 'MR',
    'MRT': 'MR',
    'NMR': 'MR',
    'OPG': 'PX',
    'PET': 'PT',
    'PETCT': 'PT',
    'PETSCAN': 'PT',
    'RX': 'DX',
    'SCINTI': 'NM',
    'SONO': 'US',
    'SPECT': 'NM',
    'TAC': 'CT',
    'TC': 'CT',
    'ULTRASOUND': 'US',
    'USG': 'US',
    'XRAY': 'DX',
    'XR': 'DX',
    }


def from_type_code(code: str | None) -> str | None:
    """Return the modality for the code of a study type.

    Case, spaces and punctuation make no difference.

    Parameters
    ----------
    code : str or None

    Returns
    -------
    str or None
        A key of `MODALITIES`; None if somebody has to choose.
    """
    letters = ''.join(filter(str.isalnum, (code or '').upper()))
    return letters if letters in MODALITIES else _USUAL.get(letters)
