# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Route from which plugins read the worklist"""

import base64
from http import HTTPStatus

from werkzeug.wrappers import Response

from trytond.protocols.wrappers import with_pool
from trytond.transaction import Transaction, without_check_access
from trytond.wsgi import app

from ..common.access_log import leave_out_polls
from ..common.routes import json_response, known_database
from ..operation.plugin_routes import check_plugin

__all__ = ['worklist']

leave_out_polls()


@app.route('/<database_name>/orthanc/worklist', methods={'GET'})
@known_database
@with_pool
def worklist(request, pool):
    """Return the worklist to a plugin.

    ``GET /<database>/orthanc/worklist?since=<index>``; with If-None-Match,
    304 if nothing has changed.

    Parameters
    ----------
    request : Request
    pool : Pool

    Returns
    -------
    Response
        JSON, see `WorklistEntry.page`.
    """
    # First, so that others do not learn whether the module is active
    check_plugin(request, pool)
    page = _page(request, pool)
    if page is None:
        return Response(status=HTTPStatus.NOT_MODIFIED)
    etag = page.pop('etag', None)
    for entry in page['entries']:
        entry['dicom'] = base64.b64encode(entry['dicom']).decode()
    response = json_response(request, page)
    if etag:
        response.set_etag(etag)
    return response


def _page(request, pool):
    since = request.args.get('since', default=0, type=int)
    # Compressing proxies turn the ETag into a weak one
    etag = next(iter(request.if_none_match.as_set(include_weak=True)), None)
    with Transaction().start(pool.database_name, 0, readonly=True):
        Entry = pool.get('gnuhealth.imaging.worklist.entry')
        with without_check_access():
            # Further pages belong to the state of the first one
            if not since or etag:
                Entry.refresh()
            return Entry.page(since, etag=etag)
