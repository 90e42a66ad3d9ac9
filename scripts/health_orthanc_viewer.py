#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# gnuhealth-orthanc 5.0.50
# Built from scripts/src by ./dev build; do not edit
"""Install the OHIF viewer that GNU Health serves, or check it.

The package is taken from npm's registry, or from a file. It is compared with
the checksum of the version that this module was tested with, changed so that
it works below the paths of GNU Health, and compressed.
"""
import argparse
import base64
import configparser
import gzip
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

# --- failures ---------------------------------------------------------
# Failures that end a script with a message and an exit code.


class Failure(Exception):
    """The work could not be done; the text says why.

    Attributes
    ----------
    code : int
        The exit code.
    """
    code = 1


class Unusable(Failure):
    """Nothing could be started."""
    code = 2


# --- viewer_rewriting -------------------------------------------------
# The viewer's files, changed so that they work below any path.
#
# The package is made for the root of a host. One folder serves all databases
# and servers, which have paths of their own: programs find the path when they
# run, and the page has placeholders that GNU Health fills in.

# Filled in by GNU Health, and not to be mistaken for anything else
FILES_PLACEHOLDER = '@@FILES@@'  # the path of the files
PAGES_PLACEHOLDER = '@@PAGES@@'  # the path of the pages
NONCE_PLACEHOLDER = '@@NONCE@@'  # what allows the scripts in the page
# Of the package that is not needed: models that are fetched from other hosts,
# login with OpenID, service workers that import from other hosts, what some
# hosting services read, and what only developers use
LEFT_OUT = re.compile(
    r'ort/|customizations/|(?:.*\.(?:map|jsonc)|sw\.js|init-service-worker\.js'
    r'|oidc-client\.min\.js|google\.js|silent-refresh\.html|app-config\.js'
    r'|serve\.json|_headers|_redirects)$')
PLAIN_NAME = re.compile(r'[A-Za-z0-9_-][A-Za-z0-9._-]*'
    r'(?:/[A-Za-z0-9_-][A-Za-z0-9._-]*)*')
_PUBLIC_PATH = '__webpack_require__.p = "/"'
# A worker has no window, and knows only where it comes from
_RUNTIME_PATH = (
    '__webpack_require__.p = '
    '(self.PUBLIC_URL || new URL(".", self.location.href).pathname)')
# Files with such a path; another number is another package
PROGRAMS_COUNT = 8
_SERVICE_WORKER = re.compile(
    r'<script [^>]*src="/init-service-worker\.js"></script>')


def is_needed(name: str) -> bool:
    """Return whether a file of the package is installed."""
    return not LEFT_OUT.match(name)


def rewrite(name: str, content: bytes) -> bytes:
    """Return what is installed in place of a file of the package.

    Parameters
    ----------
    name
        Its path in the package.
    """
    if name == 'index.html':
        return _rewrite_page(content.decode()).encode()
    if name.endswith('.js'):
        return content.replace(_PUBLIC_PATH.encode(), _RUNTIME_PATH.encode())
    if name.endswith('.css'):
        return content.replace(b'url(/', b'url(')
    return content


def _rewrite_page(page: str) -> str:
    page, removed = _SERVICE_WORKER.subn('', page)
    if removed != 1 or page.count('window.PUBLIC_URL="/"') != 2:
        raise Failure("The page of the viewer is not as expected")
    page = page.replace(
        'window.PUBLIC_URL="/"', f'window.PUBLIC_URL="{FILES_PLACEHOLDER}"')
    page = page.replace(
        'src="/app-config.js"', f'src="{PAGES_PLACEHOLDER}app-config.js"')
    page = re.sub(
        r'\b(href|src|content)="/', rf'\1="{FILES_PLACEHOLDER}', page)
    return page.replace('<script>', f'<script nonce="{NONCE_PLACEHOLDER}">')


def count_programs(files: dict[str, bytes]) -> int:
    """Return how many of the rewritten files find their path at runtime."""
    return sum(
        _RUNTIME_PATH.encode() in content for name, content in files.items()
        if name.endswith('.js'))


def find_left_paths(files: dict[str, bytes]) -> list[str]:
    """Return the rewritten files that still ask the root of the host."""
    left = [
        name for name, content in files.items()
        if name.endswith('.js') and _PUBLIC_PATH.encode() in content
        or name.endswith('.css') and b'url(/' in content]
    page = files.get('index.html', b'')
    if re.search(rb'(?:href|src|content|PUBLIC_URL)="/', page):
        left.append('index.html')
    return left


# --- viewer_package ---------------------------------------------------
# The package of the viewer: fetched from npm, and checked.

VIEWER_VERSION = '3.13.2'
VIEWER_PACKAGE = f'@ohif/app@{VIEWER_VERSION}'
# As npm's registry has it; what is not exactly this is not installed
INTEGRITY = (
    'sha512-WZdxmpmG7rqFgW9ZJLcbgr3XCtLi1KDNPoMaeY5PPe6j4G4fjEjjkycZM6C6Zk2F'
    '87BKxFfpq+jd5xXZB9E8EA==')
