# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A database that was made with our predecessor, before and after."""
import hashlib
from collections.abc import Sequence
from pathlib import Path

from devtools import hospital
from devtools.orthanc import Orthanc
from devtools.predecessor import Predecessor
from devtools.testing import cache_folder, predecessor_files
from devtools.tryton import MODULE, Tryton

from . import old_hospital
from .tables import dump

__all__ = ['SERVER', 'STUDY', 'Upgraded', 'make_old_database']

SERVER = 'gnuhealth_orthanc_config'
STUDY = 'gnuhealth_imaging_orthanc_study'


def make_old_database(
        folder: Path, modules: Sequence[str], **options: object) -> None:
    """Make a database with the predecessor and `modules`, full of data.

    The `options` are those of `Tryton`.
    """
    Predecessor(folder, predecessor_files(), **options).create_filled(
        modules, cache_folder(),
        lambda tryton: _fill(tryton, bool(modules)), _version())


class Upgraded:
    """A database before and after the upgrade.

    Attributes
    ----------
    before, after
        Rows by table and id.
    """

    def __init__(self, tryton: Tryton, worklist: bool, keys: list[str]):
        self.tryton = tryton
        self.worklist = worklist
        self.keys = keys
        self.before = dump(tryton)
        tryton.admin('-u', MODULE)
        self.after = dump(tryton)

    @property
    def added(self) -> set[int]:
        """The ids of studies that 5.0 had not recorded."""
        return self.after[STUDY].keys() - self.before[STUDY].keys()

    def by_name(self, table: str, name: str) -> dict[str, dict]:
        return {row[name]: row for row in self.after[table].values()}

    @property
    def servers(self) -> dict[str, dict]:
        return self.by_name(SERVER, 'label')

    @property
    def studies(self) -> dict[tuple[str, str], dict]:
        """The studies by the label of their server and their name."""
        return {
            (self.after[SERVER][row['server']]['label'],
                _study_name(row['study_instance_UID'])): row
            for row in self.after[STUDY].values()}

    def puid(self, patient: int | None) -> str | None:
        if patient is None:
            return None
        party = self.after['gnuhealth_patient'][patient]['party']
        return self.after['party_party'][party]['ref']

    def resources(self, table: str) -> dict[str, str]:
        """Return what attachments or notes hang on, by their text."""
        name = 'name' if table == 'ir_attachment' else 'message'
        return {
            row[name]: row['resource'] for row in self.after[table].values()}


NAMES = [
    'by PUID', 'mistaken', 'by hand', 'result by hand', 'unlinked', 'doubled',
    'bare', 'by merge id', 'gone', *old_hospital.DATES, *old_hospital.MANY,
    *old_hospital.ONLY_4]
_NAMES = {old_hospital.study_uid(name): name for name in NAMES}


def _study_name(uid: str) -> str:
    return _NAMES[uid]


def _fill(tryton: Predecessor, worklist: bool) -> None:
    with Orthanc() as orthanc:
        for study in old_hospital.studies(worklist).values():
            orthanc.upload(study)
        tryton.run_script(
            Path(old_hospital.__file__), orthanc.url, orthanc.user,
            orthanc.password, str(worklist))


def _version() -> str:
    """Return what tells one state of the old database from others."""
    digest = hashlib.sha256()
    for module in [old_hospital, hospital]:
        digest.update(Path(module.__file__).read_bytes())
    return digest.hexdigest()
