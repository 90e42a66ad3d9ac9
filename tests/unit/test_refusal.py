# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client of a server that must not be reached sends nothing."""
import io

import pytest

from trytond.modules.health_orthanc.core.orthanc.errors import DatabaseCopied
from trytond.modules.health_orthanc.core.orthanc.refusal import RefusingClient

from .fake_orthanc import FakeOrthanc

ID = '-'.join(['01234567'] * 5)
CALLS = {
    'read': lambda client: client.probe(),
    'list': lambda client: client.changes(0, 10),
    'web': lambda client: client.dicom_web('GET', 'studies'),
    'stream': lambda client: next(client.archive('study', ID)),
    'post': lambda client: client.bulk_content([ID]),
    'store': lambda client: client.store_instance(io.BytesIO(b'x' * 9), 9),
    'delete': lambda client: client.delete('study', ID),
    'worklist': lambda client: client.worklists(),
    }


@pytest.fixture(scope='module')
def orthanc():
    with FakeOrthanc() as orthanc:
        yield orthanc


@pytest.mark.parametrize('name', CALLS)
def test_nothing_is_sent(orthanc, name):
    with RefusingClient(orthanc.url) as client:
        with pytest.raises(DatabaseCopied) as caught:
            CALLS[name](client)
    assert orthanc.connections == 0
    assert not caught.value.transient
    # As all errors of the client, it tells no identifier
    assert ID not in str(caught.value)
