# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The daily jobs of each role take few clicks."""
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from devtools.demo import Demo

from .walk_throughs import JOBS, Hospital, Job, prepare, walk


@pytest.fixture(scope='module')
def place(tmp_path_factory) -> Iterator[Hospital]:
    folder = tmp_path_factory.mktemp('walks')
    with Demo(folder / 'demo', use_postgresql=False) as demo:
        demo.start()
        yield prepare(demo, folder)


@pytest.mark.release
@pytest.mark.parametrize('job', JOBS, ids=lambda job: job.name)
def test_job(job: Job, browser: Browser, place: Hospital):
    done = walk(browser, place, job)
    assert done.error is None, done.error
    assert done.clicks <= job.goal
