# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Links between studies, patients and orders"""

from . import (
    attributes, candidates, configuration, dismissal, explanations, fulfilment,
    history, link, moves, orthanc_patient, party, patient, patient_fields,
    queue, replacement, request, result, review, search_keys, study,
    study_order, unconfirmed)

__all__ = [
    'attributes', 'candidates', 'configuration', 'dismissal', 'explanations',
    'fulfilment', 'history', 'link', 'moves', 'orthanc_patient', 'party',
    'patient', 'patient_fields', 'queue', 'replacement', 'request', 'result',
    'review', 'search_keys', 'study', 'study_order', 'unconfirmed']
