# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The screens and the daily jobs in GNU Health's GTK client."""
from collections.abc import Iterator
from pathlib import Path

import pytest

from proteus import Model

from devtools.demo import Demo

from ..browser.walk_throughs import Hospital, prepare
from .desktop import JOBS, SCREENS, STUDY, Desktop, Job

pytestmark = pytest.mark.release


@pytest.fixture(scope='module')
def place(tmp_path_factory) -> Iterator[Hospital]:
    folder = tmp_path_factory.mktemp('desktop')
    with Demo(folder / 'demo', use_postgresql=False) as demo:
        demo.start()
        yield prepare(demo, folder)


@pytest.mark.parametrize('login', list(SCREENS))
def test_screens(login: str, place: Hospital, tmp_path: Path):
    found = Desktop(place, tmp_path).open_screens(login)
    for screen in SCREENS[login]:
        shown = found[screen.name]
        assert screen.text in shown['texts'], screen.name
        assert shown['faults'] == [], screen.name
        assert (tmp_path / f'{screen.name}.png').stat().st_size


def decided() -> int:
    return len(Model.get(STUDY).find([('link_status', '=', 'manual')]))


@pytest.mark.parametrize('zone', ['Pacific/Kiritimati', 'Pacific/Pago_Pago'])
def test_today_is_not_by_the_clock_of_the_client(
        zone: str, place: Hospital, tmp_path: Path):
    """In one of these zones it is another day than in the hospital."""
    job, = [job for job in JOBS if job.name == 'today']
    Desktop(place, tmp_path).do(job, TZ=zone)


# One after the other: some need what those before have done
@pytest.mark.parametrize('job', JOBS, ids=lambda job: job.name)
def test_job(job: Job, place: Hospital, tmp_path: Path):
    place.demo.server.connect()
    before = decided()
    Desktop(place, tmp_path).do(job)
    assert (tmp_path / f'{job.name}-end.png').stat().st_size
    if job.name == 'review':
        assert decided() == before + 3