_TOP = PurePosixPath('package')
FETCH_TIMEOUT = 600  # seconds
# What the files may have together, which are 213 MB
LARGEST = 400 * 2**20


def fetch_package() -> bytes:
    """Return the package, fetched with npm from the registry that it knows.

    Raises
    ------
    Failure
    """
    with tempfile.TemporaryDirectory(prefix='viewer-') as folder:
        try:
            done = subprocess.run(
                ['npm', 'pack', '--silent', '--ignore-scripts',
                    VIEWER_PACKAGE],
                cwd=folder, stdin=subprocess.DEVNULL, capture_output=True,
                text=True, timeout=FETCH_TIMEOUT)
        except FileNotFoundError:
            raise Unusable(
                "npm is not installed. Install it, or fetch the package "
                f"{VIEWER_PACKAGE} elsewhere and name its file with "
                "--archive.") from None
        except subprocess.TimeoutExpired:
            raise Failure(
                f"npm has not fetched the package in {FETCH_TIMEOUT} s."
                ) from None
        found = list(Path(folder).glob('*.tgz'))
        if done.returncode or len(found) != 1:
            raise Failure(f"npm could not fetch the package:\n{done.stderr}")
        return found[0].read_bytes()


def read_package(archive: bytes) -> dict[str, bytes]:
    """Return the files of the package that are needed, by their paths.

    Raises
    ------
    Failure
        If it is not the package.
    """
    digest = base64.b64encode(hashlib.sha512(archive).digest()).decode()
    if f'sha512-{digest}' != INTEGRITY:
        raise Failure(
            f"This is not the package {VIEWER_PACKAGE}, or it is damaged. "
            "Nothing was installed.")
    with tarfile.open(fileobj=io.BytesIO(archive), mode='r:gz') as tar:
        return _read_members(tar)


def _read_members(tar: tarfile.TarFile) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    size = 0
    for member in tar:
        path = PurePosixPath(member.name)
        if path == _TOP / 'LICENSE':
            name = 'LICENSE'
        elif path.is_relative_to(_TOP / 'dist'):
            name = str(path.relative_to(_TOP / 'dist'))
        else:
            continue
        size += member.size
        content = tar.extractfile(member) if member.isfile() else None
        if content is None or not is_needed(name):
            continue
        if not PLAIN_NAME.fullmatch(name) or size > LARGEST:
            raise Failure("The package is not as expected")
        files[name] = content.read()
    return files


# --- viewer_folder ----------------------------------------------------
# The folder that GNU Health serves the viewer from.
#
# ``manifest.json`` lists the files, which are in a folder named as their
# revision. It is replaced last, so that a viewer is there whole or not at all.

MANIFEST_NAME = 'manifest.json'
# What becomes smaller; images and fonts are compressed as they are
_COMPRESSED = ('.js', '.css', '.html', '.json', '.svg', '.wasm', '.xml')
_TYPES = {
    '.css': 'text/css; charset=utf-8',
    '.html': 'text/html; charset=utf-8',
    '.ico': 'image/x-icon',
    '.js': 'text/javascript; charset=utf-8',
    '.json': 'application/json',
    '.png': 'image/png',
    '.svg': 'image/svg+xml',
    '.ttf': 'font/ttf',
    '.wasm': 'application/wasm',
    '.webapp': 'application/json',
    '.woff2': 'font/woff2',
    '.xml': 'application/xml',
    }
# The worker that decodes JPEG 2000 makes functions of texts
_EVALUATING = '8097.bundle.'


def install_viewer(package: dict[str, bytes], folder: Path) -> dict:
    """Write the rewritten files of a package, and return their manifest.

    Parameters
    ----------
    package
        As `read_package` returns it.

    Raises
    ------
    Failure
        If the files are not as expected; the folder is left as it was.
    OSError
    """
    files = {
        name: rewrite(name, content) for name, content in package.items()}
    left = find_left_paths(files)
    if left or count_programs(files) != PROGRAMS_COUNT:
        raise Failure(
            f"The files of the viewer are not as expected: {', '.join(left)}")
    manifest = _describe_files(files)
    folder.mkdir(parents=True, exist_ok=True)
    former = _find_former(folder)
    _write_revision(files, folder, manifest['revision'])
    _replace_text(
        folder / MANIFEST_NAME, json.dumps(manifest, indent=1) + '\n')
    if former and former != manifest['revision']:
        shutil.rmtree(folder / former, ignore_errors=True)
    return manifest


def _find_former(folder: Path) -> str | None:
    "Return the revision in a folder; it holds nothing else"
    try:
        revision = json.loads((folder / MANIFEST_NAME).read_text())['revision']
        if not re.fullmatch('[0-9a-f]{16}', revision):
            raise ValueError(revision)
        return revision
    except FileNotFoundError:
        if any(folder.iterdir()):
            raise Unusable(
                f"{folder} is neither empty nor the folder of a viewer. Name "
                "another one.") from None
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise Unusable(
            f"{folder / MANIFEST_NAME} is damaged. Remove the folder."
            ) from error


