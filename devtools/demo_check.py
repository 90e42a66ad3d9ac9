# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the demo holds what it should: ``./dev demo --check``."""
from __future__ import annotations

from typing import TYPE_CHECKING

import requests

from . import demo_morning
from .dicom import FindFailed, find_worklist
from .process import wait_until

if TYPE_CHECKING:
    from .demo import Demo

__all__ = ['MODELS', 'compare']

STUDY = 'gnuhealth.imaging_orthanc.study'
# level of Orthanc: model, field with Orthanc's id
MODELS = {
    'patients': ('gnuhealth.orthanc.patient', 'uuid'),
    'studies': (STUDY, 'orthanc_UID'),
    'series': ('gnuhealth.imaging_orthanc.study_series', 'orthanc_UID'),
    'instances': (
        'gnuhealth.imaging_orthanc.series_instances', 'orthanc_UID'),
    }
# For images to be in GNU Health after they were sent
ARRIVAL_TIMEOUT = 120
PAGE_TIMEOUT = 20


def compare(demo: Demo) -> dict[str, object]:
    """Let all images of the morning arrive, and compare both sides.

    Returns
    -------
    dict
        Counts of both sides, of links to the right patients and of steps in
        the right state, and whether all is as it should be.
    """
    arrivals = _let_images_arrive(demo)
    same, orthanc, tryton = True, {}, {}
    for level in MODELS:
        ids = _ids_of(demo, level)
        found = _ids_in_gnuhealth(demo, level)
        orthanc[level], tryton[level] = len(ids), len(found)
        same &= found == ids
    links = _compare_links(demo)
    orders = _compare_orders(demo)
    worklist = _compare_worklist(demo)
    tour = _ask_for_tour(demo)
    return {
        'ok': same and tour and not any(
            counts['wrong'] for counts in [links, orders, worklist, arrivals]),
        'orthanc': orthanc, 'gnuhealth': tryton, 'links': links,
        'orders': orders, 'worklist': worklist, 'arrivals': arrivals,
        'tour': tour}


def _ids_of(demo: Demo, level: str) -> list[str]:
    return sorted(demo.orthanc.get(f'/{level}'))


def _ids_in_gnuhealth(demo: Demo, level: str) -> list[str]:
    name, field = MODELS[level]
    return sorted(
        record[field] for record in demo.read(
            name, [('missing_since', '=', None)], field))


def _let_images_arrive(demo: Demo) -> dict[str, int]:
    """Send what would arrive while one watches, and wait for the links."""
    expected = demo.devices.waiting
    while demo.devices.waiting:
        demo.devices.send_next()
    sent = {
        order['study']: order['puid'] for order in demo.state['orders']
        if order['accession'] in demo.state['sent']}
    demo.state.update(expected={**demo.state['expected'], **sent})
    wait_until(
        lambda: not _compare_links(demo)['wrong']
        and not _compare_orders(demo)['wrong']
        and _ids_of(demo, 'instances') == _ids_in_gnuhealth(demo, 'instances'),
        ARRIVAL_TIMEOUT, 1)
    return {
        'expected': expected, 'found': len(sent),
        'wrong': expected - len(sent)}


def _compare_links(demo: Demo) -> dict[str, int]:
    """Count the sample studies by whether the right patient has them.

    A patient who is only suggested does not have them.
    """
    expected = demo.state['expected']
    uid, puid = 'study_instance_UID', 'patient.puid'
    found = {
        study[uid]: study['patient.']['puid']
        if study['link_status'] == 'auto_certain' else None
        for study in demo.read(
            STUDY, [(uid, 'in', list(expected))], uid, 'link_status', puid)}
    return {
        'expected': sum(puid is not None for puid in expected.values()),
        'found': sum(puid is not None for puid in found.values()),
        'wrong': sum(
            found.get(study) != puid for study, puid in expected.items()),
        }


def _compare_orders(demo: Demo) -> dict[str, int]:
    """Count the steps of the morning by whether they are in their state."""
    expected = demo_morning.expected_states(
        demo.state['orders'], demo.state['sent'])
    found = {
        step['accession_number']: step['state'] for step in demo.read(
            demo_morning.STEP, [('accession_number', 'in', list(expected))],
            'accession_number', 'state')}
    return {
        'expected': len(expected), 'found': len(found),
        'wrong': sum(
            found.get(number) != state
            for number, state in expected.items()),
        }


def _compare_worklist(demo: Demo) -> dict[str, int]:
    """Count the open steps by whether a device finds them."""
    expected = demo_morning.waiting(demo.state['orders'], demo.state['sent'])
    wait_until(lambda: _find(demo) == expected, ARRIVAL_TIMEOUT, 1)
    found = _find(demo) or []
    return {
        'expected': len(expected), 'found': len(found),
        'wrong': len({*expected} ^ {*found}),
        }


def _find(demo: Demo) -> list[str] | None:
    """Return the accession numbers on the worklist, None if it has none yet.
    """
    try:
        return sorted(
            str(entry.AccessionNumber)
            for entry in find_worklist(demo.orthanc.dicom_port))
    except FindFailed:
        return None


def _ask_for_tour(demo: Demo) -> bool:
    """Tell whether the page of the tour is served."""
    with requests.Session() as session:
        session.trust_env = False
        answer = session.get(demo.tour.url, timeout=PAGE_TIMEOUT)
    return answer.ok and demo.server.url in answer.text
