# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An Orthanc with the REST API of the worklists plugin, without Orthanc.

It does what the Orthanc Book and the sources of the plugin, version 0.9.2, say
that it does.
"""
import json
import uuid
from collections.abc import Callable
from typing import Any

from pydicom.datadict import dictionary_VR

from tests.unit.fake_orthanc import (
    SYSTEM, Answer, FakeOrthanc, Received, reply_json, status)

__all__ = ['STEP', 'FakeWorklists']

STEP = 'ScheduledProcedureStepSequence'
_NUMBERS = {'US', 'SS', 'UL', 'SL', 'FL', 'FD'}


class FakeWorklists(FakeOrthanc):
    """A server that keeps worklists

    Attributes
    ----------
    entries : dict
        The tags of what is on the worklist, by id.
    before : callable, optional
        Is given each request before it is dealt with, and may return an
        answer in place of that.
    after : callable, optional
        The same, with what was asked for done already.
    """
    user, password = 'orthanc', 'orthanc'

    def __init__(
            self, version: str = '1.12.10',
            plugins: tuple[str, ...] = ('orthanc-worklists',)):
        super().__init__()
        self.entries: dict[str, dict[str, Any]] = {}
        self.before: Callable[[Received], Answer | None] | None = None
        self.after: Callable[[Received], Answer | None] | None = None
        self.script('/system', reply_json({**SYSTEM, 'Version': version}))
        self.script('/plugins', reply_json(list(plugins)))

    def add(self, **tags: Any) -> str:
        """Let somebody else make an entry; return its id."""
        id_ = str(uuid.uuid4())
        self.entries[id_] = {'PatientID': 'OTHER', **tags}
        return id_

    def requests(self, *methods: str) -> list[Received]:
        """Return what was asked of the worklists."""
        return [
            r for r in self.received if r.path.startswith('/worklists')
            and (not methods or r.method in methods)]

    def steps(self) -> list[str]:
        """Return the ids of the steps on the worklist, sorted."""
        return sorted(
            tags[STEP][0]['ScheduledProcedureStepID']
            for tags in self.entries.values() if STEP in tags)

    def answer_to(self, request: Received) -> Answer:
        answer = self.before and self.before(request)
        if answer:
            return answer
        if not request.path.startswith('/worklists'):
            return super().answer_to(request)
        answer = self._deal_with(
            request.method, request.path.split('/')[2:], request)
        return (self.after and self.after(request)) or answer

    def _deal_with(
            self, method: str, names: list[str], request: Received) -> Answer:
        if not names:
            if method != 'GET' or request.query != 'format=Simplify':
                return status(405)
            return reply_json([
                    {'ID': id_, 'Tags': tags, 'CreationDate': '20260101T0000'}
                    for id_, tags in self.entries.items()])
        if names == ['create']:
            if method != 'POST':
                return status(405)
            return self._store(str(uuid.uuid4()), request)
        id_, = names
        if method == 'PUT':
            # The plugin makes it where there is none
            return self._store(id_, request)
        if id_ not in self.entries:
            return status(404)
        if method == 'DELETE':
            del self.entries[id_]
            return reply_json({})
        return reply_json({'ID': id_, 'Tags': self.entries[id_]})

    def _store(self, id_: str, request: Received) -> Answer:
        tags = json.loads(request.body.decode('utf-8'))['Tags']
        if not _is_dataset(tags) or not _is_step(tags):
            return status(400)
        self.entries[id_] = tags
        return reply_json({'ID': id_, 'Path': f'/worklists/{id_}'})


def _is_dataset(tags: object) -> bool:
    return isinstance(tags, dict) and all(
        _is_value(name, value) for name, value in tags.items())


def _is_value(name: str, value: object) -> bool:
    if ',' in name:
        name = int(name.replace(',', ''), 16)
    try:
        vr = dictionary_VR(name)
    except KeyError:
        return False
    if vr == 'SQ':
        return isinstance(value, list) and all(map(_is_dataset, value))
    if vr in _NUMBERS:
        return isinstance(value, str) and value.isdecimal()
    return isinstance(value, str)


def _is_step(tags: dict[str, Any]) -> bool:
    step, *_ = tags.get(STEP) or [{}]
    return {'Modality', 'ScheduledProcedureStepStartDate'} <= step.keys()
