# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backup as doc/deployment.md says, restored beside the original."""
from contextlib import ExitStack

import pytest

from devtools.samples import Patient
from devtools.tryton import MODULE, Tryton

from . import inside
from .agent import Agent
from .hospital import ALL, Hospital, RemoteServer, contents, study
from .tables import dump

pytestmark = pytest.mark.release

# Its name tells a restored database from the original here
SECTIONS = {MODULE: {'installation': ''}}
# Of the database alone: who has been told which database this is
IDENTITY = 'gnuhealth_orthanc_database'
PERSON = Patient("Muster^Erika", 'TST700001', '19640812', 'F')


@pytest.fixture
def restore(prepared_tryton, postgresql, tmp_path):
    """A function that dumps a database and restores it under a new name."""
    with ExitStack() as stack:
        def make(name: str, original: Tryton | None = None) -> Tryton:
            original = original or prepared_tryton('postgresql', MODULE)
            path = tmp_path / f'{name}.dump'
            postgresql.dump(original.name, path)
            postgresql.restore(name, path)
            stack.callback(postgresql.drop, name)
            return Tryton(
                tmp_path / name, postgresql=postgresql, name=name,
                sections=SECTIONS)
        yield make


def decide(decision: str) -> None:
    inside.model('gnuhealth.orthanc.database').decide(decision)


def without_identity(tryton: Tryton) -> dict:
    tables = dump(tryton)
    del tables[IDENTITY]
    return tables


def test_a_restored_backup(restore, orthanc):
    original = restore('backed_up')
    with Agent(original) as agent:
        hospital = Hospital(agent)
        hospital.add_patient(puid='TST700001')
        orthanc.upload(study(PERSON))
        server = hospital.add_server(orthanc, **ALL)
        server.done()
        assert server.study('link_status')['link_status'] == 'auto_certain'
    copy = restore('restored', original)
    assert dump(copy) == dump(original)
    orthanc.upload(study(PERSON))
    held = contents(orthanc)
    with Agent(copy) as agent:
        restored = RemoteServer(Hospital(agent), server.id, orthanc)
        before = without_identity(copy)
        refused = restored.run()
        assert refused['state'] == 'failed'
        assert "copy" in refused['error'].lower()
        assert len(restored.studies()) == 1
        assert contents(orthanc) == held
        changed = {
            name for name, rows in without_identity(copy).items()
            if rows != before[name]}
        # That it was refused
        assert changed <= {
            'gnuhealth_orthanc_synchronization', 'gnuhealth_orthanc_config'}
        agent.call(decide, 'original', user=1)
        restored.done()
        restored.assert_equal()
        studies = restored.studies('link_status')
        assert [found['link_status'] for found in studies] == [
            'auto_certain'] * 2
