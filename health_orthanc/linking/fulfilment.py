# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What follows from the link of a study to an order.

Steps and results are brought to the state that the links ask for, whatever
they were before: settling twice changes nothing more.
"""

import datetime as dt

from trytond.pool import Pool
from trytond.transaction import without_check_access

from ..common.transaction import now
from ..orders.states import OPEN_STATES
from .candidates import study_attributes
from .key_image import has_images_of_people

__all__ = ['fulfil_orders']

# Links that are sure enough to act on
_SURE = {'manual', 'auto_certain'}
# How long the notification of a study may take
_AWAITED = dt.timedelta(days=7)


@without_check_access
def fulfil_orders(studies):
    "Complete steps and results of linked studies, and undo what is not"
    pool = Pool()
    Study = pool.get('gnuhealth.imaging_orthanc.study')
    Request = pool.get('gnuhealth.imaging.test.request')
    Step = pool.get('gnuhealth.imaging.procedure.step')
    studies = Study.browse([s.id for s in studies])
    done = Step.search([('study', 'in', [s.id for s in studies])])
    requests = {s.request for s in studies if s.request}
    requests |= {step.request for step in done}
    if requests:
        Request.lock_for_update(list(requests))
    for study in studies:
        request = _settled_order(study)
        _release_steps(study, request)
        _release_result(study, request)
        if request:
            _complete_steps(study, request)
            _fill_result(study, request)


def _settled_order(study):
    "Return the order that a study is the images of, if that is sure enough"
    if study.link_status in _SURE and not _was_never_read(study):
        return study.request


def _was_never_read(study):
    "Return whether the images were deleted before anybody wrote of them"
    result = study.imaging_test
    return bool(study.deleted_at and study.missing_since) and not (
        result and (
            not result.orthanc_unreported or has_images_of_people(result)))


def _release_steps(study, request):
    "Open the steps again that the study has completed for another order"
    Step = Pool().get('gnuhealth.imaging.procedure.step')
    steps = Step.search([('study', '=', study.id)])
    for step in steps:
        if step.request == request:
            continue
        if step.state == 'completed':
            Step.move([step], step.state_before, ended_at=None)
        Step.write([step], {'study': None, 'state_before': None})


def _complete_steps(study, request):
    """Complete the steps that the images are of.

    Images of a modality that says nothing of steps complete those of their
    modality, or the only one there is.
    """
    Step = Pool().get('gnuhealth.imaging.procedure.step')
    step_ids = study_attributes(study).step_ids
    steps = [s for s in request.steps if s.state in OPEN_STATES]
    named = [s for s in request.steps if s.step_id in step_ids]
    if named:
        steps = [s for s in steps if s in named]
    elif len(request.steps) > 1:
        if _is_awaited(study):
            return
        modalities = {s.modality for s in study.series}
        steps = [s for s in steps if s.modality in modalities]
    for step in steps:
        state = step.state
        Step.move([step], 'completed', ended_at=now())
        Step.write([step], {'study': study.id, 'state_before': state})


def _is_awaited(study):
    """Return whether the plugin is going to tell what the images are of.

    A synchronization may be ahead of it.  The step whose images are still to
    be made would go from the worklist.
    """
    since = now() - _AWAITED
    return (not study.notified_facts and study.last_update
        and study.last_update > since
        and study.server.has_active_plugin(since))


def _fill_result(study, request):
    "Let the study have the result of its order, made if there is none"
    pool = Pool()
    Study = pool.get('gnuhealth.imaging_orthanc.study')
    Result = pool.get('gnuhealth.imaging.test.result')
    if study.imaging_test and study.imaging_test.request == request:
        return
    results = Result.search(
        [('request', '=', request.id)], order=[('id', 'ASC')], limit=1)
    if not results:
        results = Result.create([{
                    'patient': request.patient.id,
                    'date': now(),
                    'request_date': request.date,
                    'requested_test': request.requested_test.id,
                    'request': request.id,
                    'order': request.request,
                    'doctor': request.doctor.id,
                    'orthanc_unreported': True,
                    }])
    Study.write([study], {
            'imaging_test': results[0].id, 'settled_result': results[0].id,
            'link_status': study.link_status})


def _release_result(study, request):
    """Take the study out of the result of another order.

    A result that only the link has made goes with it; what somebody has
    written stays, and is flagged.
    """
    pool = Pool()
    Study = pool.get('gnuhealth.imaging_orthanc.study')
    Result = pool.get('gnuhealth.imaging.test.result')
    result = study.imaging_test
    former = study.settled_result
    if not former or (former.request == request and former == result):
        return
    if result == former:
        Study.write([study], {
                'imaging_test': None, 'link_status': study.link_status})
    Study.write([study], {
            'settled_result': None, 'link_status': study.link_status})
    former = Result(former.id)
    if former.orthanc_studies:
        return
    if former.orthanc_unreported and not former.images:
        Result.delete([former])
    else:
        Result.write([former], {'orthanc_images_unlinked': True})
