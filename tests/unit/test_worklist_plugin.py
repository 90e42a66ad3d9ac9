# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The worklist of the plugin, against a scripted GNU Health."""
import gzip
import io
import json
import re
import stat
import time

import pydicom
import pytest

from devtools.certificates import Authority
from devtools.proxy import Proxy
from orthanc_plugin.src import gnuhealth
from orthanc_plugin.src import worklist as worklist_module
from orthanc_plugin.src.gnuhealth import HttpError
from orthanc_plugin.src.plugin import Plugin
from orthanc_plugin.src.refresher import Refresher
from orthanc_plugin.src.settings import Settings
from orthanc_plugin.src.worklist import Unavailable, Worklist
from orthanc_plugin.src.worklist_item import ListError
from tests.integration.fake_plugin_routes import FakePluginRoutes, entry_file
from tests.unit import fake_orthanc as wire

from .plugin_host import SECRET, Answers, Host, Query, decode

STEP = '0040,0100'


@pytest.fixture
def his():
    with FakePluginRoutes(key=SECRET) as his:
        yield his


@pytest.fixture
def make_settings(his, tmp_path):
    """A function that returns settings for `his`, with changes."""
    def make(**changes: object):
        return Settings(**{
                'url': his.url, 'database': his.database, 'key': SECRET,
                'timeout': 2,
                'cache_file': str(tmp_path / 'cache.json'), **changes})
    return make


@pytest.fixture
def make_worklist(plugin_log, make_settings):
    """A function that returns a worklist of `his`, given other settings."""
    def make(**changes: object):
        return Worklist(make_settings(**changes), decode)
    return make


def step(**keys: str) -> dict:
    """Return a query for the step's item, given group 0040's elements."""
    return {STEP: [{
                f'0040,{name[1:]}': value for name, value in keys.items()}]}


# --- The worklist -------------------------------------------------------

def found(worklist, query: dict | None = None, calling: str = 'CT1'):
    items, _ = worklist.find(query or {}, calling)
    return [item.id for item in items]


def test_a_list_is_fetched_and_followed(make_worklist, his):
    worklist = make_worklist()
    his.put(1, entry_file())
    his.put(2, entry_file({'ScheduledProcedureStepStartTime': '080000'}))
    worklist.refresh()
    # By time
    assert found(worklist) == ['2', '1']
    his.close(1)
    his.put(3, entry_file())
    worklist.refresh()
    assert found(worklist) == ['2', '3']
    his.put(2, entry_file(
            {'ScheduledProcedureStepStartTime': '150000'}))
    worklist.refresh()
    assert found(worklist) == ['3', '2']
    assert [asked.since for asked in his.asked] == [0, 2, 4]


def test_an_unchanged_list_costs_nothing(make_worklist, his):
    worklist = make_worklist()
    his.put(1, entry_file())
    for _ in range(3):
        worklist.refresh()
    assert [asked.status for asked in his.asked] == [200, 304, 304]
    assert found(worklist) == ['1']


def test_pages_are_put_together(make_worklist, his):
    his.page_size = 2
    for number in range(1, 8):
        his.put(number, entry_file())
    worklist = make_worklist()
    worklist.refresh()
    assert found(worklist) == list('1234567')
    assert [asked.since for asked in his.asked] == [0, 2, 4, 6]
    assert not any(
        'If-None-Match' in asked.headers for asked in his.asked)


def test_half_a_list_is_never_served(make_worklist, his):
    worklist = make_worklist()
    his.put(1, entry_file())
    worklist.refresh()
    his.page_size = 1
    for number in [2, 3]:
        his.put(number, entry_file())
    his.close(1)
    answer = his.answer

    def fail_later(since, etag):
        if since == 2:
            return 500, None, None
        return answer(since, etag)
    his.answer = fail_later
    with pytest.raises(Exception, match='status 500'):
        worklist.refresh()
    assert found(worklist) == ['1']
    his.answer = answer
    worklist.refresh()
    assert found(worklist) == ['2', '3']


def test_a_restored_database_is_taken_anew(make_worklist, his):
    worklist = make_worklist()
    for number in range(1, 6):
        his.put(number, entry_file())
    worklist.refresh()
    his.restore(2)
    his.put(9, entry_file())
    worklist.refresh()
    assert found(worklist) == ['9']
    assert [asked.since for asked in his.asked] == [0, 5]


