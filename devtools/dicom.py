# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a modality does to a DICOM server: ask for its worklist, send images.
"""
import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset

from .process import LOOPBACK

__all__ = [
    'FindFailed', 'RETURN_KEYS', 'STEP', 'StoreFailed', 'find_worklist',
    'run_findscu', 'send_images']

STEP = 'ScheduledProcedureStepSequence'
# What answers hold is what the query names: the keys of PS3.4 Table K.6-1
# that this project serves.
RETURN_KEYS = [
    'SpecificCharacterSet', 'PatientName', 'PatientID', 'PatientBirthDate',
    'PatientSex', 'PatientWeight', 'MedicalAlerts', 'Allergies',
    'PregnancyStatus', 'SpecialNeeds', 'PatientState',
    'ConfidentialityConstraintOnPatientDataDescription', 'AccessionNumber',
    'ReferringPhysicianName', 'RequestingPhysician', 'RequestingService',
    'AdmissionID', 'CurrentPatientLocation', 'StudyInstanceUID',
    'RequestedProcedureID', 'RequestedProcedureDescription',
    'RequestedProcedurePriority', 'PatientTransportArrangements',
    'InstitutionName',
    *(f'{STEP}[0].{keyword}' for keyword in [
            'ScheduledStationAETitle', 'ScheduledProcedureStepStartDate',
            'ScheduledProcedureStepStartTime', 'Modality',
            'ScheduledPerformingPhysicianName',
            'ScheduledProcedureStepDescription', 'ScheduledProcedureStepID',
            'ScheduledStationName', 'ScheduledProcedureStepLocation',
            'ScheduledProcedureStepStatus']),
    ]
FIND_TIMEOUT = 120
STORE_TIMEOUT = 300
SUCCESS = 'Received Final Find Response (Success)'

Keys = Mapping[str, object] | Iterable[str]


class FindFailed(RuntimeError):
    """The query did not end in success; the text is what findscu printed."""


class StoreFailed(RuntimeError):
    """An image was not taken; the text is what storescu printed."""


def find_worklist(
        port: int, keys: Keys = (), *, aet: str = 'ORTHANC',
        calling: str = 'FINDSCU', returned: Iterable[str] = RETURN_KEYS,
        encoding: str = 'utf-8', timeout: float = FIND_TIMEOUT
        ) -> list[Dataset]:
    """Return the answers of the server on `port`, in its order.

    Parameters
    ----------
    keys
        What is asked for: keyword → value, where a mapping stands for the
        item of a sequence (``{STEP: {'Modality': 'CT'}}``), or findscu's own
        ``path=value``.
    aet, calling
        The AE titles of the server and of the modality.
    returned
        Further keys that are asked for without a value.
    encoding
        How the values are written; to be told in ``SpecificCharacterSet``
        where they are not plain ASCII.
    timeout
        In seconds, for the whole query.

    Raises
    ------
    FindFailed
        If the association is refused or the final answer is no success.
    """
    asked = {path: value for path, value in _paths(keys)}
    for path in returned:
        asked.setdefault(path, '')
    with tempfile.TemporaryDirectory(prefix='findscu-') as folder:
        run_findscu(
            port, [f'{path}={value}' for path, value in asked.items()],
            '-X', '-od', folder, aet=aet, calling=calling,
            encoding=encoding, timeout=timeout)
        return [
            pydicom.dcmread(path, force=True)
            for path in sorted(Path(folder).iterdir(), key=_number)]


def run_findscu(
        port: int, keys: Iterable[str], *options: str,
        aet: str = 'ORTHANC', calling: str = 'FINDSCU',
        encoding: str = 'utf-8', timeout: float = FIND_TIMEOUT,
        files: Iterable[Path] = ()) -> str:
    """Ask with exactly these ``path=value`` and return findscu's output.

    `files` are queries in DICOM files, one after the other.

    Raises
    ------
    FindFailed
        As `find_worklist` does: findscu itself ends with 0 on failures.
    """
    command = [
        'findscu', '-v', '-W', *options, '-aet', calling, '-aec', aet]
    for key in keys:
        command += ['-k', key.encode(encoding, 'surrogateescape')]
    process = subprocess.run(
        [*command, LOOPBACK, str(port), *map(str, files)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, timeout=timeout)
    output = process.stdout.decode('utf-8', 'replace')
    if SUCCESS not in output:
        raise FindFailed(output)
    return output


def send_images(
        port: int, datasets: Iterable[Dataset], *, aet: str = 'ORTHANC',
        calling: str = 'STORESCU', timeout: float = STORE_TIMEOUT) -> None:
    """Send images in order to the server on `port`, over one association.

    Raises
    ------
    StoreFailed
        If the association is refused or one of them is.
    """
    with tempfile.TemporaryDirectory(prefix='storescu-') as folder:
        paths = []
        for number, dataset in enumerate(datasets):
            paths.append(Path(folder, f'{number:06}.dcm'))
            dataset.save_as(paths[-1], enforce_file_format=True)
        process = subprocess.run(
            ['storescu', '-aet', calling, '-aec', aet, LOOPBACK, str(port),
                *paths],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=timeout)
    if process.returncode:
        raise StoreFailed(process.stdout.decode('utf-8', 'replace'))


def _paths(keys: Keys, prefix: str = '') -> Iterator[tuple[str, object]]:
    if not isinstance(keys, Mapping):
        for key in keys:
            path, _, value = key.partition('=')
            yield path, value
        return
    for keyword, value in keys.items():
        if isinstance(value, Mapping):
            yield from _paths(value, f'{prefix}{keyword}[0].')
        else:
            yield prefix + keyword, value


def _number(path: Path) -> int:
    return int(re.sub(r'\D', '', path.stem))
