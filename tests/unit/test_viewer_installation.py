# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command that installs the viewer, and what GNU Health reads of it."""
import base64
import gzip
import hashlib
import io
import json
import re
import subprocess
import tarfile
from pathlib import Path

import pytest

from trytond.modules.health_orthanc.core.installed_viewer import (
    NotInstalled, configuration_script, content_security_policy, find_viewer,
    render_page)

from devtools import viewer
from devtools.cache import cache_folder
from scripts.src import (
    health_orthanc_viewer, viewer_folder, viewer_package, viewer_rewriting)
from scripts.src.failures import Failure, Unusable

PAGE = '''<meta content="/assets/tile.png">
<script>window.PUBLIC_URL="/"</script>
<script src="/app-config.js"></script>
<script type="module" src="/init-service-worker.js"></script>
<script>window.PUBLIC_URL="/"</script><script src="/app.bundle.1a.js"></script>
'''
PROGRAM = 'x();__webpack_require__.p = "/";y();'
FILES = {
    'index.html': PAGE,
    'app.bundle.1a.js': PROGRAM,
    '8097.bundle.2b.js': PROGRAM,
    'app.bundle.css': 'a { background: url(/assets/a.png) }',
    'assets/a.png': 'pixels',
    'app-config.js': 'elsewhere',
    'ort/model.js': 'fetches from elsewhere',
    'sw.js': 'imports from elsewhere',
    'app.bundle.1a.js.map': 'for developers',
    }


def pack(files: dict[str, str], top: str = 'package/dist/') -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode='w:gz') as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(top + name)
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
    return stream.getvalue()


@pytest.fixture
def archive(monkeypatch, tmp_path) -> Path:
    """A small package that passes for the pinned one."""
    monkeypatch.setattr(viewer_folder, 'PROGRAMS_COUNT', 2)
    return pin(monkeypatch, tmp_path, pack(FILES))


def pin(monkeypatch, tmp_path: Path, content: bytes) -> Path:
    digest = base64.b64encode(hashlib.sha512(content).digest()).decode()
    monkeypatch.setattr(viewer_package, 'INTEGRITY', f'sha512-{digest}')
    path = tmp_path / 'ohif.tgz'
    path.write_bytes(content)
    return path


def install(archive: Path, folder: Path) -> int:
    return health_orthanc_viewer.main(
        ['install', '--archive', str(archive), '--folder', str(folder)])


def check(folder: Path) -> int:
    return health_orthanc_viewer.main(['check', '--folder', str(folder)])


def test_what_is_needed_is_installed(archive, tmp_path, capsys):
    assert install(archive, tmp_path / 'viewer') == 0
    assert "OHIF 3.13.2: 5 files" in capsys.readouterr().out
    found = find_viewer(tmp_path / 'viewer')
    assert set(found.files) == {
        'index.html', 'app.bundle.1a.js', '8097.bundle.2b.js',
        'app.bundle.css', 'assets/a.png'}
    assert found.version == '3.13.2'
    for name, file in found.files.items():
        content = file.path.read_bytes()
        assert file.size == len(content)
        assert file.etag == hashlib.sha256(content).hexdigest()[:32]
        assert file.compressed == (name != 'assets/a.png')
        assert file.evaluates == name.startswith('8097.')
        if file.compressed:
            copy = file.path.with_name(f'{file.path.name}.gz')
            assert gzip.decompress(copy.read_bytes()) == content


def test_nothing_of_it_asks_the_root_of_the_host(archive, tmp_path):
    install(archive, tmp_path / 'viewer')
    found = find_viewer(tmp_path / 'viewer')
    program = found.files['app.bundle.1a.js'].path.read_text()
    assert '__webpack_require__.p = "/"' not in program
    assert 'self.PUBLIC_URL' in program
    assert found.files['app.bundle.css'].path.read_text() == (
        'a { background: url(assets/a.png) }')
    page = render_page(
        found.page, '/db/orthanc/viewer/files/r/', '/db/orthanc/viewer/1/',
        'NONCE')
    assert '@@' not in page
    assert 'init-service-worker' not in page
    assert page.count('PUBLIC_URL="/db/orthanc/viewer/files/r/"') == 2
    assert page.count('<script nonce="NONCE">') == 2
    assert 'src="/db/orthanc/viewer/1/app-config.js"' in page
    assert 'src="/db/orthanc/viewer/files/r/app.bundle.1a.js"' in page
    assert 'content="/db/orthanc/viewer/files/r/assets/tile.png"' in page


