# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Route that downloads a study or series as ZIP"""

import itertools
import secrets
from html import escape
from http import HTTPStatus

from werkzeug.exceptions import abort
from werkzeug.wrappers import Response

from trytond.i18n import gettext
from trytond.model.exceptions import AccessError
from trytond.protocols.wrappers import (
    set_max_request_size, with_pool, with_transaction)
from trytond.transaction import Transaction
from trytond.wsgi import app

from ..archive.audited import study_events
from ..audit.trail import AuditEvent, record_event, record_events
from ..common.exceptions import QuarantineError, describe
from ..common.routes import browser_language, is_active, known_database
from ..core.orthanc.errors import OrthancError
from ..core.secrets import SecretUnavailable
from .deletion import LEVELS, get_study

__all__ = ['download']

WIZARD = 'gnuhealth.imaging_orthanc.download_images'
# Bytes of a form with a ticket
_FORM_SIZE = 2**12

# The ticket is the fragment of the URL. Browsers do not send it, so that it is
# in no log. The page reads it and posts it.
_PAGE = """\
<!DOCTYPE html>
<html>
<head><meta charset="utf-8"><title>{title}</title></head>
<body>
<p>{text}</p>
<form method="post"><input type="hidden" name="ticket"></form>
<script nonce="{nonce}">
const form = document.forms[0];
form.elements.ticket.value = location.hash.slice(1);
history.replaceState(null, '', location.pathname);
if (form.elements.ticket.value) form.submit();
</script>
</body>
</html>
"""
_HEADERS = {
    'Cache-Control': 'no-store',
    'Referrer-Policy': 'same-origin',
    'X-Content-Type-Options': 'nosniff',
    }


@app.route('/<database_name>/orthanc/download', methods={'GET', 'POST'})
@known_database
@set_max_request_size(_FORM_SIZE)
@with_pool
def download(request, pool):
    """Send the ZIP of a study or series.

    ``GET /<database>/orthanc/download`` returns a page that posts the ticket
    in the fragment of its URL; ``POST`` with ``ticket`` streams the ZIP from
    Orthanc, outside of transactions.

    Parameters
    ----------
    request : Request
    pool : Pool

    Returns
    -------
    Response
        403 if the ticket is not valid or the study is in quarantine, 502
        with the reason if Orthanc fails.
    """
    if request.method != 'POST':
        return _page(request, pool)
    try:
        person, record, client, resource = _redeem(
            request, pool, request.form.get('ticket', '')) or (
            abort(HTTPStatus.FORBIDDEN))
    except QuarantineError as error:
        return Response(
            error.message, status=HTTPStatus.FORBIDDEN,
            content_type='text/plain; charset=utf-8', headers=_HEADERS)
    try:
        pieces = client.archive(*resource)
        # After the first piece, an error could not be reported any more
        pieces = itertools.chain([next(pieces, b'')], pieces)
    except OrthancError as error:
        client.close()
        _record(request, pool, person, record, 'failure')
        return Response(
            _describe(request, pool, error), status=HTTPStatus.BAD_GATEWAY,
            content_type='text/plain; charset=utf-8',
            headers=_HEADERS)
    try:
        _record(request, pool, person, record, 'success')
    except BaseException:
        client.close()
        raise
    response = Response(
        pieces, content_type='application/zip', direct_passthrough=True,
        headers={
            **_HEADERS,
            'Content-Disposition': (
                f'attachment; filename="{resource[0]}-{record[1]}.zip"'),
            })
    response.call_on_close(client.close)
    return response


@with_transaction(readonly=True)
def _page(request, pool):
    if not is_active(pool):
        abort(HTTPStatus.NOT_FOUND)
    nonce = secrets.token_urlsafe(16)
    with Transaction().set_context(language=browser_language(request, pool)):
        page = _PAGE.format(
            title=escape(gettext('health_orthanc.msg_download_title')),
            text=escape(gettext('health_orthanc.msg_download_starts')),
            nonce=nonce)
    return Response(page, content_type='text/html; charset=utf-8', headers={
            **_HEADERS,
            'Content-Security-Policy': (
                f"default-src 'none'; script-src 'nonce-{nonce}'; "
                "form-action 'self'; base-uri 'none'; "
                "frame-ancestors 'none'"),
            })


@with_transaction(readonly=True)
def _describe(request, pool, error):
    with Transaction().set_context(language=browser_language(request, pool)):
        return describe(error.kind, status=error.status or '')


@with_transaction(readonly=False)
def _redeem(request, pool, ticket):
    """Return what a ticket is for, or None if it is not valid.

    Returns
    -------
    person : int
        The id of the user.
    record : tuple
        The model and the id.
    client : OrthancClient
    resource : tuple
        The arguments of `OrthancClient.archive`.
    """
    if not is_active(pool):
        return None
    Download = pool.get('gnuhealth.imaging_orthanc.download')
    Wizard = pool.get(WIZARD, type='wizard')
    found = Download.redeem(ticket)
    if not found:
        record_event(AuditEvent('download', 'refused', detail="ticket"))
        return None
    user, record = found
    model = record.__name__
    # The user's access may have changed since the ticket was issued
    with Transaction().set_user(user.id), Transaction().set_context(
            active_model=model, active_id=record.id, active_ids=[record.id]):
        try:
            Wizard.check_access()
        except AccessError:
            return _refuse(user, record)
    if not user.active:
        return _refuse(user, record)
    with Transaction().set_context(language=browser_language(request, pool)):
        # It may have been reported since the ticket was issued
        try:
            record.__class__(record.id).check_released()
        except QuarantineError:
            _refuse(user, record)
            raise
    try:
        client = get_study(record).server.get_client()
    except SecretUnavailable:
        return None
    return (
        user.id, (model, record.id), client,
        (LEVELS[model], record.orthanc_UID))


def _refuse(user, record):
    "Record the refusal of a download"
    record_events(_events(user.id, record, 'refused'))


@with_transaction(readonly=True)
def _record(request, pool, person, record, outcome):
    "Record a download"
    model, id_ = record
    record_events(_events(person, pool.get(model)(id_), outcome))


def _events(person, record, outcome):
    return study_events(
        'download', [get_study(record)], outcome=outcome, user_id=person,
        detail=LEVELS[record.__name__])
