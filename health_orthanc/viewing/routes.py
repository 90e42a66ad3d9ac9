# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Routes from *View* in the client to the viewer in the browser"""

from html import escape
from http import HTTPStatus

from werkzeug.exceptions import abort
from werkzeug.wrappers import Response

from trytond.i18n import gettext
from trytond.protocols.wrappers import (
    set_max_request_size, with_pool, with_transaction)
from trytond.transaction import Transaction
from trytond.wsgi import app

from ..common.routes import (
    browser_language, check_same_origin, is_active, json_response,
    known_database)
from .session import COOKIE, cookie_path, viewer_path

__all__ = ['open_session', 'view', 'view_script']

# Bytes of a ticket, and more
_TICKET_SIZE = 2**10

# The ticket is the fragment of the URL. Browsers do not send it, so that it is
# in no log. The script reads it and posts it.
_PAGE = """\
<!DOCTYPE html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<title>{title}</title>
<script src="view.js" defer></script>
</head>
<body>
<p id="opening">{opening}</p>
<p id="refused" role="alert" hidden>{ticket}</p>
<noscript><p>{script}</p></noscript>
</body>
</html>
"""
_SCRIPT = """\
'use strict';
const ticket = location.hash.slice(1);
history.replaceState(null, '', location.pathname);

function refuse(message) {
    const refused = document.getElementById('refused');
    if (message) refused.textContent = message;
    document.getElementById('opening').hidden = true;
    refused.hidden = false;
}

async function open() {
    const response = await fetch('viewer-session', {
        method: 'POST', body: ticket, credentials: 'same-origin',
        headers: {'Content-Type': 'text/plain'}});
    const answer = await response.json();
    if (response.ok) location.replace(answer.address);
    else refuse(answer.message);
}

open().catch(() => refuse());
"""
_HEADERS = {
    'Cache-Control': 'no-store',
    'Cross-Origin-Resource-Policy': 'same-origin',
    'Referrer-Policy': 'same-origin',
    'X-Content-Type-Options': 'nosniff',
    }
_POLICY = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'")


@app.route('/<database_name>/orthanc/view', methods={'GET'})
@known_database
@with_pool
@with_transaction(readonly=True)
def view(request, pool):
    """Return the page that posts the ticket in the fragment of its URL.

    ``GET /<database>/orthanc/view``

    Parameters
    ----------
    request : Request
    pool : Pool

    Returns
    -------
    Response
    """
    if not is_active(pool):
        abort(HTTPStatus.NOT_FOUND)
    language = browser_language(request, pool)
    with Transaction().set_context(language=language):
        page = _PAGE.format(language=language.replace('_', '-'), **{
                name: escape(gettext(f'health_orthanc.msg_viewing_{name}'))
                for name in ['title', 'opening', 'ticket', 'script']})
    return Response(page, content_type='text/html; charset=utf-8', headers={
            **_HEADERS, 'Content-Security-Policy': _POLICY})


@app.route('/<database_name>/orthanc/view.js', methods={'GET'})
@known_database
def view_script(request, database_name):
    """Return the script of the page.

    ``GET /<database>/orthanc/view.js``

    Parameters
    ----------
    request : Request
    database_name : str

    Returns
    -------
    Response
    """
    return Response(
        _SCRIPT, content_type='text/javascript; charset=utf-8',
        headers=_HEADERS)


@app.route('/<database_name>/orthanc/viewer-session', methods={'POST'})
@known_database
@set_max_request_size(_TICKET_SIZE)
@with_pool
def open_session(request, pool):
    """Exchange a ticket for the cookie of the viewer.

    ``POST /<database>/orthanc/viewer-session`` with the ticket as body.

    Parameters
    ----------
    request : Request
    pool : Pool

    Returns
    -------
    Response
        JSON with what was opened and the ``address`` of the viewer;
        403 with a ``message`` if the ticket is not valid any more.
    """
    check_same_origin(request)
    value, opened, message = _open(request, pool)
    if value is None:
        return json_response(
            request, {'message': message}, HTTPStatus.FORBIDDEN)
    opened['address'] = viewer_path(
        pool.database_name, opened['server'], opened['studies'],
        opened['series'])
    response = json_response(request, opened)
    # Not one for other sites, nor for scripts; it ends with the browser, or
    # before that with the session of the client
    response.set_cookie(
        COOKIE, value, path=cookie_path(pool.database_name),
        secure=request.is_secure, httponly=True, samesite='Strict')
    return response


@with_transaction(readonly=False)
def _open(request, pool):
    "Return cookie and what was opened, or a message"
    if not is_active(pool):
        abort(HTTPStatus.NOT_FOUND)
    Session = pool.get('gnuhealth.imaging_orthanc.viewer_session')
    found = Session.open_ticket(
        request.get_data(as_text=True), request.cookies.get(COOKIE))
    if found:
        return *found, None
    with Transaction().set_context(language=browser_language(request, pool)):
        return None, None, gettext('health_orthanc.msg_viewing_ticket')
