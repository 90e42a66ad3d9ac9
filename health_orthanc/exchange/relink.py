# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Links, steps and results that follow a study to the right patient"""

from contextlib import contextmanager

from trytond.pool import Pool
from trytond.transaction import Transaction

from ..linking.fulfilment import fulfil_orders

__all__ = ['link_back', 'link_to_right_patient']

# What makes up the link of a study
_LINK = [
    'patient', 'request', 'link_status', 'decided_by', 'decided_at',
    'decision_reason', 'score']
# What a result takes from its order
_OF_ORDER = [
    'patient', 'request', 'order', 'request_date', 'requested_test',
    'merge_id']

_NUMBERS = ['accession_number', 'study_instance_uid', 'merge_id']


def link_to_right_patient(wrong):
    """Link what was moved to the right patient and order.

    A finding that was written about the images goes with them; the order that
    they do not belong to is open again.

    Parameters
    ----------
    wrong : WrongPatient

    Returns
    -------
    dict
        What `link_back` restores, for JSON.
    """
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    study = Study(wrong.moved_study.id)
    before = {'link': _values(wrong.study, _LINK), 'further': [
            f.request.id for f in wrong.study.further_orders]}
    before['link']['decided_at'] = _text(before['link']['decided_at'])
    if not wrong.new_study:
        before['result'] = _move_result(wrong, study)
    with _moving(wrong):
        Study.link_because(
            study, wrong.patient_to, wrong.request_to, wrong.reason)
    _complete_anew(wrong.study if wrong.new_study else None)
    before['numbers'] = _renew_numbers(wrong, Study(study.id))
    return before


def link_back(wrong, before):
    """Undo `link_to_right_patient`.

    Parameters
    ----------
    wrong : WrongPatient
    before : dict
    """
    pool = Pool()
    Study = pool.get('gnuhealth.imaging_orthanc.study')
    Request = pool.get('gnuhealth.imaging.test.request')
    if wrong.new_study:
        with _moving(wrong):
            Study.unlink_because([wrong.new_study], wrong.reason)
        _complete_anew(wrong.study)
        return
    _return_result(before.get('result'))
    if before['numbers'] and wrong.request_from:
        Request.write([wrong.request_from], before['numbers'])
    study = Study(wrong.study.id)
    with _moving(wrong):
        further = [
            r for r in Request.search([('id', 'in', before['further'])])
            if r.patient == wrong.patient_from]
        Study.link_because(
            study, wrong.patient_from, wrong.request_from, wrong.reason,
            further=further)
    Study.write([Study(study.id)], {
            name: value for name, value in before['link'].items()
            if name not in {'patient', 'request', 'decided_at'}})
    fulfil_orders([study])


@contextmanager
def _moving(wrong):
    "Decide in the name of the user who moves, in a task, too"
    with Transaction().set_user(wrong.moved_by.id if wrong.moved_by else 0), \
            Transaction().set_context(
                _orthanc_moving=True, _check_access=False):
        yield


def _renew_numbers(wrong, study):
    """Give the wrong order new numbers if the images still have its own.

    Returns
    -------
    dict or None
        The former numbers.
    """
    order = wrong.request_from
    if not order or wrong.new_study or study.study_instance_UID not in {
            order.study_instance_uid, order.merge_id}:
        return None
    former = _values(order, _NUMBERS)
    order.renew_identifiers([order])
    return former


def _values(record, names):
    return {
        name: getattr(value, 'id', value)
        for name, value in ((n, getattr(record, n)) for n in names)}


def _text(value):
    return value.isoformat() if value else None


def _move_result(wrong, study):
    """Move a finding that was written about the images.

    It is left where it is, and flagged by the change of the link, if it is
    about other images, too, or if the right order has a finding of its own.

    Returns
    -------
    dict or None
        The result and its former values.
    """
    Result = Pool().get('gnuhealth.imaging.test.result')
    result, request = study.imaging_test, wrong.request_to
    if not result or result.orthanc_unreported or (
            result.request != wrong.request_from) or (
            set(result.orthanc_studies) != {study}):
        return None
    if request and Result.search([('request', '=', request.id)], limit=1):
        return None
    former = _values(result, _OF_ORDER)
    former['request_date'] = _text(former['request_date'])
    values = {'patient': wrong.patient_to.id, 'request': None, 'order': None}
    if request:
        values = {
            'patient': wrong.patient_to.id,
            'request': request.id,
            'order': request.request,
            'request_date': request.date,
            'requested_test': request.requested_test.id,
            'merge_id': request.merge_id,
            }
    Result.write([result], values)
    study.__class__.write([study], {
            'settled_result': result.id, 'link_status': study.link_status})
    return {'id': result.id, 'values': former}


def _return_result(moved):
    pool = Pool()
    Result = pool.get('gnuhealth.imaging.test.result')
    found = Result.search([('id', '=', moved['id'])]) if moved else []
    if found:
        values = moved['values']
        # The date is the order's
        if values.get('request'):
            request = pool.get('gnuhealth.imaging.test.request')(
                values['request'])
            values = {**values, 'request_date': request.date}
        else:
            del values['request_date']
        Result.write(found, values)


def _complete_anew(study):
    "Complete only those steps that the images of a study still belong to"
    if not study:
        return
    Step = Pool().get('gnuhealth.imaging.procedure.step')
    for step in Step.search([
                ('study', '=', study.id), ('state', '=', 'completed')]):
        Step.move([step], step.state_before, ended_at=None)
        Step.write([step], {'study': None, 'state_before': None})
    fulfil_orders([study])
