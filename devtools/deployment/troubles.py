# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What administrators see of each trouble, on the set-up of `deploy/`.

A day is not waited for: all times that GNU Health has stored are put back,
as if the clock had moved on.
"""
import datetime as dt
import re
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from email import message_from_bytes, policy
from pathlib import Path

from aiosmtpd.controller import Controller
from psycopg2 import sql

from proteus import Model

from ..dicom import StoreFailed, send_images
from ..hospital import PATIENTS
from ..orthanc import to_bytes
from ..process import LOOPBACK, wait_until
from ..samples import make_study
from .site import DATABASE, Site
from .walk import CLERK, SERVER, WalkFailed

__all__ = ['MailBox', 'Seen', 'Troubles']

OPERATION = 'gnuhealth.orthanc.operation'
RECIPIENT = 'imaging@gnuhealth.example'
# Seconds: the scheduler looks once a minute what is due
LIMIT = 300
HOUR = 1
DAY = 24
# What is at work in the tables of others
TABLES = ['ir_cron', 'ir_queue']
# What moves on with the clock as long as a part runs
SIGNS = {
    'scheduler': {'checked_at'},
    'worker': {
        'dequeued_at', 'enqueued_at', 'expected_at', 'finished_at',
        'probe_queued_at', 'probe_run_at', 'scheduled_at'},
    'plugin': {'last_plugin_contact'},
    }
# Columns of a person's session or of history stay as they are
TIMES = """
SELECT table_name, column_name FROM information_schema.columns
WHERE table_schema = 'public' AND data_type LIKE 'timestamp%%'
AND (table_name LIKE '%%orthanc%%' OR table_name = ANY(%s))
AND column_name NOT IN ('create_date', 'write_date')
"""
_LINE = re.compile(
    r'^\S+ \S+ \d+ (?P<level>\w+) (?P<logger>\S+): (?P<text>.*)$')
_OURS = 'trytond.modules.health_orthanc'


class MailBox:
    """A mail server that keeps what it gets."""

    def __init__(self, port: int):
        self.messages: list[str] = []
        self._controller = Controller(self, hostname=LOOPBACK, port=port)

    def __enter__(self) -> 'MailBox':
        self._controller.start()
        return self

    def __exit__(self, *exc_info) -> None:
        self._controller.stop()

    async def handle_DATA(self, server, session, envelope) -> str:
        message = message_from_bytes(envelope.content, policy=policy.default)
        self.messages.append(message.get_content().strip())
        return '250 Message accepted for delivery'


@dataclass
class Seen:
    """What one trouble showed.

    Attributes
    ----------
    page
        What the page *Health* said, line by line.
    log
        New lines of ours in the log of GNU Health.
    mail
        Texts of e-mails.
    person
        What somebody was told who worked meanwhile.
    after
        The lines of the log once it was over.
    """
    trouble: str
    page: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    mail: list[str] = field(default_factory=list)
    person: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


class Troubles:
    """Makes one trouble after the other, and looks.

    Parameters
    ----------
    site
        With Orthanc and its plugin introduced.
    mailbox
        Where it sends its e-mails.
    """

    def __init__(
            self, site: Site, mailbox: MailBox, say: Callable[[str], None]):
        self._site = site
        self._mailbox = mailbox
        self._say = say
        self._log_start = 0
        self.seen: list[Seen] = []

    def run(self) -> None:
        self._site.connect()
        operation = self._operation()
        operation.email = RECIPIENT
        operation.save()
        self._calm()
        for trouble in [
                self.orthanc_down, self.wrong_password, self.disk_full,
                self.no_worker, self.no_scheduler, self.plugin_silent]:
            self._say(trouble.__doc__)
            with self._watch(trouble.__doc__) as seen:
                trouble(seen)
            self.seen.append(seen)

    # -- the troubles

    def orthanc_down(self, seen: Seen) -> None:
        """Orthanc is down for a day"""
        orthanc = self._site.supervisor.services['orthanc']
        orthanc.pause()
        self._move_clock(HOUR)
        self._wait(
            lambda: self._server().failing_since, "a server that fails")
        self._move_clock(DAY, 'plugin')
        self._wait_warnings({'contact'})
        self._look(seen, r'stopped working: refused', mails=1)
        orthanc.resume()

    def wrong_password(self, seen: Seen) -> None:
        """The password of Orthanc was changed"""
        server = self._server()
        server.password = 'wrong'
        server.save()
        self._wait(
            lambda: self._server().failing_since, "a server that fails")
        self._move_clock(2 * HOUR)
        self._wait_warnings({'contact'})
        self._look(seen, r'stopped working: unauthorized', mails=1)
        server = self._server()
        server.password = self._site.orthanc_user[1]
        server.save()

    def disk_full(self, seen: Seen) -> None:
        """The disk is full"""
        filler = self._site.fill_disk()
        try:
            images = make_study(
                'CT', PATIENTS[2].in_dicom(), series=1, instances=2, rows=512)
            seen.person += self._upload(to_bytes(images[0]))
            try:
                send_images(self._site.dicom_port, images)
                raise WalkFailed("Orthanc takes images on a full disk")
            except StoreFailed:
                seen.person.append("The modality: the images are refused")
            self._wait(
                lambda: self._operation().summary, "a word of the disk")
            self._look(seen, r'disk of the upload folder is full', mails=0)
        finally:
            filler.unlink()

    def no_worker(self, seen: Seen) -> None:
        """No worker runs"""
        workers = [
            self._site.supervisor.services[name]
            for name in ['worker', 'worker@']]
        for worker in workers:
            worker.pause()
        self._server().click('synchronize')
        self._move_clock(HOUR, 'worker')
        self._wait_warnings({'queue'})
        self._look(seen, r'Warning: queue since', mails=1)
        for worker in workers:
            worker.resume()

    def no_scheduler(self, seen: Seen) -> None:
        """The scheduler does not run"""
        cron = self._site.supervisor.services['cron']
        cron.pause()
        self._move_clock(HOUR, 'scheduler')
        # The process that the plugin asks notices it
        self._wait_warnings({'scheduler'})
        self._look(seen, r'Warning: scheduler since', mails=1)
        cron.resume()

    def plugin_silent(self, seen: Seen) -> None:
        """The plugin has a wrong key"""
        with self._site.with_wrong_key():
            self._move_clock(HOUR, 'plugin')
            self._wait_warnings({'plugin'})
            self._look(seen, r'Warning: plugin of Orthanc server', mails=1)

    # -- to look

    @contextmanager
    def _watch(self, trouble: str) -> Iterator[Seen]:
        self._log_start = len(self._read_log())
        self._mailbox.messages.clear()
        seen = Seen(trouble)
        yield seen
        before = len(seen.log)
        self._calm()
        seen.after += self._log_lines()[before:]

    def _look(self, seen: Seen, line: str, mails: int) -> None:
        """Keep what is to be seen now, and check that it tells enough."""
        self._wait(
            lambda: re.search(line, '\n'.join(self._log_lines())),
            f"{line} in the log")
        self._wait(
            lambda: len(self._mailbox.messages) >= mails, "an e-mail")
        seen.page += self._page()
        seen.log += self._log_lines()
        seen.mail += self._mailbox.messages
        if not seen.page:
            raise WalkFailed(f"{seen.trouble}: the page says nothing")

    def _page(self) -> list[str]:
        operation, server = self._operation(), self._server()
        # The same reason stands at the server and in its warning
        return list(dict.fromkeys([
                    *(operation.summary or '').splitlines(),
                    *(line for warning in operation.warnings
                        for line in warning.message.splitlines()),
                    *filter(None, [server.contact_error])]))

    def _calm(self) -> None:
        """Wait until everything works and nothing is warned of."""
        def calm():
            # What was due long ago is done, and looked at once more
            self._move_clock(1 / 60)
            return not self._operation().warnings and (
                not self._server().failing_since)
        self._wait(calm, "the end of the warnings", pause=5)

    def _wait_warnings(self, kinds: set[str]) -> None:
        self._wait(
            lambda: kinds <= {w.kind for w in self._operation().warnings},
            f"a warning: {kinds}")

    def _wait(
            self, check: Callable[[], object], what: str, pause: float = 1
            ) -> None:
        if not wait_until(lambda: bool(check()), LIMIT, pause):
            raise WalkFailed(
                f"There is no {what}: {self._page()} {self._log_lines()}")

    def _operation(self):
        return Model.get(OPERATION)(1)

    def _server(self):
        server, = Model.get(SERVER).find([])
        return server

    def _read_log(self) -> str:
        return Path(self._site.folder, 'log', 'trytond.log').read_text()

    def _log_lines(self) -> list[str]:
        """Return the new lines of ours that come without options."""
        lines = map(
            _LINE.match, self._read_log()[self._log_start:].splitlines())
        return [
            f"{line['level']} {line['text']}" for line in lines
            if line and line['logger'].startswith(_OURS)
            and line['level'] in {'ERROR', 'CRITICAL'}]

    def _move_clock(self, hours: float, *stopped: str) -> None:
        """Put back all times that are stored, but the signs of what runs."""
        still = set().union(*(
                SIGNS[part] for part in SIGNS if part not in stopped))
        with closing(self._site.postgresql.connect(DATABASE)) as connection:
            cursor = connection.cursor()
            cursor.execute(TIMES, [TABLES])
            columns: dict[str, list[str]] = {}
            for table, column in cursor.fetchall():
                if column not in still:
                    columns.setdefault(table, []).append(column)
            for table, names in columns.items():
                cursor.execute(sql.SQL("UPDATE {} SET {}").format(
                        sql.Identifier(table),
                        sql.SQL(', ').join(
                            sql.SQL("{0} = {0} - %(by)s").format(
                                sql.Identifier(name)) for name in names)),
                    {'by': dt.timedelta(hours=hours)})

    def _upload(self, content: bytes) -> list[str]:
        with self._site.session() as session:
            answer = session.post(
                f'{self._site.url}/{DATABASE}/orthanc/upload',
                params={'server': self._server().id}, data=content,
                headers={
                    'Authorization': self._site.authorization(CLERK),
                    'Content-Type': 'application/octet-stream'},
                timeout=LIMIT)
        return [f"Upload: {answer.status_code} {answer.text}"]
