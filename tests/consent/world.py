"""What people say about being contacted, and in plain Python what that comes to on any day.

Nothing here knows how the models work: on each day everything that had been said is looked at anew.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta

from tests.consent.lab import Row

FIRST_DAY = date(2026, 1, 1)
PURPOSES = ("email_marketing", "sms_marketing", "profiling", "sharing")
# As the seeds say.
ALLOWED = {
    "email_marketing": {"consent"},
    "sms_marketing": {"consent"},
    "profiling": {"consent", "legitimate_interest"},
    "sharing": {"consent"},
}
ONE_CHANNEL = {"hard_bounce", "invalid_number"}
SEGMENTS_OF_ALL = ("Contactable By Mail", "Contactable By Text Message", "Lookalike Seed")
AUDIENCES = {
    "Newsletter": ("email_marketing", "email"),
    "Text Campaigns": ("sms_marketing", "sms"),
    "Partner Lookalikes": ("sharing", "email"),
}

# Records by which a person may be known: e-mail and the last nine digits of a phone.
RECORDS: Mapping[str, tuple[str | None, str | None]] = {
    "crm:1": ("a@x.test", "700900001"),
    "crm:2": ("b@x.test", None),
    "shop:1": ("a@x.test", "700900002"),
    "shop:2": (None, "700900002"),
    "mailing:s1": ("c@x.test", None),
    "mailing:s2": (None, None),
}
SUBSCRIBERS: Mapping[str, str | None] = {"s1": "c@x.test", "s2": None, "s4": "a@x.test"}

Subject = tuple[str, str]
When = datetime | None


def moment(day: int, clock: time) -> datetime:
    return datetime.combine(FIRST_DAY + timedelta(days=day), clock)


def phone_of(digits: str | None) -> str | None:
    """A phone number as people write it: without its country."""
    return None if digits is None else f"0{digits[:4]} {digits[4:]}"


@dataclass(frozen=True)
class Statement:
    """A row of mailing/consents."""

    email: str | None
    phone: str | None
    purpose: str | None
    status: str | None
    basis: str | None
    at: When


@dataclass(frozen=True)
class Version:
    """A version of a CRM contact. answer: yes, no, or None for not asked."""

    contact: str
    answer: str | None
    at: When


@dataclass(frozen=True)
class Mail:
    """A row of mailing/deliveries."""

    subscriber: str
    event: str
    at: When

    @property
    def subject(self) -> Subject:
        email = SUBSCRIBERS.get(self.subscriber)
        return ("record", f"mailing:{self.subscriber}") if email is None else ("email", email)


@dataclass(frozen=True)
class Suppression:
    """A row of mailing/suppressions."""

    email: str | None
    phone: str | None
    reason: str | None
    at: When


@dataclass(frozen=True)
class World:
    """customers: record to customer. as_of: days after the first."""

    as_of: int
    customers: Mapping[str, str]
    statements: tuple[Statement, ...] = ()
    versions: tuple[Version, ...] = ()
    mails: tuple[Mail, ...] = ()
    suppressions: tuple[Suppression, ...] = ()
    deleted: frozenset[str] = field(default_factory=frozenset)

    @property
    def today(self) -> date:
        return FIRST_DAY + timedelta(days=self.as_of)

    def known_records(self) -> list[str]:
        """Records of the crosswalk: a contact that was deleted is none."""
        return [
            record
            for record in RECORDS
            if not (record.startswith("crm:") and record.removeprefix("crm:") in self.deleted)
        ]

    def people(self) -> dict[str, list[str]]:
        people: dict[str, list[str]] = {}
        for record in self.known_records():
            people.setdefault(self.customers[record], []).append(record)
        return people

    def address(self, customer: str, channel: str) -> str | None:
        """The smallest of the customer's addresses stands for the golden one."""
        place = 0 if channel == "email" else 1
        found = [value for r in self.people()[customer] if (value := RECORDS[r][place]) is not None]
        return min(found, default=None)

    def inputs(self) -> dict[str, list[Row]]:
        """Rows of the tables that the models read."""
        known = self.known_records()
        return {
            "raw.crm__contacts": [
                (v.contact, v.answer, v.at and f"{v.at.isoformat()}Z", FIRST_DAY, "f", n)
                for n, v in enumerate(self.versions)
            ],
            "staging.stg_crm__contacts": [(c, c in self.deleted) for c in ("1", "2")],
            "staging.stg_mailing__consents": [
                (f"k{n}", s.email, phone_of(s.phone), s.purpose, s.status, s.basis, s.at)
                for n, s in enumerate(self.statements)
            ],
            "staging.stg_mailing__subscribers": list(SUBSCRIBERS.items()),
            "staging.stg_mailing__deliveries": [
                (f"mailing:{m.subscriber}", m.subscriber, f"d{n}", m.event, m.at)
                for n, m in enumerate(self.mails)
            ],
            "staging.stg_mailing__suppressions": [
                (f"x{n}", s.email, phone_of(s.phone), s.reason, s.at)
                for n, s in enumerate(self.suppressions)
            ],
            "identity.int_records_normalised": [(r, r, *RECORDS[r]) for r in known],
            "identity.int_customer_sources_resolved": [(r, self.customers[r]) for r in known],
            "intermediate.int_segment_candidates_judged": [
                (customer, segment, "member")
                for customer in self.people()
                for segment in SEGMENTS_OF_ALL
            ],
            "release_candidate.marts.customers": [
                (customer, self.address(customer, "email"), self.address(customer, "sms"))
                for customer in self.people()
            ],
        }

    # --- what it comes to --------------------------------------------------------------------

    def subjects(self, customer: str) -> set[Subject]:
        found: set[Subject] = set()
        for record in self.people()[customer]:
            email, phone = RECORDS[record]
            found |= {("email", email)} if email else set()
            found |= {("phone", phone)} if phone else set()
            found.add(("record", record))
        return found

    def may_contact(self, customer: str, purpose: str, day: date) -> bool | None:
        """What all that a customer is known by say on a day: one no is a no; None for silence."""
        words = [self._last_word(s, purpose, day) for s in self.subjects(customer)]
        if False in words:
            return False
        return True if True in words else None

    def _last_word(self, subject: Subject, purpose: str, day: date) -> bool | None:
        if subject[0] == "record" and subject[1].startswith("crm:"):
            return self._contact_says(subject[1].removeprefix("crm:"), purpose, day)
        said = [(at, yes) for at, yes in self._said(subject, purpose) if _is_known(at, day)]
        if any(at is None for at, yes in said if not yes):
            return False
        dated = [(at, yes) for at, yes in said if at is not None]
        if not dated:
            return None
        latest = max(at for at, _ in dated)
        return all(yes for at, yes in dated if at == latest)

    def _said(self, subject: Subject, purpose: str) -> Iterator[tuple[When, bool]]:
        for s in self.statements:
            if subject not in (("email", s.email), ("phone", s.phone)):
                continue
            if s.status == "granted":
                if s.purpose == purpose and s.basis in ALLOWED[purpose] and s.at is not None:
                    yield s.at, True
            elif s.purpose == purpose or s.purpose not in PURPOSES:
                yield s.at, False
        for mail in self.mails:
            is_no = mail.event in ("unsubscribe", "complaint") and purpose == "email_marketing"
            if is_no and mail.subject == subject:
                yield mail.at, False

    def _contact_says(self, contact: str, purpose: str, day: date) -> bool | None:
        versions = [v for v in self.versions if v.contact == contact]
        if purpose != "email_marketing":
            return None
        if any(v.at is not None for v in versions):
            dated = [(v.at, v.answer) for v in versions if v.at is not None]
            answers = [answer for at, answer in sorted(dated) if _is_known(at, day)]
        else:
            # without a date only a no is worth anything
            answers = [v.answer for v in versions if v.answer == "no"]
        if not answers:
            return None
        if answers[-1] is not None:
            return answers[-1] == "yes"
        before = [answer for answer in answers if answer is not None]
        return False if before and before[-1] == "no" else None

    def is_suppressed(self, customer: str, channel: str) -> bool:
        subjects = self.subjects(customer)
        for s in self.suppressions:
            if not _is_known(s.at, self.today):
                continue
            for subject, own in ((("email", s.email), "email"), (("phone", s.phone), "sms")):
                if subject in subjects and (s.reason not in ONE_CHANNEL or own == channel):
                    return True
        mails = [m for m in self.mails if m.subject in subjects and _is_known(m.at, self.today)]
        if any(m.event == "complaint" for m in mails):
            return True
        return channel == "email" and any(
            _is_dead([m for m in mails if m.subject == subject]) for subject in subjects
        )

    def members(self) -> set[tuple[str, str, str]]:
        """Audience, customer and address of everybody who may be contacted today."""
        return {
            (audience, customer, address)
            for audience, (purpose, channel) in AUDIENCES.items()
            for customer in self.people()
            if self.may_contact(customer, purpose, self.today) is True
            and not self.is_suppressed(customer, channel)
            and (address := self.address(customer, channel)) is not None
        }


def _is_known(at: When, day: date) -> bool:
    return at is None or at.date() <= day


def _is_dead(mails: Iterable[Mail]) -> bool:
    """Whether the last that was heard of a mailbox is a bounce."""
    mails = list(mails)
    bounces = [m.at for m in mails if m.event == "bounce"]
    if not bounces:
        return False
    if None in bounces:
        return True
    last = max(at for at in bounces if at is not None)
    return all(m.at is None or m.at <= last for m in mails if m.event in ("sent", "open", "click"))