def test_another_package_is_refused(archive, tmp_path, capsys):
    folder = tmp_path / 'viewer'
    install(archive, folder)
    before = find_viewer(folder)
    archive.write_bytes(pack({**FILES, 'index.html': "Somebody else's"}))
    assert install(archive, folder) == 1
    assert "This is not the package" in capsys.readouterr().err
    assert find_viewer(folder) == before
    assert check(folder) == 0


@pytest.mark.parametrize('files', [
        {**FILES, 'index.html': '<script src="/a.js"></script>'},
        {**FILES, 'third.js': PROGRAM},
        {**FILES, 'a b.js': 'x'},
        {**FILES, '../a.js': 'x'},
        ])
def test_files_that_are_not_as_expected_are_refused(
        files, archive, tmp_path, monkeypatch, capsys):
    pin(monkeypatch, tmp_path, pack(files))
    assert install(archive, tmp_path / 'viewer') == 1
    assert "not as expected" in capsys.readouterr().err
    assert not (tmp_path / 'viewer' / 'manifest.json').exists()
    assert not (tmp_path / 'a.js').exists()


def test_a_later_revision_replaces_the_former(archive, tmp_path, monkeypatch):
    folder = tmp_path / 'viewer'
    install(archive, folder)
    former = find_viewer(folder)
    pin(monkeypatch, tmp_path, pack({**FILES, 'assets/a.png': 'others'}))
    assert install(archive, folder) == 0
    found = find_viewer(folder)
    assert found.revision != former.revision
    assert found.files['assets/a.png'].path.read_text() == 'others'
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        ['manifest.json', found.revision])


def test_installing_again_changes_nothing(archive, tmp_path):
    folder = tmp_path / 'viewer'
    install(archive, folder)
    former = find_viewer(folder)
    assert install(archive, folder) == 0
    assert find_viewer(folder) == former
    assert check(folder) == 0


def test_a_folder_of_other_things_is_left_alone(archive, tmp_path, capsys):
    folder = tmp_path / 'home'
    (folder / 'letters').mkdir(parents=True)
    assert install(archive, folder) == 2
    assert "neither empty" in capsys.readouterr().err
    assert [path.name for path in folder.iterdir()] == ['letters']
    (folder / 'manifest.json').write_text('{"revision": "../../etc"}')
    assert install(archive, folder) == 2
    assert "damaged" in capsys.readouterr().err


@pytest.mark.parametrize('name', ['app.bundle.css', 'app.bundle.css.gz'])
def test_check_finds_a_changed_file(name, archive, tmp_path, capsys):
    folder = tmp_path / 'viewer'
    install(archive, folder)
    path = folder / find_viewer(folder).revision / name
    path.write_bytes(
        gzip.compress(b'changed') if path.suffix == '.gz' else b'changed')
    assert check(folder) == 1
    assert "has changed" in capsys.readouterr().err
    path.unlink()
    assert check(folder) == 1
    assert "is missing" in capsys.readouterr().err


def test_the_folder_is_that_of_the_configuration(
        archive, tmp_path, monkeypatch, capsys):
    folder = tmp_path / 'viewer'
    config = tmp_path / 'trytond.conf'
    config.write_text(f"[health_orthanc]\nviewer_path = {folder}\n")
    assert health_orthanc_viewer.main([
            'install', '-a', str(archive), '-c', str(config)]) == 0
    monkeypatch.setenv('TRYTOND_CONFIG', str(config))
    assert health_orthanc_viewer.main(['check']) == 0
    config.write_text("[health_orthanc]\n")
    assert health_orthanc_viewer.main(['check']) == 2
    assert "viewer_path" in capsys.readouterr().err
    monkeypatch.delenv('TRYTOND_CONFIG')
    assert health_orthanc_viewer.main(['check']) == 2


def test_failures_of_npm(monkeypatch, tmp_path):
    monkeypatch.setenv('PATH', str(tmp_path))
    with pytest.raises(Unusable, match="npm is not installed"):
        viewer_package.fetch_package()
    npm = tmp_path / 'npm'
    npm.write_text("#!/bin/sh\necho 'no such host' >&2\nexit 1\n")
    npm.chmod(0o755)
    with pytest.raises(Failure, match="no such host"):
        viewer_package.fetch_package()


@pytest.mark.parametrize('manifest', [
        None, '', '[]', '{"version": "1", "revision": "a/b", "files": {}}',
        '{"version": "1", "revision": "a", "files": {}}',
        '{"version": "1", "revision": "a", "files": {"index.html": {}}}'])