def _describe_files(files: dict[str, bytes]) -> dict:
    listed: dict[str, dict] = {}
    for name, content in sorted(files.items()):
        suffix = Path(name).suffix
        listed[name] = {
            'sha256': hashlib.sha256(content).hexdigest(),
            'size': len(content),
            'type': _TYPES.get(suffix, 'text/plain; charset=utf-8'),
            'gzip': suffix in _COMPRESSED,
            'eval': name.startswith(_EVALUATING),
            }
    revision = hashlib.sha256(
        json.dumps(listed, sort_keys=True).encode()).hexdigest()[:16]
    return {
        'version': VIEWER_VERSION, 'revision': revision, 'files': listed}


def _write_revision(
        files: dict[str, bytes], folder: Path, revision: str) -> None:
    part = Path(tempfile.mkdtemp(prefix='part-', dir=folder))
    try:
        for name, content in files.items():
            path = part / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            if path.suffix in _COMPRESSED:
                # No time in it: the same content is the same file
                path.with_name(f'{path.name}.gz').write_bytes(
                    gzip.compress(content, mtime=0))
        part.chmod(0o755)
        shutil.rmtree(folder / revision, ignore_errors=True)
        part.rename(folder / revision)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _replace_text(path: Path, text: str) -> None:
    handle, part = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(handle, 'w', encoding='utf-8') as file:
        file.write(text)
    os.chmod(part, 0o644)
    os.replace(part, path)


def check_viewer(folder: Path) -> dict:
    """Compare the files with their manifest, and return it.

    Raises
    ------
    Failure
        If one is missing or differs, or if no viewer is installed.
    """
    try:
        manifest = json.loads((folder / MANIFEST_NAME).read_text())
        names = manifest['files']
        for name, described in names.items():
            path = folder / manifest['revision'] / name
            contents = [path.read_bytes()]
            if described['gzip']:
                contents.append(gzip.decompress(
                        path.with_name(f'{path.name}.gz').read_bytes()))
            for content in contents:
                digest = hashlib.sha256(content).hexdigest()
                if digest != described['sha256']:
                    raise Failure(
                        f"{path} has changed. Install the viewer again.")
    except FileNotFoundError as error:
        raise Failure(
            f"{error.filename} is missing. Install the viewer.") from error
    except (ValueError, KeyError, TypeError, EOFError, OSError) as error:
        raise Failure(
            f"The viewer in {folder} cannot be read: {error}. Install it "
            "again.") from error
    return manifest


# --- health_orthanc_viewer --------------------------------------------

EPILOG = """\
The folder is viewer_path of the section [health_orthanc] in the configuration
of trytond; every process of trytond must be able to read it.

exit codes: 0 the viewer is installed; 1 it is not, or a file has changed;
2 wrong usage
"""


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse_options(arguments)
    try:
        folder = options.folder or find_folder(options.config)
        if options.command == 'install':
            archive = options.archive.read_bytes() if options.archive \
                else fetch_package()
            install_viewer(read_package(archive), folder)
        manifest = check_viewer(folder)
    except Failure as error:
        print(error, file=sys.stderr)
        return error.code
    except OSError as error:
        print(f"The viewer was not installed: {error}", file=sys.stderr)
        return Failure.code
    files = manifest['files'].values()
    print(
        f"OHIF {manifest['version']}: {len(files)} files, "
        f"{sum(f['size'] for f in files) / 1e6:.0f} MB in {folder}")
    return 0


def parse_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog='health-orthanc-viewer', description=__doc__, epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        'command', choices=['install', 'check'],
        help="install the viewer, or compare its files with their checksums")
    parser.add_argument(
        '-c', '--config', type=Path, metavar='FILE',
        default=os.environ.get('TRYTOND_CONFIG'),
        help="the configuration of trytond (default: that of the environment "
        "variable TRYTOND_CONFIG)")
    parser.add_argument(
        '-f', '--folder', type=Path, metavar='FOLDER',
        help="the folder, instead of that of the configuration")
    parser.add_argument(
        '-a', '--archive', type=Path, metavar='FILE',
        help=f"the package {VIEWER_PACKAGE} as npm pack writes it, for a "
        "machine without a way to npm's registry")
    return parser.parse_args(arguments)


def find_folder(config: Path | None) -> Path:
    """Return the folder that a configuration of trytond names.

    Raises
    ------
    Unusable
    """
    parser = configparser.ConfigParser(interpolation=None)
    try:
        if config is None or not parser.read(config):
            raise Unusable(
                "Name the folder with --folder, or the configuration of "
                "trytond with --config.")
        folder = parser.get('health_orthanc', 'viewer_path', fallback='')
    except configparser.Error as error:
        raise Unusable(f"{config}: {error}") from error
    if not folder:
        raise Unusable(
            f"{config}: no viewer_path in the section [health_orthanc]")
    return Path(folder)


if __name__ == '__main__':
    sys.exit(main())
