# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The installed OHIF viewer: its files, its page and its configuration.

``health-orthanc-viewer`` installs it. One folder serves all databases and
servers: the paths are filled in when the page is sent. Files have a path of
their own with the revision of the folder in it, so that browsers keep them
until another viewer is installed, for all servers.
"""

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    'InstalledViewer', 'NotInstalled', 'ViewerFile', 'configuration_script',
    'content_security_policy', 'find_viewer', 'render_page']

PAGE = 'index.html'
_MANIFEST = 'manifest.json'
# Languages that the viewer has, by the codes of Tryton where they differ
_LANGUAGES = {
    'en': 'en-US', 'ja': 'ja-JP', 'pt': 'pt-BR', 'pt_BR': 'pt-BR',
    'tr': 'tr-TR', 'zh_CN': 'zh'}
_SAME_LANGUAGES = {'ar', 'de', 'es', 'fr', 'nl', 'ru', 'vi'}


class NotInstalled(Exception):
    """No viewer is installed, or it cannot be read; the text says why."""


@dataclass(frozen=True, slots=True)
class ViewerFile:
    """A file that may be sent

    Attributes
    ----------
    path : Path
    content_type : str
    etag : str
    size : int
        In bytes.
    compressed : bool
        Whether there is a copy with ``.gz`` after its name.
    evaluates : bool
        Whether it is a worker that makes functions of texts.
    """
    path: Path
    content_type: str
    etag: str
    size: int
    compressed: bool
    evaluates: bool


@dataclass(frozen=True, slots=True)
class InstalledViewer:
    """A viewer as the folder's manifest describes it

    Attributes
    ----------
    version : str
    revision : str
        Changes with the content of any file.
    files : mapping of str to ViewerFile
        By their path in URLs.
    """
    version: str
    revision: str
    files: Mapping[str, ViewerFile]

    @property
    def page(self) -> str:
        "The page, with placeholders"
        return self.files[PAGE].path.read_text(encoding='utf-8')


# Manifests that have been read, by path; with what tells that one is new
_known: dict[Path, tuple[tuple[int, int], InstalledViewer]] = {}
_lock = threading.Lock()


def find_viewer(folder: Path) -> InstalledViewer:
    """Return the viewer that is installed in a folder.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    InstalledViewer

    Raises
    ------
    NotInstalled
    """
    path = folder / _MANIFEST
    try:
        found = path.stat()
        stamp = found.st_mtime_ns, found.st_ino
        with _lock:
            if path not in _known or _known[path][0] != stamp:
                _known[path] = stamp, _read_manifest(path)
            return _known[path][1]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise NotInstalled(f"{path}: {error!r}") from error


def _read_manifest(path: Path) -> InstalledViewer:
    manifest = json.loads(path.read_text(encoding='utf-8'))
    revision = manifest['revision']
    if not revision.isalnum():
        raise ValueError(revision)
    folder = path.parent / revision
    files = {
        name: ViewerFile(
            path=folder / name,
            content_type=described['type'],
            etag=described['sha256'][:32],
            size=described['size'],
            compressed=described['gzip'],
            evaluates=described['eval'])
        for name, described in manifest['files'].items()
        if '..' not in name.split('/') and not name.startswith('/')}
    if PAGE not in files:
        raise ValueError(PAGE)
    return InstalledViewer(manifest['version'], revision, files)


def render_page(page: str, files: str, pages: str, nonce: str) -> str:
    """Return the viewer's page.

    Parameters
    ----------
    page : str
        With placeholders.
    files, pages : str
        The paths of its files, and of itself; they end in a slash.
    nonce : str
        What the content security policy allows its scripts by.
    """
    return page.replace('@@FILES@@', files).replace(
        '@@PAGES@@', pages).replace('@@NONCE@@', nonce)


def content_security_policy(
        nonce: str | None = None, evaluates: bool = False) -> str:
    """Return what the page, or a worker of it, may do.

    Parameters
    ----------
    nonce : str, optional
        Of the page.
    evaluates : bool
        For a worker that makes functions of texts.
    """
    scripts = "'self' 'wasm-unsafe-eval' blob:"
    if nonce:
        scripts += f" 'nonce-{nonce}'"
    if evaluates:
        scripts += " 'unsafe-eval'"
    return '; '.join([
            "default-src 'none'",
            f"script-src {scripts}",
            "worker-src 'self' blob:",
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "font-src 'self' data:",
            "connect-src 'self' blob: data:",
            "manifest-src 'self'",
            "object-src 'self' blob:",
            "media-src 'self' blob:",
            "frame-src 'self' blob:",
            "form-action 'none'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
            ])


# An answer of 401 or 403 leads OHIF to a page that says that the study is not
# available; what our answer says, and what to do, is put above it.
_SCRIPT = """\
(() => {{
    const texts = {texts};
    const language = {language};
    if (language) {{
        document.cookie = `i18next=${{language}}; SameSite=Strict`;
        localStorage.setItem('i18nextLng', language);
    }}
    const show = text => {{
        if (document.getElementById('health-orthanc-message')) {{
            return;
        }}
        const message = document.createElement('p');
        message.id = 'health-orthanc-message';
        message.setAttribute('role', 'alert');
        message.textContent = text;
        message.addEventListener('click', () => message.remove());
        message.style.cssText = 'position: fixed; z-index: 10000; top: 40%;'
            + 'left: 50%; transform: translate(-50%, -50%); padding: 1.5em;'
            + 'max-width: 30em; background: #fff; color: #000;'
            + 'border-radius: .3em; font: 1.1em sans-serif; cursor: pointer';
        document.body.append(message);
    }};
    const told = request => {{
        try {{
            return JSON.parse(request.responseText).message;
        }} catch {{
            return null;
        }}
    }};
    window.config = {configuration};
    window.config.httpErrorHandler = error => {{
        const request = error.request || {{}};
        const status = error.status || request.status;
        if (status in texts) {{
            show(told(request) || texts[status]);
        }}
    }};
}})();
"""


def configuration_script(
        pages: str, dicom_web: str, language: str | None,
        texts: Mapping[int, str]) -> str:
    """Return the program that configures the viewer for a server.

    Parameters
    ----------
    pages : str
        The path of the page; it ends in a slash.
    dicom_web : str
        The path of the server's DICOMweb.
    language : str or None
        Code of the person's language in Tryton.
    texts : mapping of int to str
        What the person is told, by the HTTP status of an answer.

    Returns
    -------
    str
        JavaScript.
    """
    return _SCRIPT.format(
        configuration=_script_value(_configuration(pages, dicom_web)),
        language=_script_value(_viewer_language(language)),
        texts=_script_value({str(k): v for k, v in texts.items()}))


def _script_value(value: object) -> str:
    return json.dumps(value, indent=4)


def _viewer_language(code: str | None) -> str | None:
    if not code:
        return None
    for part in [code, code.partition('_')[0]]:
        if part in _LANGUAGES:
            return _LANGUAGES[part]
        if part in _SAME_LANGUAGES:
            return part
    return None


def _configuration(pages: str, dicom_web: str) -> dict[str, object]:
    return {
        'routerBasename': pages,
        'extensions': [],
        'modes': [],
        'customizationService': [{
                # A tour for beginners covers the image
                'ohif.tours': {'$set': []},
                }],
        'showStudyList': False,
        'showErrorDetails': 'production',
        'investigationalUseDialog': {'option': 'never'},
        'showWarningMessageForCrossOrigin': False,
        'showCPUFallbackMessage': False,
        'strictZSpacingForVolumeViewport': True,
        'groupEnabledModesFirst': True,
        'maxNumRequests': {
            'interaction': 100, 'thumbnail': 5, 'prefetch': 10},
        'defaultDataSourceName': 'gnuhealth',
        'dataSources': [{
                'namespace': '@ohif/extension-default.dataSourcesModule'
                '.dicomweb',
                'sourceName': 'gnuhealth',
                'configuration': {
                    'friendlyName': 'GNU Health',
                    'name': 'gnuhealth',
                    'qidoRoot': dicom_web,
                    'wadoRoot': dicom_web,
                    'wadoUriRoot': dicom_web,
                    'imageRendering': 'wadors',
                    'thumbnailRendering': 'wadors',
                    'enableStudyLazyLoad': True,
                    'qidoSupportsIncludeField': False,
                    'supportsFuzzyMatching': False,
                    'supportsWildcard': False,
                    'supportsStow': True,
                    'omitQuotationForMultipartRequest': True,
                    'singlepart': 'video',
                    'bulkDataURI': {
                        'enabled': True, 'relativeResolution': 'studies'},
                    },
                }],
        }
