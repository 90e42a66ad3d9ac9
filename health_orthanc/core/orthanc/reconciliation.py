# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Patient reconciliation (IHE PIR): another patient in the images of a study.

Orthanc makes its ids from PatientID and UIDs (SHA-1): to Orthanc, a study with
another PatientID is another study, even if all UIDs are the same.  The study
is copied, each copied instance is compared with its source, and only those
sources are deleted whose copy is equal.  If this is interrupted, at least one
complete study is left, and the same calls resume it.
"""

import json
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from anyascii import anyascii

from ..dicom.charsets import UNICODE, find_charset
from ..dicom.values import parse_date, parse_person_name
from ..matching.identities import Identity, compare_identities
from ..matching.names import find_script
from ..matching.verdicts import Verdict
from .client import OrthancClient
from .errors import JobFailed, NotFound, TimedOut
from .study_images import (
    CHARSET, IDENTITY, ISSUER, Holding, Image, Refused, Tags, Wanted,
    orthanc_id, study_uid)

__all__ = [
    'IDENTITY', 'Correction', 'Holding', 'Image', 'Plan', 'Refused', 'Wanted',
    'adapt_to_charset', 'check_patient', 'check_room', 'make_plan',
    'make_wanted', 'orthanc_id', 'plan_correction', 'plan_restoration',
    'read_stable']

# Instances per copy job and per deletion request
_BATCH = 500
# Number of attempts while images come in
_ROUNDS = 5
# Number of instances whose pixels are compared
_SAMPLE = 8
# Least size of a copy: ratio, and tolerance in bytes
_SIZE_PART, _SIZE_BYTES = 0.9, 4096


@dataclass(frozen=True, slots=True)
class Plan:
    """What a reconciliation will do

    Attributes
    ----------
    target_id : str
        The Orthanc id that the study will have.
    wanted : Wanted
    before : Wanted
        What undoes it.
    current : mapping
        The tags of most images.
    series, instances : int
        Their numbers.
    """
    target_id: str
    wanted: Wanted
    before: Wanted
    current: Tags
    series: int
    instances: int


def plan_correction(
        client: OrthancClient, study_id: str,
        identity: Mapping[str, str]) -> Plan:
    """Return the plan to give a study another identity of its patient.

    Nothing is changed.

    Parameters
    ----------
    client : OrthancClient
    study_id : str
    identity : mapping
        A text for each keyword of `IDENTITY`.

    Raises
    ------
    Refused
    OrthancError
    """
    holding = read_stable(client, study_id)
    images = list(holding.images.values())
    wanted = make_wanted(identity, images)
    if any(i.tags.get('PatientID', '') == identity['PatientID']
            for i in images):
        same = all(wanted.result(image) == image.tags for image in images)
        raise Refused('unchanged' if same else 'same_id')
    target_id = orthanc_id(
        identity['PatientID'], study_uid(holding))
    _check_place(client, holding, study_id, target_id)
    check_patient(client, wanted.tags)
    return make_plan(target_id, wanted, holding)


def make_wanted(
        values: Mapping[str, str], images: Sequence[Image]) -> Wanted:
    """Return what is written to give images another patient."""
    tags = adapt_to_charset(values, images)
    if any(image.tags.get(ISSUER) for image in images):
        # The former issuer has not issued the new PatientID
        return Wanted({**tags, ISSUER: None})
    return Wanted(tags)


def plan_restoration(
        client: OrthancClient, study_id: str, former_id: str,
        before: Wanted) -> Plan:
    """Return the plan to give a study its former identity back.

    Nothing is changed.

    Parameters
    ----------
    client : OrthancClient
    study_id : str
    former_id : str
        The Orthanc id that it had.
    before : Wanted
        Of the plan that is to be undone.

    Raises
    ------
    Refused
    OrthancError
    """
    holding = read_stable(client, study_id)
    _check_place(client, holding, study_id, former_id)
    return make_plan(former_id, before, holding)


def read_stable(
        client: OrthancClient, study_id: str,
        series: Collection[str] | None = None) -> Holding:
    """Return what the server holds of a study that can be changed."""
    holding = Holding.read(client, study_id, series)
    if not study_uid(holding):
        raise Refused('no_uid')
    if holding.study.get('IsStable') is not True or not holding.images:
        raise Refused('unstable')
    return holding


def _check_place(
        client: OrthancClient, holding: Holding, study_id: str,
        target_id: str) -> None:
    others = set(client.find_studies(study_uid(holding))) - {study_id}
    if target_id in others:
        raise Refused('collision')
    if others:
        raise Refused('ambiguous')
    check_room(client, holding)


def check_room(client: OrthancClient, holding: Holding) -> None:
    """Refuse if a copy might make Orthanc delete other images."""
    system, statistics = client.system(), client.statistics()
    # Orthanc may delete other patients' images to make room.  Since 1.11
    # it reports its limits, 0 for none
    room = system.get('MaximumStorageSize') or 0
    size = statistics.get('TotalDiskSizeMB', 0) + holding.size // 2**20 + 1
    patients = system.get('MaximumPatientCount') or 0
    if (room and size >= room) or (
            patients and statistics.get('CountPatients', 0) >= patients):
        raise Refused('full')


def check_patient(
        client: OrthancClient, tags: Mapping[str, str | None]) -> None:
    """Refuse a PatientID that is another patient's on the server.

    Orthanc accepts studies of one PatientID with different names if they are
    modified on the level of the patient; on that of the study it refuses since
    1.11.2.  So another spelling of the name is accepted, but not another name
    with another birth date or sex.
    """
    try:
        patient = client.patient(orthanc_id(tags['PatientID'] or ''))
    except NotFound:
        return
    ours = _identity(tags)
    for study in client.bulk_content(patient.get('Studies') or []):
        found = compare_identities(
            ours, _identity(study.get('PatientMainDicomTags') or {}))
        if found.name is Verdict.DIFFERS and Verdict.DIFFERS in {
                found.birth_date, found.sex}:
            raise Refused('other_person')


def _identity(tags: Mapping[str, str | None]) -> Identity:
    name = parse_person_name(tags.get('PatientName') or '')
    groups = (
        [name.alphabetic, name.ideographic, name.phonetic] if name else [])
    try:
        birth_date = parse_date(tags.get('PatientBirthDate'))
    except ValueError:
        birth_date = None
    return Identity(
        names=tuple(f'{g.family} {g.given} {g.middle}' for g in groups if g),
        birth_date=birth_date, sex=tags.get('PatientSex'))


def make_plan(target_id: str, wanted: Wanted, holding: Holding) -> Plan:
    """Return the plan, with what undoes it."""
    images = list(holding.images.values())
    changed = {*wanted.tags, *(k for t, _ in wanted.exceptions for k in t)}
    groups: dict[str, list[Image]] = {}
    for image in images:
        values = {k: image.tags.get(k) for k in sorted(changed)}
        groups.setdefault(json.dumps(values), []).append(image)
    # The most frequent tags also apply to images that come later
    (first, most), *others = sorted(
        groups.items(), key=lambda group: -len(group[1]))
    return Plan(
        target_id=target_id, wanted=wanted,
        before=Wanted(json.loads(first), tuple(
                (json.loads(text), [i.key for i in found])
                for text, found in others)),
        current=most[0].tags,
        series=len({i.key[0] for i in images}), instances=len(images))


def adapt_to_charset(
        identity: Mapping[str, str],
        images: Sequence[Image]) -> dict[str, str]:
    """Return the tags to write, in a form that the images can hold.

    Orthanc writes replaced tags in the character set of the image, drops
    characters that this lacks, and does not convert the other tags to another
    set.  So the set becomes Unicode if all other tags are ASCII; else Latin
    letters lose their accents.

    Parameters
    ----------
    identity : mapping
        A text for each keyword of `IDENTITY`.
    images : sequence of Image

    Raises
    ------
    Refused
        ``'charset'``
    """
    texts = ''.join(identity.values())
    charsets = {image.tags.get(CHARSET, '') for image in images}
    if all(_holds(charset, texts) for charset in charsets):
        return dict(identity)
    if all(image.plain for image in images):
        return {CHARSET: UNICODE, **identity}
    folded = {k: _without_accents(v) for k, v in identity.items()}
    if (not ''.join(folded.values()).isascii()
            or folded['PatientID'] != identity['PatientID']):
        raise Refused('charset')
    return folded


def _holds(charset: str, text: str) -> bool:
    """Return whether Orthanc can write a text in a character set.

    It cannot with code extensions: others cannot read what it writes.
    """
    if text.isascii():
        return True
    try:
        codec = find_charset(charset).codec if charset else 'ascii'
        text.encode(codec or 'ascii')
    except ValueError:
        return False
    return True


def _without_accents(text: str) -> str:
    return ''.join(
        anyascii(c) if find_script(c) == 'LATIN' else c for c in text)


@dataclass
class Correction:
    """The execution of a plan, which can be resumed

    Parameters
    ----------
    client : OrthancClient
    source_id, target_id : str
        The Orthanc ids of the study before and after.
    wanted : Wanted
    instances : int
        Their number at the beginning.
    patience : float
        Seconds after which a job without progress has failed.
    series : collection of str, optional
        SeriesInstanceUIDs: only these series are copied and deleted.
    """
    client: OrthancClient
    source_id: str
    target_id: str
    wanted: Wanted
    instances: int
    patience: float = 600.0
    sleep: Callable[[float], None] = time.sleep
    series: Collection[str] | None = None

    def copy(self) -> tuple[Holding, Holding]:
        """Copy what is not copied yet, and compare all with the source.

        The source is not changed.

        Returns
        -------
        tuple of Holding
            The source, and the copy, which is complete.

        Raises
        ------
        Refused
            ``'vanished'``, ``'differs'`` or ``'busy'``.
        NotFound
            The source does not exist any more.
        OrthancError
        """
        for _ in range(_ROUNDS):
            source = self._read(self.source_id)
            copy = self._copied()
            missing = [
                image for key, image in source.images.items()
                if key not in copy.images]
            if not missing:
                self._check_count(copy)
                self._compare(source, copy)
                return source, copy
            self._copy(missing)
        raise Refused('busy')

    def remove_source(self) -> Holding | None:
        """Delete those instances of the source whose copy is equal.

        An instance that comes in meanwhile is copied, too.

        Returns
        -------
        Holding or None
            The source as it was last; None if it did not exist.

        Raises
        ------
        Refused
            As for `copy`: the rest of the source is kept.
        OrthancError
        """
        source = None
        for _ in range(_ROUNDS):
            try:
                source, copy = self.copy()
            except NotFound:
                self._check_count(self._copied())
                return source
            # Other series of the study stay
            if not source.images:
                return source
            # The copy would have overwritten the source
            if set(copy.ids).intersection(source.ids):
                raise Refused('same_id')
            for ids in _batches(source.ids):
                self.client.delete_instances(ids)
        raise Refused('busy')

    def discard_copy(self) -> None:
        """Delete the copies whose source still exists.

        Raises
        ------
        OrthancError
        """
        try:
            source = set(self._read(self.source_id).ids)
        except NotFound:
            return
        ours = [
            image.orthanc_id for image in self._copied().images.values()
            if image.source in source and image.orthanc_id not in source]
        for ids in _batches(ours):
            self.client.delete_instances(ids)

    def _read(self, study_id: str) -> Holding:
        return Holding.read(self.client, study_id, self.series)

    def _copied(self) -> Holding:
        try:
            return self._read(self.target_id)
        except NotFound:
            return Holding({}, {})

    def _check_count(self, copy: Holding) -> None:
        if len(copy.images) < self.instances:
            raise Refused('vanished')

    def _copy(self, images: Sequence[Image]) -> None:
        def changes(image: Image) -> str:
            return json.dumps(self.wanted.changes(image), sort_keys=True)

        for text, group in groupby(sorted(images, key=changes), changes):
            tags = json.loads(text)
            for ids in _batches([image.orthanc_id for image in group]):
                self._wait(self.client.copy_instances(
                        ids, {k: v for k, v in tags.items() if v is not None},
                        [k for k, v in tags.items() if v is None]))

    def _wait(self, job_id: str) -> None:
        pause, progress, seen = 0.05, None, time.monotonic()
        while True:
            try:
                job = self.client.job(job_id)
            except NotFound:
                # Orthanc was restarted: the comparison finds what is missing
                return
            if job.get('State') == 'Success':
                return
            if job.get('State') in {'Failure', 'Paused'}:
                raise JobFailed(request='GET /jobs')
            if job.get('Progress') != progress:
                progress, seen = job.get('Progress'), time.monotonic()
            elif time.monotonic() - seen > self.patience:
                raise TimedOut(request='GET /jobs')
            self.sleep(pause)
            pause = min(2 * pause, 2.0)

    def _compare(self, source: Holding, copy: Holding) -> None:
        pairs = [
            (image, copy.images[key]) for key, image in source.images.items()]
        for one, other in pairs:
            if (other.tags != self.wanted.result(one)
                    or other.rest != one.rest
                    or other.size < _SIZE_PART * one.size - _SIZE_BYTES):
                raise Refused('differs')
        for one, other in pairs[::max(len(pairs) // _SAMPLE, 1)][:_SAMPLE]:
            if self.client.frame_digest(
                    one.orthanc_id) != self.client.frame_digest(
                    other.orthanc_id):
                raise Refused('differs')


def _batches(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), _BATCH):
        yield ids[start:start + _BATCH]