def test_a_broken_manifest_is_no_viewer(manifest, tmp_path):
    if manifest is not None:
        (tmp_path / 'manifest.json').write_text(manifest)
    with pytest.raises(NotInstalled):
        find_viewer(tmp_path)


def test_only_files_below_the_folder_are_listed(archive, tmp_path):
    install(archive, tmp_path / 'viewer')
    path = tmp_path / 'viewer' / 'manifest.json'
    manifest = json.loads(path.read_text())
    described = manifest['files']['app.bundle.css']
    manifest['files'].update(
        {'../../secret': described, '/etc/passwd': described})
    path.write_text(json.dumps(manifest))
    assert len(find_viewer(tmp_path / 'viewer').files) == 5


def test_the_package_itself():
    """As it is installed for the tests in a browser."""
    folder = viewer.assemble(cache_folder())
    manifest = viewer_folder.check_viewer(folder)
    found = find_viewer(folder)
    assert found.version == manifest['version'] == (
        viewer_package.VIEWER_VERSION)
    files = {
        name: file.path.read_bytes() for name, file in found.files.items()}
    assert viewer_rewriting.find_left_paths(files) == []
    assert sum(map(len, files.values())) < 65e6
    assert [
        name for name, file in found.files.items() if file.evaluates] == [
        name for name in found.files if name.startswith('8097.')]
    assert not any(
        re.match(r'ort/|.*\.map$|sw\.js$|app-config\.js$', name)
        for name in found.files)
    assert {'LICENSE', 'index.html'} <= found.files.keys()
    for file in found.files.values():
        assert file.content_type


def test_the_page_allows_no_other_host():
    policy = content_security_policy('N1')
    assert "default-src 'none'" in policy
    assert "'nonce-N1'" in policy and "frame-ancestors 'none'" in policy
    assert "'unsafe-eval'" not in policy
    assert "'unsafe-inline'" not in policy.split('style-src')[0]
    assert 'http' not in policy and '*' not in policy
    worker = content_security_policy(evaluates=True)
    assert "'unsafe-eval'" in worker and 'nonce' not in worker


def run_configuration(*arguments, answer: str = '') -> dict:
    """Return what the program of the configuration does in a browser.

    Parameters
    ----------
    answer
        The body of what the server answers with an error.
    """
    script = configuration_script(*arguments)
    program = '''
const shown = [], stored = {};
const document = {cookie: '', getElementById: () => shown.length,
    createElement: () => ({setAttribute: () => null, style: {},
        addEventListener: () => null}),
    body: {append: node => shown.push(node.textContent)}};
const localStorage = {setItem: (k, v) => stored[k] = v};
const window = {};
%s
for (const status of [404, 401, 401]) {
    window.config.httpErrorHandler(
        {status, request: {responseText: %s}});
}
console.log(JSON.stringify({
    config: window.config, shown, stored, cookie: document.cookie}));
''' % (script, json.dumps(answer))
    return json.loads(subprocess.run(
            ['node', '-e', program], check=True, capture_output=True,
            text=True, timeout=60).stdout)


def test_the_configuration():
    found = run_configuration(
        '/d/orthanc/viewer/3/', '/d/orthanc/dicomweb/3/dicom-web', 'de',
        {401: "Bitte \"neu\" anmelden </script>\u2028"})
    config = found['config']
    assert config['routerBasename'] == '/d/orthanc/viewer/3/'
    assert config['showStudyList'] is False
    source, = config['dataSources']
    for root in ['qidoRoot', 'wadoRoot', 'wadoUriRoot']:
        assert source['configuration'][root] == (
            '/d/orthanc/dicomweb/3/dicom-web')
    assert found['stored'] == {'i18nextLng': 'de'}
    assert found['cookie'].startswith('i18next=de;')
    assert found['shown'] == ["Bitte \"neu\" anmelden </script>\u2028"]


def test_what_the_answer_says_is_shown():
    texts = {401: "Log in again", 409: "Not saved"}
    for answer, shown in [
            ('{"message": "Of another patient"}', "Of another patient"),
            ('{}', "Log in again"), ('<html>', "Log in again"),
            ('', "Log in again")]:
        assert run_configuration(
            '/p/', '/w', None, texts, answer=answer)['shown'] == [shown]


@pytest.mark.parametrize('code, language', [
        ('en', 'en-US'), ('de', 'de'), ('es_419', 'es'), ('pt', 'pt-BR'),
        ('zh_CN', 'zh'), ('fi', None), (None, None)])
def test_languages(code, language):
    stored = run_configuration('/p/', '/w', code, {})['stored']
    assert stored.get('i18nextLng') == language
