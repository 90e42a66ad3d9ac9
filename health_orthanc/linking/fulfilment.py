# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps and results that the images of a study fulfil

The states of steps and results are derived from the present links: running it
twice changes nothing more.
"""

import datetime as dt

from trytond.pool import Pool
from trytond.transaction import without_check_access

from ..common.tasks import bulk_tasks
from ..common.transaction import now
from ..core.matching.field_comparison import NOT_ACQUIRED
from ..orders.states import OPEN_STATES
from .candidates import study_attributes
from .history import CONFIRMED, is_held

__all__ = [
    'complete_canceled', 'fulfil_orders', 'is_late',
    'remove_misplaced_key_images']

# How long the notification of a study may take
_AWAITED = dt.timedelta(days=7)


@without_check_access
def fulfil_orders(studies):
    """Complete the steps and results of linked studies.

    Steps and results of former links are released.

    Parameters
    ----------
    studies : list of Study
    """
    pool = Pool()
    Study = pool.get('gnuhealth.imaging_orthanc.study')
    Request = pool.get('gnuhealth.imaging.test.request')
    Step = pool.get('gnuhealth.imaging.procedure.step')
    LateImages = pool.get('gnuhealth.imaging_orthanc.late_images')
    studies = Study.browse([s.id for s in studies])
    done = Step.search([('study', 'in', [s.id for s in studies])])
    requests = {order for s in studies for order in s.linked_orders}
    requests |= {step.request for step in done}
    if requests:
        Request.lock_for_update(list(requests))
    kept, late = LateImages.kept(studies), set()
    for study in studies:
        orders = _confirmed_orders(study)
        reported = [
            order for order in orders
            if (study.id, order.id) not in kept
            or _is_reported(study, order)]
        first = study.request if study.request in reported else None
        _release_steps(study, orders)
        _release_result(study, first)
        _release_further_results(study, reported)
        for order in orders:
            _complete_steps(study, order)
            if is_late(study, Request(order.id)):
                late.add((study.id, order.id))
        if first:
            _assign_result(study, first)
        _assign_further_results(study, reported)
    LateImages.replace(studies, late)


def _confirmed_orders(study):
    "Return the orders of a study whose images count"
    if study.link_status not in CONFIRMED and not is_held(study):
        return []
    results = {
        study.request: study.imaging_test,
        **{f.request: f.result for f in study.further_orders}}
    return [
        order for order in study.linked_orders
        if not _was_deleted_unread(study, results[order])]


def _was_deleted_unread(study, result):
    "Return whether the images were deleted before a report was written"
    return bool(study.deleted_at and study.missing_since) and not (
        result and (
            not result.orthanc_unreported or _has_other_images(result)))


def _is_reported(study, order):
    results = {
        study.request: study.settled_result,
        **{f.request: f.result for f in study.further_orders}}
    result = results[order]
    return bool(result) and not result.orthanc_unreported


def _release_steps(study, orders):
    "Reopen the steps of other orders that the study has completed"
    Step = Pool().get('gnuhealth.imaging.procedure.step')
    steps = Step.search([('study', '=', study.id)])
    for step in steps:
        if step.request in orders:
            continue
        # Many studies may arrive at once: nobody waits for what follows
        with bulk_tasks():
            if step.state == 'completed':
                Step.move([step], step.state_before, ended_at=None)
            Step.write([step], {'study': None, 'state_before': None})


def _complete_steps(study, request, states=OPEN_STATES):
    "Complete the steps of an order, in certain states, by their images"
    Step = Pool().get('gnuhealth.imaging.procedure.step')
    for step in _find_steps(study, request, states):
        state = step.state
        with bulk_tasks():
            Step.move([step], 'completed', ended_at=now())
            Step.write([step], {'study': study.id, 'state_before': state})


def _find_steps(study, request, states):
    """Return the steps of an order that the images belong to.

    If the images do not contain step IDs, these are the steps of their
    modality, or the only step.
    """
    modalities = {s.modality for s in study.series}
    steps = _named_steps(study, request)
    if not steps:
        steps = request.steps
        if len(steps) > 1:
            if _awaits_notification(study):
                return []
            steps = [s for s in steps if s.modality in modalities]
    # Documents and reports are no examination, unless they are ordered
    return [
        s for s in steps if s.state in states
        and (s.modality in modalities or not _has_only_documents(study))]


def _has_only_documents(study):
    modalities = {s.modality for s in study.series}
    return bool(modalities) and modalities <= NOT_ACQUIRED


def _named_steps(study, request):
    "Return the steps whose IDs the images contain"
    step_ids = study_attributes(study).step_ids
    return [s for s in request.steps if s.step_id in step_ids]


def is_late(study, request):
    """Return whether images were acquired for what was canceled.

    Parameters
    ----------
    study : Study
    request : Request
        Its order.

    Returns
    -------
    bool
    """
    if any(s.study == study for s in request.steps):
        return False
    if not request.steps:
        return request.state == 'canceled' and not _has_only_documents(study)
    canceled = _find_steps(study, request, ['canceled'])
    # Another step of an order may have been canceled for any reason
    return bool(canceled) and (
        request.state == 'canceled' or bool(_named_steps(study, request)))


def complete_canceled(pairs):
    """Complete canceled orders by their images.

    Parameters
    ----------
    pairs : list of tuple
        Study and Request.
    """
    Request = Pool().get('gnuhealth.imaging.test.request')
    for study, request in pairs:
        if not request.steps:
            # Orders from before the module have none
            Request.create_missing_steps([request])
            request = Request(request.id)
        _complete_steps(study, request, [*OPEN_STATES, 'canceled'])
    fulfil_orders(list({study for study, _ in pairs}))


def _awaits_notification(study):
    """Return whether a notification with the step IDs is still expected.

    The synchronization may be faster than the plugin.  Without the step IDs,
    a step could be completed whose images are still to be acquired.
    """
    since = now() - _AWAITED
    return (not study.notified_facts and study.last_update
        and study.last_update > since
        and study.server.has_active_plugin(since))


def _assign_result(study, request):
    "Put the study into the result of its first order"
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    if study.imaging_test and study.imaging_test.request == request:
        return
    result = _result_of(request)
    Study.write([study], {
            'imaging_test': result.id, 'settled_result': result.id,
            'link_status': study.link_status})


def _assign_further_results(study, orders):
    "Put the study into the results of its further orders"
    for further in study.further_orders:
        if not further.result and further.request in orders:
            further.__class__.write(
                [further], {'result': _result_of(further.request).id})


def _result_of(request):
    "Return the result of an order, which is created if missing"
    Result = Pool().get('gnuhealth.imaging.test.result')
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
                    'orthanc_unreported': True,
                    }])
    return results[0]


def _release_result(study, request):
    """Remove the study from the result of an order that was the first one.

    The result is deleted if the link had created it.  If somebody has written
    a report, it is kept and flagged.
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
    Result.release([former])


