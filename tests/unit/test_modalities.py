# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later

import pytest
from pydicom.sr.codedict import codes

from trytond.modules.health_orthanc.core.dicom.modalities import (
    MODALITIES, from_type_code)

DOCUMENTS = {'SR', 'KO', 'PR', 'SEG', 'REG', 'DOC', 'AU', 'RTPLAN', 'RTDOSE'}
RETIRED = {
    'AS', 'CF', 'CD', 'CP', 'CS', 'DD', 'DF', 'DM', 'DS', 'EC', 'FA', 'FS',
    'LP', 'MA', 'MS', 'OPR', 'ST', 'VF'}


def test_modalities_are_those_that_acquire():
    acquiring = {code.value for code in codes.cid29.concepts.values()}
    assert set(MODALITIES) == acquiring | {'OT'}
    assert not set(MODALITIES) & (DOCUMENTS | RETIRED)


def test_modalities_have_names():
    assert all(MODALITIES.values())
    assert list(MODALITIES) == sorted(MODALITIES)


@pytest.mark.parametrize('code, expected', [
        ('CT', 'CT'),
        (' ct ', 'CT'),
        ('XR', 'DX'),
        ('X-ray', 'DX'),
        ('MRI', 'MR'),
        ('PET', 'PT'),
        ('PET-CT', 'PT'),
        ('Ultrasound', 'US'),
        ('OT', 'OT'),
        ('SR', None),
        ('BLOOD', None),
        ('', None),
        (None, None),
        ])
def test_from_type_code(code, expected):
    assert from_type_code(code) == expected


@pytest.mark.parametrize(
    'code', ['XR', 'US', 'MR', 'XA', 'DX', 'CR', 'CT', 'PT'])
def test_codes_that_gnu_health_ships_lead_to_a_modality(code):
    assert from_type_code(code) in MODALITIES
