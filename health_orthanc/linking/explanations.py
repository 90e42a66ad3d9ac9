# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Explanations of matches, in the user's language"""

from trytond.i18n import gettext

from ..core.dicom.visible_text import visible_text
from ..core.matching.decisions import Doubt

__all__ = [
    'DOUBTS', 'MINOR_FIELDS', 'REPLACED', 'VERDICTS', 'describe_comparison',
    'describe_patient', 'describe_vetoes', 'format_comparison']

# The link waits because its patient was replaced: no machine decides on it
REPLACED = 'replaced'
DOUBTS = [
    (Doubt.NOBODY.value, "No Matching Patient"),
    (Doubt.VETO.value, "Contradiction"),
    (Doubt.FLOOR.value, "Low Score"),
    (Doubt.TIE.value, "Ambiguous Match"),
    (Doubt.OTHER_KEY.value, "ID of Another Order"),
    (Doubt.NAMESAKE.value, "Same Name and Birth Date"),
    (Doubt.RIVAL.value, "Similar Candidate"),
    (Doubt.DIFFERENCE.value, "Differing Data"),
    (Doubt.NO_KEY.value, "No Order ID"),
    (Doubt.IDENTITY.value, "Insufficient Identity Data"),
    (Doubt.OPEN_ORDER.value, "Open Order"),
    (Doubt.INACTIVE.value, "Inactive Patient"),
    (Doubt.DECEASED.value, "Deceased Patient"),
    (Doubt.UNBORN.value, "Study before Birth"),
    (REPLACED, "Replaced Patient"),
    ]
VERDICTS = [
    ('equal', "Equal"),
    ('differs', "Differs"),
    ('partial', "Partly Equal"),
    ('missing', "Missing"),
    ]


# Worded freely, and chosen by chance: they contradict nothing
MINOR_FIELDS = {'description', 'station'}


def describe_comparison(comparison):
    """Return a comparison with its texts translated.

    Parameters
    ----------
    comparison : dict
        An item of `history.serialize_comparisons`.

    Returns
    -------
    dict
        ``field``, ``ours``, ``theirs``, ``verdict`` and ``reason``; ``minor``
        if a difference says nothing about patient and order.
    """
    reason = comparison['reason']
    minor = comparison['field'] in MINOR_FIELDS
    if minor and comparison['verdict'] == 'differs':
        reason = (
            'wording' if comparison['field'] == 'description'
            else reason or 'minor')
    field = gettext(f"health_orthanc.msg_field_{comparison['field']}")
    if comparison.get('order'):
        field = gettext(
            'health_orthanc.msg_field_of_order', field=field,
            order=visible_text(comparison['order']))
    return {
        'field': field,
        'ours': visible_text(comparison['ours']),
        'theirs': visible_text(comparison['theirs']),
        'verdict': comparison['verdict'],
        'reason': (
            gettext(f'health_orthanc.msg_reason_{reason}') if reason else ''),
        'minor': minor,
        }


def format_comparison(comparison):
    """Return a comparison as one translated line.

    Parameters
    ----------
    comparison : dict
        An item of `history.serialize_comparisons`.

    Returns
    -------
    str
    """
    line = describe_comparison(comparison)
    return gettext(
        'health_orthanc.msg_compared', field=line['field'],
        ours=line['ours'] or '–', theirs=line['theirs'] or '–',
        verdict=', '.join(filter(None, [
                    gettext(f"health_orthanc.msg_verdict_{line['verdict']}"),
                    line['reason']])))


def describe_vetoes(vetoes):
    """Return the contradictions as translated text, one a line.

    Parameters
    ----------
    vetoes : iterable of Veto

    Returns
    -------
    str
    """
    return '\n'.join(
        gettext(f'health_orthanc.msg_veto_{veto.value}') for veto in vetoes)


def describe_patient(patient):
    """Return what tells a patient from others of the same name.

    Parameters
    ----------
    patient : Patient or None

    Returns
    -------
    str or None
        Name, birth date and PUID, as far as they are known.
    """
    if not patient:
        return None
    party = patient.party
    return ' · '.join(filter(None, [
                patient.rec_name, str(party.dob or ''), party.ref]))