def _release_further_results(study, orders):
    "Remove the study from the results of further orders that do not count"
    Result = Pool().get('gnuhealth.imaging.test.result')
    for further in study.further_orders:
        result = further.result
        if result and (
                further.request not in orders
                or result.request != further.request):
            further.__class__.write([further], {'result': None})
            Result.release([result])


# --- Key images -----------------------------------------------------------


@without_check_access
def remove_misplaced_key_images(studies):
    """Remove the key images of studies whose patient or result has changed.

    The next synchronization attaches them at the new place.

    Parameters
    ----------
    studies : list of Study
    """
    pool = Pool()
    Attachment = pool.get('ir.attachment')
    Study = pool.get('gnuhealth.imaging_orthanc.study')
    moved = [
        s for s in Study.search([
                ('id', 'in', [s.id for s in studies]),
                ('key_image', '!=', None),
                ])
        if not _is_attached_correctly(s)]
    attachments = [s.key_image for s in moved]
    Study.write(moved, {'key_image': None, 'key_image_at': None})
    Attachment.delete(attachments)


def _is_attached_correctly(study):
    "Return whether a key image is attached to the study's result or patient"
    resource = study.key_image.resource
    if resource == study.imaging_test:
        return True
    return bool(study.patient) and resource == study.patient


def _has_other_images(result):
    "Return whether a result has attachments that are not key images"
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    images = {a.id for a in result.images}
    return bool(images - {
            s.key_image.id for s in Study.search(
                [('key_image', 'in', list(images))])})
