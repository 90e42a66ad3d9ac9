# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The viewer's files, changed so that they work below any path.

The package is made for the root of a host. One folder serves all databases
and servers, which have paths of their own: programs find the path when they
run, and the page has placeholders that GNU Health fills in.
"""
import re

from .failures import Failure

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