def test_what_was_missed_is_asked_for_again(make_worklist, his):
    """A restored database whose numbering has grown past ours."""
    worklist = make_worklist()
    his.put(1, entry_file())
    worklist.refresh()
    his.restore(0)
    for number in [7, 8, 9]:
        his.put(number, entry_file())
    worklist.refresh()
    assert found(worklist) == ['7', '8', '9']
    assert [asked.since for asked in his.asked] == [0, 1, 0]


def test_a_list_that_lacks_entries_is_refused(make_worklist, his):
    worklist = make_worklist()
    his.put(1, entry_file())
    worklist.refresh()
    answer = his.answer

    def lacking(since, etag):
        status, body, etag = answer(since, None)
        return status, {**body, 'open': ['1', '2']}, etag
    his.answer = lacking
    with pytest.raises(Exception, match='items of open steps are missing'):
        worklist.refresh()
    assert [asked.since for asked in his.asked] == [0, 1, 0]
    assert found(worklist) == ['1']


def page(**change: object) -> dict:
    return {'since': 0, 'index': 1, 'more': False, 'entries': [],
        'open': [], **change}


def entry(**change: object) -> dict:
    return {'id': '1', 'index': 1, 'dicom': 'AAAA', **change}


WRONG_PAGES = [
    None, [], 'x', {}, page(since=None), page(since='0'), page(since=7),
    page(index=None), page(index=-1), page(index=True), page(more=1),
    page(more=None), page(entries=None), page(entries={}),
    page(open=None), page(open=[1]), page(more=True, index=0),
    *(page(entries=[item]) for item in [
            None, 'x', {}, entry(id=1), entry(id=''), entry(id='Doe^Jane'),
            entry(index='1'), entry(index=None), entry(dicom=None),
            entry(dicom='ÄÖ'), entry(dicom='A'), entry(dicom=[])]),
    ]


@pytest.mark.parametrize('data', WRONG_PAGES, ids=range(len(WRONG_PAGES)))
def test_what_is_no_list_is_refused(make_worklist, his, data):
    worklist = make_worklist()
    his.put(1, entry_file())
    worklist.refresh()
    his.trouble = wire.reply_json(data)
    with pytest.raises(ListError) as error:
        worklist.refresh()
    assert 'Doe' not in str(error.value)
    assert found(worklist) == ['1']


def test_an_endless_list_is_refused(
        make_worklist, his, monkeypatch):
    monkeypatch.setattr(worklist_module, 'MAXIMUM_PAGES', 5)
    his.answer = lambda since, etag: (
        200, page(since=since, index=since + 1, more=True), None)
    with pytest.raises(ListError, match='too many pages'):
        make_worklist().refresh()
    assert len(his.asked) == 5


def zipped(body: bytes, length: int | None = None):
    return wire.reply(
        gzip.compress(body)[:length],
        headers={'Content-Encoding': 'gzip'})


