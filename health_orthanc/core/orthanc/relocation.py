# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Move of a study, or of some of its series, to another patient and order

With the identity of the patient the images get the AccessionNumber and the
StudyInstanceUID of the other order: the former order will be acquired with its
own.  A move is executed as a patient reconciliation.
"""

from collections.abc import Collection, Mapping, Sequence

from .client import OrthancClient
from .errors import NotFound
from .reconciliation import (
    Plan, check_patient, check_room, make_plan, make_wanted, read_stable)
from .study_images import Holding, Refused, Wanted, orthanc_id, study_uid

__all__ = ['plan_move', 'plan_move_back']


def plan_move(
        client: OrthancClient, study_id: str, identity: Mapping[str, str],
        study_uids: Sequence[str],
        series: Collection[str] | None = None) -> Plan:
    """Return the plan to move a study, or series of it.

    Nothing is changed.

    Parameters
    ----------
    client : OrthancClient
    study_id : str
    identity : mapping
        A text for each keyword of `study_images.IDENTITY`, and
        ``AccessionNumber`` if that is to change, too.
    study_uids : sequence of str
        StudyInstanceUIDs for the images: the first that the server does not
        hold is taken.  Without any they keep theirs.
    series : collection of str, optional
        The SeriesInstanceUIDs; all if missing.

    Raises
    ------
    Refused
        ``'unchanged'`` if the images have this identity already; others as
        for `reconciliation.plan_correction`.
    OrthancError
    """
    holding = read_stable(client, study_id, series)
    own = study_uid(holding)
    uid = next((
            u for u in study_uids
            if u == own and series is None or not client.find_studies(u)),
        own)
    wanted = make_wanted(
        {**identity, **({'StudyInstanceUID': uid} if uid != own else {})},
        list(holding.images.values()))
    target_id = orthanc_id(identity['PatientID'], uid)
    _check_target(client, holding, study_id, target_id, uid, wanted)
    check_patient(client, wanted.tags)
    return make_plan(target_id, wanted, holding)


def _check_target(
        client: OrthancClient, holding: Holding, study_id: str,
        target_id: str, uid: str, wanted: Wanted) -> None:
    if target_id == study_id:
        # A copy would overwrite its source
        same = all(
            wanted.result(image) == image.tags
            for image in holding.images.values())
        raise Refused('unchanged' if same else 'same_id')
    others = set(client.find_studies(uid)) - {study_id}
    if target_id in others:
        raise Refused('collision')
    if others:
        raise Refused('ambiguous')
    check_room(client, holding)


def plan_move_back(
        client: OrthancClient, study_id: str, former_id: str, before: Wanted,
        series: Collection[str] | None = None) -> Plan:
    """Return the plan to undo a move.

    Nothing is changed.

    Parameters
    ----------
    client : OrthancClient
    study_id : str
        The study that holds the images now.
    former_id : str
        The study that they came from, which may hold other series.
    before : Wanted
        Of the plan that is to be undone.
    series : collection of str, optional
        The SeriesInstanceUIDs that were moved; all if missing.

    Raises
    ------
    Refused
    OrthancError
    """
    holding = read_stable(client, study_id, series)
    try:
        held = Holding.read(client, former_id, series)
    except NotFound:
        held = Holding({}, {})
    if held.images:
        raise Refused('collision')
    check_room(client, holding)
    return make_plan(former_id, before, holding)
