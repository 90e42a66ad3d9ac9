# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps and their orders as rows, for thousands of items at once

The ORM needs a millisecond for the fields of a step and its order.  A row has
the same names; what several steps have in common, as patients and study types,
are records.
"""

from types import SimpleNamespace

from trytond.model import fields
from trytond.pool import Pool
from trytond.tools import grouped_slice, reduce_ids

from ..common.bulk import is_extended
from ..common.rows import fetch_rows
from .variables import rendering, template_data

__all__ = ['find_step_rows', 'find_steps', 'variables_of']

STEP = 'gnuhealth.imaging.procedure.step'
REQUEST = 'gnuhealth.imaging.test.request'
# What the variables of templates are made from
_STEP_COLUMNS = [
    'id', 'request', 'scheduled_at', 'institution', 'performing_physician',
    'step_id', 'description', 'state', 'station_name', 'station_aetitle',
    'location', 'modality', 'laterality']
_REQUEST_COLUMNS = [
    'id', 'patient', 'doctor', 'requested_test', 'context', 'request_line',
    'merge_id', 'accession_number', 'study_instance_uid', 'urgent',
    'comment']
# GNU Health's own module returns nothing that ours does not return anew
_OVERWRITTEN = 'trytond.modules.health_imaging_worklist.'


class _StepRow(SimpleNamespace):
    "A step, of which the order is a row, too"


def find_steps(ids, known):
    """Return the steps that have not been deleted meanwhile, or their rows.

    Parameters
    ----------
    ids : list of int
    known : Known
        It reads what they have in common.

    Returns
    -------
    list
        In the same order.
    """
    steps = find_step_rows(ids)
    if steps is None:
        Step = Pool().get(STEP)
        found = {s.id for s in Step.search([('id', 'in', ids)], order=[])}
        steps = Step.browse([id_ for id_ in ids if id_ in found])
    known.read(steps)
    return steps


def variables_of(step, known=None):
    """Return the variables of a step.

    Parameters
    ----------
    step : ProcedureStep or row
    known : Known, optional

    Returns
    -------
    dict
        See `Request.get_worklist_template_data`.
    """
    with rendering(step, known):
        if not isinstance(step, _StepRow):
            return step.request.get_worklist_template_data()
        # Templates may read any field of the order
        return {**template_data(step.request), 'my': step.request.record}


def find_step_rows(ids):
    """Return the steps that have not been deleted meanwhile.

    Parameters
    ----------
    ids : list of int

    Returns
    -------
    list of SimpleNamespace or None
        In the same order.  None if another module has a part in what is read,
        so that records are needed.
    """
    pool = Pool()
    Step, Request = pool.get(STEP), pool.get(REQUEST)
    if is_extended(
            Request, 'get_worklist_template_data', 'worklist_template',
            but=_OVERWRITTEN):
        return None
    if not (_are_stored(Step, _STEP_COLUMNS)
            and _are_stored(Request, _REQUEST_COLUMNS)):
        return None
    steps = _read(Step, _STEP_COLUMNS, ids, _StepRow)
    requests = _read(
        Request, _REQUEST_COLUMNS, [s.request for s in steps.values()],
        SimpleNamespace)
    templates = _templates({r.requested_test for r in requests.values()})
    for request, record in zip(
            requests.values(), Request.browse(list(requests))):
        request.record = record
        request.worklist_template = templates[request.requested_test]
    found = []
    for id_ in ids:
        step = steps.get(id_)
        # SQLite may have lost one between the two statements
        if step and step.request in requests:
            step.request = requests[step.request]
            found.append(step)
    return found


def _templates(tests):
    "Return what is needed of the templates of study types, by study type"
    found = {}
    for test in tests:
        template = test.active_worklist_template
        found[test] = template and SimpleNamespace(**{
                name: getattr(template, name)
                for name in ['template_type', 'template', 'charset']})
    return found


def _are_stored(Model, names):
    return not any(
        isinstance(Model._fields[name], fields.Function) for name in names)


def _read(Model, names, ids, Row):
    """Return rows by their ids, with records for what they refer to.

    The order of a step stays an id.
    """
    table = Model.__table__()
    columns = [getattr(table, name) for name in names]
    convert = [_converter(Model._fields[name]) for name in names]
    rows = []
    for some in grouped_slice(sorted(set(ids))):
        rows.extend(fetch_rows(table.select(
                    *columns, where=reduce_ids(table.id, list(some)))))
    values = [
        function(column) for function, column in zip(convert, zip(*rows))]
    return {
        row[0]: Row(**dict(zip(names, row))) for row in zip(*values)}


def _converter(field):
    "Return a function that converts a column of values of a field"
    if not isinstance(field, fields.Many2One) or (
            field.model_name == REQUEST):
        return list
    Target = Pool().get(field.model_name)

    def convert(ids):
        records = {
            record.id: record
            for record in Target.browse(sorted(set(ids) - {None}))}
        return [records.get(id_) for id_ in ids]
    return convert
