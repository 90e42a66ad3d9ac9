# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Press *View* on a study in GNU Health's GTK client.

Runs in the client's process, on the Python that Debian's GTK is for:
``gtk_view.py HOST:PORT DATABASE LOGIN PASSWORD STUDY FILE``.  The environment
variable BROWSER names a program that writes the address to the file.
"""
import os
import sys

from gtk_person import leave, press, use_client

STUDY = 'gnuhealth.imaging_orthanc.study'


def main(host, database, login, password, study, file):
    def opened():
        if os.path.exists(file):
            leave(0)
        return False
    use_client(host, database, f'model/{STUDY}/{study}', login, password, [
            ("view", press("View")),
            ("browser", opened),
            ])


if __name__ == '__main__':
    main(*sys.argv[1:])
