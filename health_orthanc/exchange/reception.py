# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reception of the files of an upload session, and their way to Orthanc

Files are received and looked into first, archives included: it is known whose
images they are before Orthanc gets anything.  What an upload has stored can be
taken back.
"""

from dataclasses import replace
from itertools import groupby

from ..core.dicom.archives import Limits, is_archive, list_items
from ..core.dicom.file_header import Unusable
from . import upload_session
from .upload import Outcome, send_items
from .upload_session import SentFile

__all__ = ['look_into', 'receive', 'send_session', 'take_back']

# Instances that are deleted with one request
_BATCH = 500
_WAITING = {'ready', 'failed'}


def receive(key, number, name, chunks):
    """Receive a file of a session.

    Parameters
    ----------
    key : str
    number : int
    name : str
        Of the file, for people to read.
    chunks : iterable of bytes

    Returns
    -------
    list of SentFile
        The files in it.

    Raises
    ------
    UploadFull, UploadLost
    """
    upload_session.write_file(key, number, chunks)
    with upload_session.open_file(key, number) as file:
        found = look_into(file, name)
    for index, item in enumerate(found):
        item.number, item.index = number, index
    if not _waits(found):
        upload_session.delete_file(key, number)
    upload_session.record_files(key, number, found)
    return found


def _waits(files):
    return any(f.outcome.state in _WAITING for f in files)


def look_into(file, name=''):
    """List the files in a file, with their headers.

    Parameters
    ----------
    file : binary file
    name : str

    Returns
    -------
    list of SentFile
        Those that can be sent are ``'ready'``.
    """
    try:
        items = list_items(file, name, _limits())
    except Unusable as error:
        size = file.seek(0, 2)
        return [SentFile(name, size, Outcome.unusable(error.reason))]
    folder = name if _is_archive(file) else ''
    return [
        SentFile(
            '/'.join(filter(None, [folder, item.name])), item.size,
            _outcome(item))
        for item in items]


def _limits():
    return Limits(file_size=upload_session.maximum_size())


def _is_archive(file):
    file.seek(0)
    return is_archive(file.read(4))


def _outcome(item):
    try:
        return Outcome('ready', header=item.header())
    except Unusable as error:
        return Outcome.unusable(error.reason)


def send_session(client, key):
    """Send the files of a session that Orthanc has not got yet.

    The outcome of each is recorded at once, so that a further call goes on
    where this one was interrupted.

    Parameters
    ----------
    client : OrthancClient
    key : str

    Raises
    ------
    UploadFull, UploadLost, Unusable
    """
    files = upload_session.load_session(key)
    waiting = [f for f in files if f.outcome.state in _WAITING]
    outcomes = send_items(client, _open_items(key, waiting))
    for file, outcome in zip(waiting, outcomes):
        if not outcome.header:
            outcome = replace(outcome, header=file.outcome.header)
        file.outcome = outcome
        upload_session.record_outcome(key, file)
    for number, group in groupby(files, lambda f: f.number):
        if not _waits(group):
            upload_session.delete_file(key, number)


def _open_items(key, files):
    "Yield the content of each file, open until the next one is asked for"
    for number, group in groupby(files, lambda f: f.number):
        with upload_session.open_file(key, number) as file:
            items = list_items(file, limits=_limits())
            for sent in group:
                yield items[sent.index]


def take_back(client, key):
    """Delete from Orthanc what this session has stored there.

    Parameters
    ----------
    client : OrthancClient
    key : str

    Returns
    -------
    set of str
        The Orthanc ids of the studies.

    Raises
    ------
    OrthancError, UploadLost
    """
    stored = [
        f for f in upload_session.load_session(key)
        if f.outcome.state == 'stored' and f.outcome.instance]
    for start in range(0, len(stored), _BATCH):
        files = stored[start:start + _BATCH]
        client.delete_instances(f.outcome.instance for f in files)
        for file in files:
            file.outcome = replace(
                file.outcome, state='canceled', instance=None)
            upload_session.record_outcome(key, file)
    return {f.outcome.study for f in stored}
