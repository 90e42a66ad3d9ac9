# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was sent file by file, for the wizard that follows.

A transfer lies in the spool: a line of JSON with who sends to which server,
and one for each request that followed, with what became of the files in it.
"""

import datetime as dt
import json
import re

from trytond.transaction import Transaction

from ..core.dicom.file_header import Header
from . import spool
from .upload import Outcome

__all__ = ['TransferItem', 'begin', 'check', 'load', 'record', 'reference']

# What clients give to the wizard instead of files: how many of them were not
# sent comes last
_REFERENCE = re.compile(rb'TRANSFER ([0-9a-f]{32}) ([0-9]{1,9})')
# Bytes of the line that says whose it is
_LINE_LIMIT = 1024
# What of a header tells whose a file is: all files of a study have the same
_IDENTITY = [
    'study_uid', 'patient_id', 'issuer', 'patient_name', 'birth_date', 'sex',
    'accession_number', 'modality']


class TransferItem:
    """A file that was sent, or tried to be

    Attributes
    ----------
    name : str
    size : int
    outcome : Outcome
    """
    __slots__ = ('name', 'size', 'outcome')

    def __init__(self, name, size, outcome):
        self.name = name
        self.size = size
        self.outcome = outcome


def begin(server_id):
    "Return the key of a new transfer of the current user"
    return spool.keep(_line(_owner(server_id)))


def check(key, server_id):
    """See that a transfer is one of the current user to the server.

    Raises
    ------
    LostUpload
    """
    with spool.opened(key) as file:
        _check(file, server_id)


def record(key, number, items):
    """Note what became of the files of a request.

    Parameters
    ----------
    number : int
        Of the file of the client, which takes the place of what was noted
        for the same number before.
    items : list of TransferItem

    Raises
    ------
    LostUpload
    """
    # Whatever another request left of its line, this is one of its own
    spool.append(
        key, b'\n' + _line([number, list(map(_to_json, items))]))


def load(key, server_id):
    """Return the files of a transfer of the current user.

    Returns
    -------
    list of TransferItem

    Raises
    ------
    LostUpload
    """
    found, headers = {}, {}
    with spool.opened(key) as file:
        _check(file, server_id)
        for line in file:
            try:
                number, items = json.loads(line)
            except ValueError:
                # A server was stopped while it wrote, or a line is empty
                continue
            found[number] = [_from_json(item, headers) for item in items]
    return [item for number in sorted(found) for item in found[number]]


def reference(data):
    """Return the key that stands for files, and how many were not sent.

    Both are None where the data are files.
    """
    match = _REFERENCE.fullmatch(data or b'')
    if not match:
        return None, None
    return match[1].decode(), int(match[2])


def _owner(server_id):
    transaction = Transaction()
    return [transaction.database.name, transaction.user, server_id]


def _check(file, server_id):
    line = file.readline(_LINE_LIMIT)
    # The spool also holds files as they were sent
    try:
        owner = json.loads(line)
    except ValueError:
        owner = None
    if owner != _owner(server_id):
        raise spool.LostUpload()


def _line(value):
    return json.dumps(value, separators=(',', ':')).encode() + b'\n'


def _to_json(item):
    outcome = item.outcome
    header = outcome.header and [
        value.isoformat() if isinstance(value, dt.date) else value
        for value in (getattr(outcome.header, name) for name in _IDENTITY)]
    return [
        item.name, item.size, outcome.state, outcome.message, outcome.status,
        outcome.detail, outcome.study, header]


def _from_json(values, headers):
    "Return a file; `headers` are those known so far"
    *values, header = values
    name, size, state, message, status, detail, study = values
    if header:
        key = tuple(header)
        if key not in headers:
            headers[key] = _header(key)
        header = headers[key]
    return TransferItem(name, size, Outcome(
            state, message, status, detail, study, header=header))


def _header(values):
    values = dict(zip(_IDENTITY, values))
    date = values['birth_date']
    return Header(**{
            # Of one file each, which nobody asks for here
            'sop_class': '', 'instance_uid': '', 'series_uid': '',
            **values, 'birth_date': date and dt.date.fromisoformat(date)})
