# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A burst of notifications is answered before it is worked through."""
import itertools
import threading

from trytond.modules.health_orthanc.synchronization import routes

LIMIT = 30  # seconds that are never needed


def test_what_takes_long_runs_behind_the_answer(monkeypatch):
    done, finished, answered = [], threading.Event(), threading.Event()

    def run_task(pool, task):
        if len(done) > 1:
            # The answer does not wait for these
            assert answered.wait(LIMIT)
        done.append((pool, task))
        if len(done) == 40:
            finished.set()

    monkeypatch.setattr(routes, 'run_task', run_task)
    # Each look at the clock takes a second
    clock = itertools.count().__next__
    routes.run_tasks('one', list(range(20)), clock)
    assert len(done) <= 2
    routes.run_tasks('two', list(range(20)), itertools.count(0, 9).__next__)
    answered.set()
    assert finished.wait(LIMIT)
    assert [task for pool, task in done if pool == 'one'] == list(range(20))
    assert [task for pool, task in done if pool == 'two'] == list(range(20))


def test_few_are_done_before_the_answer(monkeypatch):
    done = []
    monkeypatch.setattr(
        routes, 'run_task', lambda pool, task: done.append(task))
    routes.run_tasks('one', [3, 4, 5], lambda: 0)
    assert done == [3, 4, 5]
