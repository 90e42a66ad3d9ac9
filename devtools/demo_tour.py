# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Five walks through the demo: what to try as whom.

A step says in words what to do, and in `acts` the same for a program, which
tests that each walk is possible.  In both, labels are those on the screen.
"""
import re
from collections.abc import Iterator
from dataclasses import dataclass

from . import demo_morning, hospital

__all__ = [
    'CT_AETITLE', 'EXAMINE_LAST', 'LABEL', 'NEXT_IMAGES', 'STEPS', 'Step',
    'WALKS', 'Walk', 'pieces']

# What is on the screen stands between stars
LABEL = re.compile(r'\*([^*]+)\*')
# Buttons of the page
NEXT_IMAGES = "Send the Next Images"
EXAMINE_LAST = "Let the CT Examine"
CT_AETITLE = 'DEMO-CT'
MUSTER, _, _, GREEK, _, _, _, _, ESIMERKKI = (
    f'{person.family}, {person.given}' for person in hospital.PATIENTS)
POLISH, SWAHILI, ALLERGIC, OWNER, NAMESAKE = (
    f'{person.family}, {person.given}' for person in [
        demo_morning.POLISH, demo_morning.SWAHILI, demo_morning.ALLERGIC,
        demo_morning.DISC_OWNER, demo_morning.NAMESAKES[0]])
IMAGING = ('Health', "Medical Imaging")
ORTHANC = (*IMAGING, "Orthanc")

Act = tuple[str, ...]


def pieces(text: str, **values: str) -> Iterator[tuple[bool, str]]:
    """Yield the pieces of a text, and whether each is a label."""
    for number, piece in enumerate(LABEL.split(text)):
        if piece:
            yield bool(number % 2), piece.format(**values)


@dataclass(frozen=True)
class Step:
    """One step of a walk.

    Attributes
    ----------
    text
        With labels between stars; ``{disc}`` is the folder of the disc.
    acts
        What a program does: a verb and what it needs.
    """
    text: str
    acts: tuple[Act, ...] = ()

    def labels(self) -> set[str]:
        """Return what the text says is on the screen."""
        return set(LABEL.findall(self.text))


@dataclass(frozen=True)
class Walk:
    """What somebody may try in two minutes.

    Attributes
    ----------
    shows
        What one sees in the end.
    """
    title: str
    login: str
    shows: str
    steps: tuple[Step, ...]


WALKS = [
    Walk("Order a CT, and get its images", 'physician',
        "An order is on the worklist of the device at once, and the images "
        "are in the record seconds after the device has sent them.", (
            Step("*My Orders* is open, with the drafts that no device sees.",
                (('see', "My Orders"),)),
            Step("Choose *Health*, *Medical Imaging*, "
                "*Medical Imaging - New order* in the menu.",
                (('menu', *IMAGING, "Medical Imaging - New order"),)),
            Step(f"*Patient*: type “Esimerkki”, choose *{ESIMERKKI}*. "
                "*Tests*: type “CT”, choose *CT of the Head*.",
                (('choose', "Patient", "Esimerkki", ESIMERKKI),
                    ('choose', "Tests", "CT", "CT of the Head"))),
            Step("Press *Request*, then *Request Now*. The list says "
                "*On the worklist*.",
                (('press', "Request"), ('press', "Request Now"),
                    ('see', "On the worklist"))),
            Step(f"Press *{EXAMINE_LAST}* on this page: the CT asks for its "
                "worklist, and sends images of the last patient.",
                (('page', EXAMINE_LAST),)),
            # The name itself leads to the person, who has no such page
            Step(f"Choose *Patients* below *Health*, double-click beside "
                f"the name *{ESIMERKKI}*, and choose the page *Studies*. "
                "*CT of the Head* is there, some seconds later.",
                (('menu', 'Health', "Patients"), ('open', ESIMERKKI),
                    ('notebook', "Studies"),
                    ('await', "CT of the Head"))),
            )),
    Walk("A morning at the devices", 'radiographer',
        "The list says what comes next at which device, what to heed, and "
        "why a device does not see an order.", (
            Step("Choose *Health*, *Medical Imaging*, *Orthanc*, "
                "*Scheduled Steps*: those of today, by time. "
                f"*{ALLERGIC}* is on the table, with a warning: "
                f"*{demo_morning.CRITICAL}*.",
                (('menu', *ORTHANC, "Scheduled Steps"), ('see', ALLERGIC),
                    ('see', demo_morning.CRITICAL))),
            Step(f"Choose the line of *{GREEK}*, and press *Start* in it: "
                "*In Progress*.",
                (('press_in', GREEK, "Start"),
                    ('see_in', GREEK, "In Progress"))),
            Step("*Incomplete* says why the device does not see a "
                "*Bone Scan*: *Fill in: Station AE Title*.",
                (('tab', "Incomplete"),
                    ('see_in', "Bone Scan", "Fill in: Station AE Title"))),
            Step(f"*Overdue*: nobody has examined *{NAMESAKE}* for more than "
                "a week.",
                (('tab', "Overdue"), ('see', NAMESAKE))),
            Step(f"Wait for images, or press *{NEXT_IMAGES}* on this page. "
                f"*Done* has the *Chest X-ray* of *{SWAHILI}* seconds later.",
                (('page', NEXT_IMAGES), ('tab', "Done"), ('await', SWAHILI),
                    ('see_in', SWAHILI, "Chest X-ray"))),
            Step(f"Open *{POLISH}* there, press *Reject*, write a *Reason*, "
                "and press *Reject and Order Again*: the new order is "
                "*Requested*.",
                (('open', POLISH), ('press', "Reject"),
                    ('write', "Reason", "The patient moved"),
                    ('press', "Reject and Order Again"),
                    ('see', "Requested"))),
            )),
    Walk("Whose images are these?", 'clerk',
        "Only what agrees is linked by itself. What is in doubt waits for a "
        "person, and says what differs.", (
            Step("Choose *Health*, *Medical Imaging*, *Orthanc*, "
                f"*To Review*. Images of *{NAMESAKE}* have come from "
                "elsewhere: two patients have this name.",
                (('menu', *ORTHANC, "To Review"), ('see', NAMESAKE))),
            Step("*Unlinked* shows a contradiction: *Irrtum, Otto* was "
                f"acquired with the number of *{ESIMERKKI}*; "
                "*Contradiction*.",
                (('tab', "Unlinked"),
                    ('see_in', "Irrtum, Otto", "Contradiction"),
                    ('see_in', "Irrtum, Otto", ESIMERKKI))),
            Step("Choose *Review*. The namesake is first, compared line by "
                "line: *Birth Date* *Equal* tells which of the two it is, and "
                "*Candidate* names him.",
                (('menu', *ORTHANC, "Review"), ('see', "Birth Date"),
                    ('see', "Equal"), ('see', "Candidate"))),
            Step("Press *Confirm*, then *Close*. *Studies* has those of "
                f"*{NAMESAKE}*: *Manual Link*.",
                (('press', "Confirm"), ('press', "Close"),
                    ('menu', *ORTHANC, "Studies"),
                    ('see_in', NAMESAKE, "Manual Link"))),
            )),
    Walk("A disc from another hospital", 'clerk',
        "Nothing is stored before somebody has checked the patient of the "
        "images.", (
            Step("Choose *Health*, *Medical Imaging*, *Orthanc*, "
                "*Upload Images*.",
                (('menu', *ORTHANC, "Upload Images"),)),
            Step(f"*Patient*: type “Pr”, choose *{OWNER}*.",
                (('choose', "Patient", "Pr", OWNER),)),
            Step("Press *Select Folder*, and choose *{disc}*.",
                (('files', "Select Folder", '{disc}'),)),
            Step("Press *Check*. The disc has another number of hers, name "
                "and birth date agree: *Matches*.",
                (('press', "Check"), ('see', "Matches"))),
            Step("Press *Upload*. *Linked To* says in whose record the study "
                f"is: *{OWNER}*. *Close*.",
                (('press', "Upload"), ('see', "Linked To"),
                    ('see', OWNER), ('press', "Close"))),
            )),
    Walk("See the images, and write the finding", 'physician',
        "Images open from the record with one click, under the rights of "
        "GNU Health. What nobody has read says so.", (
            Step("Choose *Patients* below *Health*, and double-click beside "
                f"the name *{MUSTER}*.",
                (('menu', 'Health', "Patients"), ('open', MUSTER))),
            Step("*Studies* shows the CT of today and the MR of last year. "
                "*View* opens the newest, the earlier ones beside it.",
                (('notebook', "Studies"), ('viewer', "View"))),
            Step("*Results to Report*, below *Medical Imaging*, lists what "
                "nobody has read, the urgent CT of a fall first. Open "
                f"*{POLISH}*.",
                (('menu', *IMAGING, "Results to Report"), ('open', POLISH))),
            Step("It is *Not Yet Reported*. Write below "
                "*Interpretation / Report*, and save: *Musterfrau, Cora* has "
                "evaluated it.",
                (('see', "Not Yet Reported"),
                    ('write', "Interpretation / Report",
                        "Lungs are clear."),
                    ('save',), ('see', "Musterfrau, Cora"))),
            )),
    ]
STEPS = [step for walk in WALKS for step in walk.steps]