TROUBLES = {
    'status 401': wire.status(401),
    'status 403': wire.status(403),
    'status 404': wire.status(404),
    'status 500': wire.status(500),
    'status 302': wire.redirect('http://127.0.0.1:9/'),
    'status 304': wire.status(304),
    'status 204': wire.status(204),
    'garbage': wire.reply(b'<html>Doe^Jane'),
    'not UTF-8': wire.reply(b'"\xff\xfe'),
    'nested': wire.reply(b'[' * 100000),
    'no HTTP': wire.raw(b'Doe^Jane\r\n\r\n'),
    'hung up': wire.hang_up,
    'cut': wire.cut,
    'cut chunk': wire.raw(
        b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n40\r\n{"'),
    'cut gzip': zipped(json.dumps(page()).encode(), -9),
    'no gzip': wire.reply(
        b'Doe^Jane', headers={'Content-Encoding': 'gzip'}),
    'bomb': zipped(b' ' * 5_000_000),
    'huge': wire.reply(b' ' * 5_000_000),
    'silence': wire.silence,
    'drip': wire.drip(b'HTTP/1.1 200 OK\r\n\r\n' + b' ' * 100, 0.02),
    }


@pytest.mark.parametrize('name', TROUBLES)
def test_trouble_keeps_the_last_good_list(
        make_worklist, his, monkeypatch, name):
    monkeypatch.setattr(gnuhealth, 'MAXIMUM_ANSWER', 2_000_000)
    worklist = make_worklist()
    his.put(1, entry_file())
    worklist.refresh()
    worklist = make_worklist(
        timeout=0.5 if name in {'silence', 'drip'} else 2)
    worklist.load()
    his.trouble = TROUBLES[name]
    with pytest.raises(HttpError) as error:
        worklist.refresh()
    assert not re.search(f'Doe|{SECRET}', str(error.value))
    if name.startswith('status') and name != 'status 204':
        assert name in str(error.value)
    assert found(worklist) == ['1']
    his.trouble = None
    his.put(2, entry_file())
    worklist.refresh()
    assert found(worklist) == ['1', '2']


def test_a_stopped_server_keeps_the_last_good_list(
        make_worklist, his):
    worklist = make_worklist()
    his.put(1, entry_file())
    worklist.refresh()
    his.stop()
    with pytest.raises(HttpError, match='refused'):
        worklist.refresh()
    assert found(worklist) == ['1']
    his.start()
    his.close(1)
    worklist.refresh()
    assert found(worklist) == []


def test_nobody_is_followed_with_the_key(make_worklist, his):
    with FakePluginRoutes() as other:
        his.trouble = wire.redirect(other.url)
        with pytest.raises(HttpError):
            make_worklist().refresh()
        assert not other.asked


def test_the_key_is_read_anew(make_worklist, his, tmp_path):
    key_file = tmp_path / 'key'
    key_file.write_text('old')
    worklist = make_worklist(key='', key_file=str(key_file))
    with pytest.raises(HttpError, match='rejects the key'):
        worklist.refresh()
    key_file.write_text(SECRET + '\n')
    worklist.refresh()
    key_file.unlink()
    with pytest.raises(HttpError, match='"KeyFile"'):
        worklist.refresh()


def test_the_certificate_is_checked(make_worklist, his, tmp_path):
    authority = Authority()
    (tmp_path / 'ca.pem').write_text(authority.certificate)
    his.put(1, entry_file())
    with Proxy(his.url, authority=authority) as proxy:
        with pytest.raises(HttpError, match='certificate'):
            make_worklist(url=proxy.url).refresh()
        worklist = make_worklist(
            url=proxy.url, ca_file=str(tmp_path / 'ca.pem'))
        worklist.refresh()
    assert found(worklist) == ['1']


def test_no_list_is_a_failure(make_worklist):
    with pytest.raises(Unavailable, match='no worklist'):
        found(make_worklist())


def test_a_list_that_is_too_old_is_a_failure(
        make_worklist, his, monkeypatch):
    worklist = make_worklist(maximum_age=100)
    his.put(1, entry_file())
    worklist.refresh()
    now = time.monotonic()
    monkeypatch.setattr(time, 'monotonic', lambda: now + 99)
    assert found(worklist) == ['1']
    monkeypatch.setattr(time, 'monotonic', lambda: now + 101)
    with pytest.raises(Unavailable, match='MaximumAge'):
        found(worklist)
    assert 'MaximumAge' in worklist.state
    # That nothing has changed is news, too.
    worklist.refresh()
    assert his.asked[-1].status == 304
    assert found(worklist) == ['1']


def test_an_unreadable_entry_does_not_stop_the_others(
        make_worklist, his, plugin_log):
    worklist = make_worklist()
    log = plugin_log
    his.put(1, entry_file())
    his.put(2, b'Doe^Jane')
    worklist.refresh()
    his.put(3, entry_file())
    worklist.refresh()
    assert found(worklist) == ['1', '3']
    assert len([line for line in log if 'step 2 ' in line]) == 1


def test_a_modality_is_served_its_own_steps(make_worklist, his):
    worklist = make_worklist(filter_calling_aet=True)
    his.put(1, entry_file({'ScheduledStationAETitle': 'CT1'}))
    his.put(2, entry_file({'ScheduledStationAETitle': 'CT2'}))
    his.put(3, entry_file({'ScheduledStationAETitle': ['CT1', 'CT2']}))
    his.put(4, entry_file({'ScheduledStationAETitle': ''}))
    worklist.refresh()
    assert found(worklist, calling='CT1 ') == ['1', '3']
    assert found(worklist, calling='CT2') == ['2', '3']
    assert found(worklist, calling='') == []
    assert found(worklist, step(_0001='CT2'), 'CT1') == []


def test_what_orthanc_would_cut_is_counted(make_worklist, his):
    worklist = make_worklist()
    his.put(1, entry_file())
    his.put(2, entry_file({'ScheduledProcedureStepStartTime': '090000'}))
    worklist.refresh()
    items, removed = worklist.find(step(_0003='0900-1030'), 'CT1')
    assert [item.id for item in items] == ['2'] and removed == 1
    query = {STEP: [{'0040,0003': ''}],
        '0040,0270': [{'0040,0003': '0900-1030'}]}
    items, removed = worklist.find(query, 'CT1')
    assert len(items) == 2 and removed == 0


def test_the_file_keeps_the_list(make_worklist, his, tmp_path):
    first = make_worklist()
    his.put(1, entry_file(PatientName='Иванов^Пётр'))
    his.put(2, entry_file())
    first.refresh()
    file = tmp_path / 'cache.json'
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ['cache.json']
    second = make_worklist()
    second.load()
    assert found(second, {'0010,0010': 'ИВАНОВ*'}) == ['1']
    his.close(1)
    second.refresh()
    assert his.asked[-1].since == 2
    assert found(second) == ['2']


def refuse(dicom: bytes) -> str:
    raise AssertionError("A file is read again")


def test_the_file_keeps_what_orthanc_has_read(
        make_worklist, make_settings, his):
    first = make_worklist()
    his.put(1, entry_file(PatientName='Иванов^Пётр'))
    his.put(2, entry_file())
    his.put(3, b'not DICOM')
    first.refresh()
    second = Worklist(make_settings(), refuse)
    second.load()
    assert found(second) == found(first) == ['1', '2']
    assert found(second, {'0010,0010': 'ИВАНОВ*'}) == ['1']
    assert found(second, step(_0001='CT1')) == found(first, step(_0001='CT1'))


def test_a_file_of_an_earlier_plugin_is_used(make_worklist, his, tmp_path):
    his.put(1, entry_file())
    make_worklist().refresh()
    file = tmp_path / 'cache.json'
    data = json.loads(file.read_text())
    for entry in data['entries']:
        del entry['keys']
    file.write_text(json.dumps({**data, 'version': 1}))
    worklist = make_worklist()
    worklist.load()
    assert found(worklist, step(_0001='CT1')) == ['1']


def test_the_file_keeps_the_age(make_worklist, his, monkeypatch):
    first = make_worklist(maximum_age=100)
    his.put(1, entry_file())
    first.refresh()
    now = time.time()
    monkeypatch.setattr(time, 'time', lambda: now + 90)
    second = make_worklist(maximum_age=100)
    second.load()
    # To write it again makes it no younger.
    second.save()
    monkeypatch.setattr(time, 'time', lambda: now + 110)
    third = make_worklist(maximum_age=100)
    third.load()
    with pytest.raises(Unavailable, match='MaximumAge'):
        found(third)


def test_a_file_that_others_could_read_is_made_private(
        make_worklist, his, tmp_path):
    for name in ['cache.json', 'cache.json.new']:
        (tmp_path / name).write_text('{}')
        (tmp_path / name).chmod(0o666)
    worklist = make_worklist()
    worklist.refresh()
    file = tmp_path / 'cache.json'
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize('change', [
        {'version': 3}, {'source': 'http://other/hospital'},
        {'confirmed': 1e12}, {'confirmed': 'x'}, {'confirmed': float('nan')},
        {'index': None}, {'entries': None}, {'entries': [{'id': '1'}]},
        {'entries': [{'id': '1', 'index': 1, 'dicom': ''}]},
        {'entries': [{'id': '1', 'index': 1, 'dicom': '', 'keys': []}]},
        ], ids=repr)
def test_a_file_of_other_kind_is_not_used(
        make_worklist, his, tmp_path, change):
    his.put(1, entry_file())
    make_worklist().refresh()
    file = tmp_path / 'cache.json'
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    worklist = make_worklist()
    worklist.load()
    with pytest.raises(Unavailable):
        found(worklist)
    worklist.refresh()
    assert found(worklist) == ['1']


@pytest.mark.parametrize(
    'content', [b'', b'{', b'\xff', b'[]', b'[' * 100000])
def test_a_damaged_file_is_not_used(
        make_worklist, plugin_log, tmp_path, content):
    (tmp_path / 'cache.json').write_bytes(content)
    worklist = make_worklist()
    worklist.load()
    with pytest.raises(Unavailable):
        found(worklist)
    assert 'cache file cannot be used' in plugin_log[-1]


def test_a_folder_that_is_not_there_is_logged_once(
        make_worklist, his, plugin_log, tmp_path):
    worklist = make_worklist(cache_file=str(tmp_path / 'no' / 'cache.json'))
    his.put(1, entry_file())
    worklist.refresh()
    worklist.save()
    assert found(worklist) == ['1']
    assert len([line for line in plugin_log
            if 'cannot be written' in line]) == 1


# --- What Orthanc calls -------------------------------------------------

def test_answers_are_the_files_themselves(plugin_log, his, make_settings):
    file = entry_file()
    his.put(1, file)
    served = Plugin(make_settings(), Host())
    served._worklist.refresh()
    answers = Answers()
    served.on_worklist(answers, Query(file), 'CT1', 'ORTHANC')
    assert answers == [file] and not answers.incomplete


def test_missing_answers_are_logged_once_for_each_modality(
        plugin_log, his, make_settings):
    file = entry_file()
    his.put(1, file)
    served = Plugin(make_settings(), Host())
    served._worklist.refresh()
    dataset = pydicom.dcmread(io.BytesIO(file))
    item = dataset.ScheduledProcedureStepSequence[0]
    item.ScheduledProcedureStepStartTime = '1030'
    stream = io.BytesIO()
    dataset.save_as(stream)
    for calling in ['CT1', 'CT1', 'MR1', 'Döe\n']:
        answers = Answers()
        served.on_worklist(
            answers, Query(stream.getvalue()), calling, 'ORTHANC')
        assert answers == [] and answers.incomplete
    assert [line.split()[2] for line in plugin_log] == ['CT1', 'MR1', 'D?e?']


@pytest.mark.parametrize(('calling', 'address', 'words'), [
        ('CT1', '10.0.0.5', None),
        ('CT9', '10.0.0.5', 'no step is for CT9 (10.0.0.5), which'),
        ('CT9', 'fe80::1', 'no step is for CT9 (fe80::1), which'),
        ('CT9', '', 'no step is for CT9, which')])
def test_a_modality_that_no_step_is_for_is_logged_once(
        plugin_log, his, make_settings, calling, address, words):
    file = entry_file()
    his.put(1, file)
    served = Plugin(make_settings(filter_calling_aet=True), Host())
    served._worklist.refresh()
    for _ in range(2):
        answers = Answers()
        served.on_worklist(answers, Query(file), calling, 'ORTHANC', address)
        assert bool(answers) == (words is None)
    if words is None:
        assert plugin_log == []
    else:
        line, = plugin_log
        assert words in line


def test_without_the_filter_every_modality_is_served(
        plugin_log, his, make_settings):
    file = entry_file()
    his.put(1, file)
    served = Plugin(make_settings(), Host())
    served._worklist.refresh()
    answers = Answers()
    served.on_worklist(answers, Query(file), 'CT9', 'ORTHANC', '10.0.0.5')
    assert answers == [file] and plugin_log == []


def test_errors_hold_no_patients(plugin_log, make_settings, his):
    """Orthanc logs what a callback raises."""
    file = entry_file()
    his.put(1, file)
    served = Plugin(make_settings(), Host())
    served._worklist.refresh()

    class Broken(Answers):
        def WorklistAddAnswer(self, query: Query, file: bytes) -> None:
            raise KeyError('Doe^Jane')
    with pytest.raises(Unavailable) as error:
        served.on_worklist(Broken(), Query(file), 'CT1', 'ORTHANC')
    assert re.search(r'KeyError in plugin\.py:\d+ \w+', str(error.value))
    assert 'Doe' not in str(error.value)
    assert error.value.__suppress_context__


def test_problems_are_logged_when_they_begin_and_end(
        plugin_log, make_worklist, make_settings, his):
    log = plugin_log
    worklist = make_worklist()
    refresher = Refresher(worklist, make_settings())
    log.clear()

    def rounds(trouble):
        his.trouble = trouble
        for _ in range(3):
            refresher._log_change(refresher._refresh())
    his.put(1, entry_file())
    rounds(wire.status(500))
    assert len(log) == 1 and 'status 500' in log[0]
    assert 'queries fail' in log[0]
    rounds(None)
    assert len(log) == 2
    assert 'connected to GNU Health; 1 worklist item is served' in log[1]
    rounds(wire.status(401))
    assert len(log) == 3 and 'rejects the key' in log[2]
    assert '1 worklist item is served' in log[2]
    rounds(None)
    assert len(log) == 4 and 'connected' in log[3]


def test_a_fault_of_ours_does_not_end_the_thread(
        make_worklist, make_settings, monkeypatch):
    worklist = make_worklist()
    refresher = Refresher(worklist, make_settings())

    def fail():
        raise KeyError('Doe^Jane')
    monkeypatch.setattr(worklist, 'refresh', fail)
    assert re.match(
        r'KeyError in refresher\.py:\d+ \w+', refresher._refresh())
