# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the log says of errors, and what it leaves out."""
import logging
from types import SimpleNamespace

import pytest
from werkzeug.serving import WSGIRequestHandler

from trytond.modules.health_orthanc.common.access_log import (
    PollFilter, QueryFilter, hide_queries, leave_out_polls)
from trytond.modules.health_orthanc.common.diagnostics import (
    locate_error, log_unexpected)

PATIENT = 'Muster^Erika'


def fail(name):
    raise ValueError(f"cannot read {name}")


def wrap(name):
    try:
        fail(name)
    except ValueError as error:
        raise KeyError(name) from error


def caught(function, *args):
    with pytest.raises(Exception) as info:
        function(*args)
    return info.value


def test_frames_are_named():
    text = locate_error(caught(fail, PATIENT))
    assert text.startswith('ValueError in ')
    places = text.removeprefix('ValueError in ').split(' > ')
    line = fail.__code__.co_firstlineno + 1
    assert places[-1] == f'tests/unit/test_diagnostics.py:{line} fail'
    assert places[0].endswith(' caught')


def test_causes_are_named():
    text = locate_error(caught(wrap, PATIENT))
    assert text.startswith('KeyError in ')
    assert ', caused by ValueError in ' in text
    assert text.endswith(' fail')


def test_no_value_and_no_message():
    text = locate_error(caught(wrap, PATIENT))
    assert 'Erika' not in text and 'cannot' not in text
    assert '\n' not in text


def test_an_error_that_was_not_raised():
    assert locate_error(ValueError(PATIENT)) == 'ValueError'


def test_deep_recursion_is_cut():
    def dive():
        dive()
    assert len(locate_error(caught(dive))) < 4000


def test_a_cycle_of_causes_ends():
    error = caught(fail, PATIENT)
    error.__cause__ = other = KeyError()
    other.__cause__ = error
    assert locate_error(error).count('caused by') == 1


@pytest.mark.parametrize('level', [logging.INFO, logging.DEBUG])
def test_the_message_only_appears_at_debug(caplog, level):
    logger = logging.getLogger('test_diagnostics')
    with caplog.at_level(level, 'test_diagnostics'):
        log_unexpected(logger, caught(fail, PATIENT), "Server %s", 3)
    record, = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage().startswith('Server 3: ValueError in ')
    assert ('Erika' in caplog.text) == (level == logging.DEBUG)


# --- The polls of plugins -------------------------------------------------

@pytest.fixture
def filtered():
    """Return whether what trytond or werkzeug write is left out."""
    def filtered(name, *args):
        record = logging.LogRecord(
            name, logging.INFO, '', 0, args[0], args[1:], None)
        return not PollFilter().filter(record)
    return filtered


def answered(filtered, line, status):
    """Let werkzeug log a request; return whether it is left out."""
    found = []
    handler = WSGIRequestHandler.__new__(WSGIRequestHandler)
    handler.requestline = line
    handler.command, handler.path, handler.request_version = line.split()
    handler.log = lambda type_, message, *args: found.append(
        filtered('werkzeug', f'127.0.0.1 - - [x] {message}', *args))
    handler.log_request(status, 3)
    left_out, = found
    return left_out


@pytest.mark.parametrize('path, left_out', [
    ('/health/orthanc/worklist', True),
    ('/health/orthanc/notify', False),
    ('/health/', False),
    ('/health/orthanc/worklist/x', False)])
def test_requests_in_the_log_of_trytond(filtered, path, left_out):
    request = SimpleNamespace(path=path)
    assert filtered('trytond.wsgi', '%s', request) == left_out


@pytest.mark.parametrize('line, status, left_out', [
    ('GET /health/orthanc/worklist?since=7 HTTP/1.1', 304, True),
    ('GET /health/orthanc/worklist HTTP/1.0', 200, True),
    ('GET /health/orthanc/worklist?since=7 HTTP/1.1', 403, False),
    ('GET /health/orthanc/worklist?since=7 HTTP/1.1', 500, False),
    ('POST /health/orthanc/notify HTTP/1.1', 200, False),
    ('GET /x?/health/orthanc/worklist HTTP/1.1', 200, False)])
def test_answers_in_the_log_of_werkzeug(filtered, line, status, left_out):
    assert answered(filtered, line, status) == left_out


def test_nothing_is_left_out_at_debug(filtered, caplog):
    request = SimpleNamespace(path='/health/orthanc/worklist')
    with caplog.at_level(
            logging.DEBUG, 'trytond.modules.health_orthanc.routes'):
        assert not filtered('trytond.wsgi', '%s', request)


def test_warnings_are_logged():
    record = logging.LogRecord(
        'trytond.wsgi', logging.ERROR, '', 0, '%s',
        (SimpleNamespace(path='/health/orthanc/worklist'),), None)
    assert PollFilter().filter(record)


def test_the_filter_is_installed_once():
    leave_out_polls()
    leave_out_polls()
    for name in ['trytond.wsgi', 'werkzeug']:
        assert sum(
            isinstance(found, PollFilter)
            for found in logging.getLogger(name).filters) == 1


# --- The queries of viewers -----------------------------------------------

ROUTE = '/health/orthanc/dicomweb/1/dicom-web/studies'


@pytest.mark.parametrize('line', [
        f"<Request 10.0.0.1 'http://h{ROUTE}?00100020=O'Neill;x=1' [GET]>",
        f'10.0.0.1 - - [x] "GET {ROUTE}?PatientID=Neill HTTP/1.1" 200 -',
        f'10.0.0.1 - - [x] "GET {ROUTE}/1.2/series?PatientName=Neill HTTP"'])
@pytest.mark.parametrize('split', [False, True])
def test_queries_are_hidden(line, split):
    args = ['%s', (line,)] if split else [line, ()]
    record = logging.LogRecord(
        'werkzeug', logging.INFO, '', 0, *args, None)
    assert QueryFilter().filter(record)
    text = record.getMessage()
    assert ROUTE in text
    assert 'Neill' not in text and '?' not in text


def test_other_queries_are_logged():
    line = '"GET /health/orthanc/worklist?since=3 HTTP/1.1" 200 %d%%'
    record = logging.LogRecord(
        'werkzeug', logging.INFO, '', 0, line, (5,), None)
    assert QueryFilter().filter(record)
    assert 'since=3 HTTP/1.1" 200 5%' in record.getMessage()


def test_the_filter_of_queries_is_installed_once():
    hide_queries()
    hide_queries()
    for name in ['trytond.wsgi', 'trytond.protocols.wrappers', 'werkzeug']:
        assert sum(
            isinstance(found, QueryFilter)
            for found in logging.getLogger(name).filters) == 1
