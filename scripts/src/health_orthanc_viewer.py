# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Install the OHIF viewer that GNU Health serves, or check it.

The package is taken from npm's registry, or from a file. It is compared with
the checksum of the version that this module was tested with, changed so that
it works below the paths of GNU Health, and compressed.
"""
import argparse
import configparser
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from .failures import Failure, Unusable
from .viewer_folder import check_viewer, install_viewer
from .viewer_package import VIEWER_PACKAGE, fetch_package, read_package

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
