# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests of plugins and viewers in the access log

A plugin asks for the worklist every two seconds.  trytond and its HTTP server
write a line for each request: all others would be lost among these.  The
queries of viewers hold data of patients.
"""

import logging
import re

__all__ = ['PollFilter', 'QueryFilter', 'hide_queries', 'leave_out_polls']

# What trytond writes before a request, and werkzeug after it
_LOGGERS = ['trytond.wsgi', 'werkzeug']
_PATH = re.compile('/[^/]+/orthanc/worklist')
# With or without colors, and only if the request has succeeded
_LINE = re.compile(
    r'GET /[^/ ]+/orthanc/worklist(\?\S*)? HTTP/[0-9.]+[^"]*" (200|304) ')

# What writes the address of a request, also of one that has failed
_ADDRESS_LOGGERS = [*_LOGGERS, 'trytond.protocols.wrappers']
_QUERY = re.compile(r'(/orthanc/dicomweb/[^\s?]*)\?\S*')

_logger = logging.getLogger('trytond.modules.health_orthanc.routes')


class PollFilter(logging.Filter):
    "Leave out the polls of plugins, except at level DEBUG"

    def filter(self, record):
        """Return whether a record is logged.

        Parameters
        ----------
        record : LogRecord

        Returns
        -------
        bool
        """
        if record.levelno > logging.INFO or _logger.isEnabledFor(
                logging.DEBUG):
            return True
        if record.name == 'werkzeug':
            return not _LINE.search(record.getMessage())
        return not any(
            _PATH.fullmatch(getattr(arg, 'path', None) or '')
            for arg in _arguments(record))


def _arguments(record):
    return record.args if isinstance(record.args, tuple) else ()


def leave_out_polls():
    "Leave out the polls of plugins from the log of trytond and werkzeug"
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(f, PollFilter) for f in logger.filters):
            logger.addFilter(PollFilter())


class QueryFilter(logging.Filter):
    "Leave out the queries of viewers, which name patients"

    def filter(self, record):
        """Change what is logged of a record.

        Parameters
        ----------
        record : LogRecord

        Returns
        -------
        bool
            True.
        """
        text = record.getMessage()
        hidden = _QUERY.sub(r'\1', text)
        if hidden != text:
            record.msg, record.args = hidden, ()
        return True


def hide_queries():
    "Leave out the queries of viewers from the log"
    for name in _ADDRESS_LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(f, QueryFilter) for f in logger.filters):
            logger.addFilter(QueryFilter())
