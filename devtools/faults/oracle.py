# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What GNU Health must hold in the end, whatever has happened."""
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

__all__ = [
    'Order', 'completed_steps', 'find_troubles', 'last_run', 'last_task',
    'notifications', 'tasks_after', 'waiting_tasks']


@dataclass(frozen=True)
class Order:
    """An order of two steps, and the ids of what belongs to it.

    Attributes
    ----------
    steps
        The records by step ID.
    uid
        StudyInstanceUID.
    study
        What Orthanc will call the study.
    """
    request: int
    patient: int
    steps: dict[str, int]
    accession: str
    uid: str
    study: str


def completed_steps(connection, order: Order) -> set[int]:
    """Return the ids of the steps that are completed."""
    return set(_Reader(connection).column("""
        SELECT id FROM gnuhealth_imaging_procedure_step
            WHERE request = %s AND state = 'completed'""", order.request))


def find_troubles(connection, order: Order) -> list[str]:
    """Return what is not as it has to be; nothing in the end."""
    return list(_troubles(_Reader(connection), order))


def _troubles(reader: '_Reader', order: Order) -> Iterator[str]:
    request, = reader.column(
        'SELECT state FROM gnuhealth_imaging_test_request WHERE id = %s',
        order.request)
    if request != 'done':
        yield f"the request is {request}"
    studies = reader.rows("""
        SELECT id, "orthanc_UID", link_status, score, request, patient,
            imaging_test, missing_since
            FROM gnuhealth_imaging_orthanc_study
            WHERE "study_instance_UID" = %s OR request = %s""",
        order.uid, order.request)
    results = reader.column("""
        SELECT id FROM gnuhealth_imaging_test_result WHERE request = %s""",
        order.request)
    if len(results) != 1:
        yield f"{len(results)} results"
    if len(studies) != 1:
        yield f"{len(studies)} studies"
        return
    study, = studies
    expected = (
        order.study, 'auto_certain', 100, order.request, order.patient,
        results[0] if results else None, None)
    for name, found, value in zip(
            ['Orthanc id', 'link', 'score', 'request', 'patient', 'result',
                'missing'], study[1:], expected):
        if found != value:
            yield f"the study's {name} is {found}"
    yield from _step_troubles(reader, order, study[0])
    yield from _history_troubles(reader, order, study[0])
    series = reader.column("""
        SELECT count(*) FROM gnuhealth_imaging_orthanc_study_series
            WHERE study = %s AND missing_since IS NULL""", study[0])
    if series != [2]:
        yield f"{series[0]} series"


def _step_troubles(
        reader: '_Reader', order: Order, study: int) -> Iterator[str]:
    steps = reader.rows("""
        SELECT id, state, study FROM gnuhealth_imaging_procedure_step
            WHERE request = %s ORDER BY id""", order.request)
    if {id_ for id_, *_ in steps} != set(order.steps.values()):
        yield f"{len(steps)} steps"
    for _, state, found in steps:
        if state != 'completed':
            yield f"a step is {state}"
        elif found != study:
            yield "a step is not of the study"


def _history_troubles(
        reader: '_Reader', order: Order, study: int) -> Iterator[str]:
    lines = reader.rows("""
        SELECT request_from, request_to, status_to, "user"
            FROM gnuhealth_imaging_orthanc_study_decision
            WHERE study = %s ORDER BY id""", study)
    if lines != [(None, order.request, 'auto_certain', None)]:
        yield f"the history is {lines}"


def notifications(
        connection, orders: Sequence[Order]) -> tuple[int, int, int]:
    """Return what GNU Health has been told.

    Of how many studies, how many notifications it has kept of them, and how
    many it has worked off.
    """
    row, = _Reader(connection).rows("""
        SELECT count(DISTINCT "orthanc_UID"), count(*), count(processed_at)
            FROM gnuhealth_orthanc_notification
            WHERE "orthanc_UID" = ANY(%s)""",
        [order.study for order in orders])
    return row


def waiting_tasks(connection) -> int:
    """Return how many tasks no worker has taken yet."""
    return _Reader(connection).column("""
        SELECT count(*) FROM ir_queue WHERE dequeued_at IS NULL""")[0]


def last_task(connection) -> int:
    """Return the id of the last task that was put into the queue."""
    return _Reader(connection).column(
        'SELECT coalesce(max(id), 0) FROM ir_queue')[0]


def tasks_after(connection, last: int) -> int:
    """Return how many tasks that came after one are not finished."""
    return _Reader(connection).column("""
        SELECT count(*) FROM ir_queue
            WHERE id > %s AND finished_at IS NULL""", last)[0]


def last_run(connection) -> tuple[str, str]:
    """Return kind and state of the last synchronisation."""
    row, = _Reader(connection).rows("""
        SELECT kind, state FROM gnuhealth_orthanc_synchronization
            ORDER BY id DESC LIMIT 1""")
    return row


class _Reader:
    """Reads past Tryton: what is cached somewhere cannot be believed."""

    def __init__(self, connection):
        self._connection = connection

    def rows(self, query: str, *parameters: object) -> list[tuple]:
        with self._connection.cursor() as cursor:
            cursor.execute(query, parameters)
            return cursor.fetchall()

    def column(self, query: str, *parameters: object) -> list:
        return [value for value, in self.rows(query, *parameters)]
