# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The devices of the demo, which do what modalities do."""
import datetime as dt
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from zoneinfo import ZoneInfo

from pydicom.dataset import Dataset

from . import samples
from .dicom import FindFailed, StoreFailed, find_worklist, send_images
from .hospital import TIMEZONE

__all__ = ['DeviceError', 'Devices', 'NotScheduledError']

# Of the images that arrive by themselves: after the start of the demo, and
# after those before; in seconds
FIRST = 120
NEXT = 120
STOP_TIMEOUT = 60
# For a step to be on the worklist, in seconds
PATIENCE = 40
STEP = 'ScheduledProcedureStepSequence'


class DeviceError(Exception):
    """A device cannot examine anybody; the text says why.

    Parameters
    ----------
    text
        With names in braces, as it is translated.
    values
        By these names.
    """

    def __init__(self, text: str, **values: str):
        super().__init__(text.format(**values) if values else text)
        self.text = text
        self.values = values


class NotScheduledError(DeviceError):
    """The worklist does not have the step."""


class Devices:
    """Devices that query the worklist and send images.

    Parameters
    ----------
    port
        Of Orthanc's DICOM server.
    aetitle
        Of Orthanc.
    arrivals
        AE titles and accession numbers of the steps of which the images
        arrive by themselves, one after the other.
    sent
        Is called with the accession number when images have been sent.
    """

    def __init__(
            self, port: int, aetitle: str,
            arrivals: Sequence[tuple[str, str]],
            sent: Callable[[str], None]):
        self._port = port
        self._aetitle = aetitle
        self._arrivals = list(arrivals)
        self._sent = sent
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._next_at: float | None = None

    @property
    def waiting(self) -> int:
        """How many images are still to come."""
        return len(self._arrivals)

    @property
    def seconds_left(self) -> int | None:
        """Until the next ones come by themselves."""
        if self._next_at is None or not self._arrivals:
            return None
        return max(0, round(self._next_at - time.monotonic()))

    def start(self, report: Callable[[str], None]) -> None:
        """Let the images arrive, while other things go on."""
        self._next_at = time.monotonic() + FIRST
        self._thread = threading.Thread(
            target=self._run, args=(report,), name='devices', daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End, at the latest when the images of a step have been sent."""
        self._stopped.set()
        if self._thread:
            self._thread.join(STOP_TIMEOUT)

    def _run(self, report: Callable[[str], None]) -> None:
        while self._arrivals and not self._stopped.wait(self.seconds_left):
            # Somebody may have asked for them since
            if self.seconds_left:
                continue
            try:
                report(f"Images have arrived: {self.send_next()}")
            except DeviceError as error:
                report(f"No images: {error}")

    def send_next(self) -> str:
        """Send the images that come next, and return the patient's name.

        Raises
        ------
        DeviceError
        """
        with self._lock:
            if not self._arrivals:
                raise DeviceError("all images have arrived")
            self._next_at = time.monotonic() + NEXT
            try:
                name = self._examine(*self._arrivals[0])
            except NotScheduledError:
                # Somebody has canceled it
                del self._arrivals[0]
                raise
            del self._arrivals[0]
            return name

    def examine(self, aetitle: str, accession: str) -> str:
        """Examine somebody, and return the patient's name.

        Parameters
        ----------
        aetitle
            Of the device.
        accession
            The accession number of the order.

        Raises
        ------
        DeviceError
        """
        with self._lock:
            return self._examine(aetitle, accession)

    def _examine(self, aetitle: str, accession: str) -> str:
        try:
            entry = self._find(aetitle, accession)
            send_images(
                self._port, make_images(entry), aet=self._aetitle,
                calling=aetitle)
        except (
                FindFailed, StoreFailed, OSError,
                subprocess.TimeoutExpired) as error:
            # Programs say last what has gone wrong
            raise DeviceError(str(error).strip().splitlines()[-1]) from error
        self._sent(accession)
        return str(entry.PatientName)

    def _find(self, aetitle: str, accession: str) -> Dataset:
        """Return the step, which a new order takes seconds to become."""
        keys = {
            'AccessionNumber': accession,
            STEP: {'ScheduledStationAETitle': aetitle}}
        deadline = time.monotonic() + PATIENCE
        while True:
            is_last = time.monotonic() > deadline
            try:
                for entry in find_worklist(
                        self._port, keys, aet=self._aetitle, calling=aetitle):
                    return entry
            except FindFailed:
                # Until the plugin has read the worklist
                if is_last:
                    raise
            if is_last:
                raise NotScheduledError(
                    "{accession} is not on the worklist of {aetitle}",
                    accession=accession, aetitle=aetitle)
            self._stopped.wait(1)


def make_images(entry: Dataset) -> list[Dataset]:
    """Return the images of what the worklist has answered."""
    step, = entry[STEP].value
    datasets = samples.make_study(
        step.Modality, samples.Patient(
            str(entry.PatientName), entry.PatientID, entry.PatientBirthDate,
            entry.PatientSex),
        series=1, instances=3,
        StudyInstanceUID=entry.StudyInstanceUID,
        AccessionNumber=entry.AccessionNumber,
        StudyDescription=entry.RequestedProcedureDescription,
        date=dt.datetime.now(ZoneInfo(TIMEZONE)))
    item = Dataset()
    item.RequestedProcedureID = entry.RequestedProcedureID
    item.ScheduledProcedureStepID = step.ScheduledProcedureStepID
    for dataset in datasets:
        dataset.RequestAttributesSequence = [item]
    return datasets
