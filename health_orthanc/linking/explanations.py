# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Explanations of matches, in the user's language"""

from trytond.i18n import gettext

from ..core.dicom.visible_text import visible_text
from ..core.matching.decisions import Doubt

__all__ = [
    'DOUBTS', 'REPLACED', 'VERDICTS', 'describe_comparison',
    'format_comparison', 'describe_vetoes']

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
    ('missing', "Missing"),
    ]


def describe_comparison(comparison):
    """Return a comparison with its texts translated.

    Parameters
    ----------
    comparison : dict
        An item of `history.serialize_comparisons`.

    Returns
    -------
    dict
        ``field``, ``ours``, ``theirs``, ``verdict`` and ``reason``.
    """
    reason = comparison['reason']
    return {
        'field': gettext(f"health_orthanc.msg_field_{comparison['field']}"),
        'ours': visible_text(comparison['ours']),
        'theirs': visible_text(comparison['theirs']),
        'verdict': comparison['verdict'],
        'reason': (
            gettext(f'health_orthanc.msg_reason_{reason}') if reason else ''),
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
