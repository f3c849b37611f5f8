"""What audiences and purposes may say, and the sentences that stop a run before it starts."""

import csv
from pathlib import Path

import pytest

from orchestration.transform import audiences, purposes
from orchestration.transform.audiences import check_audiences
from orchestration.transform.purposes import Purposes, declared_purposes
from orchestration.transform.rule_files import SegmentRuleError
from orchestration.transform.segments import check_segment_rules

DECLARED = Purposes(
    {
        "email_marketing": ("email",),
        "sms_marketing": ("sms",),
        "sharing": ("email", "sms"),
        "profiling": (),
    }
)
SEGMENTS = {"Readers": "email_marketing", "Everybody": None}
GOOD = {
    "audience": "Newsletter",
    "segment": "Readers",
    "purpose": "email_marketing",
    "channel": "email",
    "owner": "marketing",
    "description": "All who want mails.",
}
CONSENT = {
    "purpose": "email_marketing",
    "meaning": "mails",
    "allowed_bases": "consent",
    "channels": "email",
}
SERVED = {"purpose": "newsletter", "required_consent": "email_marketing", "meaning": "mails"}


def write(path: Path, *rows: dict[str, str]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_every_shipped_audience_can_be_used() -> None:
    check_segment_rules()


def test_a_segment_that_asks_for_no_consent_or_for_the_same_makes_an_audience(
    tmp_path: Path,
) -> None:
    rows = [
        GOOD,
        GOOD | {"audience": "b", "segment": "Everybody"},
        GOOD | {"audience": "c", "segment": "Everybody", "purpose": "sharing", "channel": "sms"},
    ]
    check_audiences(SEGMENTS, DECLARED, write(tmp_path / "a.csv", *rows))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"segment": "Reader"},
            "column segment: there is no segment 'Reader'; did you mean 'Readers'; segment_rules",
        ),
        (
            {"purpose": "email_marketng"},
            "column purpose: 'email_marketng' is no purpose of consent; did you mean"
            " 'email_marketing'; consent_purposes.csv lists them.",
        ),
        (
            {"channel": "emial"},
            "column channel: 'emial' is unknown; did you mean 'email'; it may be email or sms.",
        ),
        (
            {"channel": "sms"},
            "column channel: sms does not fit purpose email_marketing: only email"
            " (consent_purposes.csv, column channels).",
        ),
        (
            {"segment": "Everybody", "purpose": "profiling"},
            "column channel: email does not fit purpose profiling: nobody is contacted for it",
        ),
        (
            {"purpose": "sharing"},
            "column purpose: members of segment 'Readers' agreed to email_marketing, which is no"
            " consent to sharing; take a segment that asks for sharing, or for none.",
        ),
        ({"owner": " "}, "column owner: it is blank; every audience has one."),
        ({"audience": ""}, "audience '(without name)', column audience: it is blank"),
        ({"budget": "3"}, "column budget: unknown; the columns are audience, segment"),
    ],
)
def test_an_audience_that_cannot_be_used_is_named_with_line_column_and_remedy(
    tmp_path: Path, change: dict[str, str], sentence: str
) -> None:
    path = write(tmp_path / "audiences.csv", GOOD | change)
    with pytest.raises(SegmentRuleError) as raised:
        check_audiences(SEGMENTS, DECLARED, path)
    assert str(raised.value).startswith(f"{path}, line 2, audience ")
    assert sentence in str(raised.value)


def test_an_audience_that_is_declared_twice_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "audiences.csv", GOOD, GOOD)
    with pytest.raises(SegmentRuleError, match=r"line 3, .* line 2 has this name, too"):
        check_audiences(SEGMENTS, DECLARED, path)


@pytest.mark.parametrize(
    ("consent", "served", "sentence"),
    [
        ({"allowed_bases": ""}, {}, "column allowed_bases: it is blank, so nobody could ever"),
        (
            {"allowed_bases": "consent|legitimate_intrest"},
            {},
            "'legitimate_intrest' is unknown; did you mean 'legitimate_interest'",
        ),
        ({"channels": "pigeon"}, {}, "column channels: 'pigeon' is unknown; it may be email, sms"),
        ({"purpose": ""}, {"required_consent": ""}, "column purpose: it is blank"),
        ({}, {"required_consent": "mail"}, "column required_consent: 'mail' is no purpose of"),
        ({}, {"purpose": ""}, "column purpose: it is blank; every purpose has a name."),
    ],
)
def test_a_purpose_that_cannot_be_used_is_named(
    tmp_path: Path, consent: dict[str, str], served: dict[str, str], sentence: str
) -> None:
    files = (
        write(tmp_path / "consents.csv", CONSENT | consent),
        write(tmp_path / "served.csv", SERVED | served),
    )
    with pytest.raises(SegmentRuleError) as raised:
        declared_purposes(*files)
    assert sentence in str(raised.value)


def test_a_purpose_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    files = (
        write(tmp_path / "consents.csv", CONSENT, CONSENT),
        write(tmp_path / "served.csv", SERVED, SERVED),
    )
    with pytest.raises(SegmentRuleError) as raised:
        declared_purposes(*files)
    assert str(raised.value).count("it is there twice") == 2


def test_a_run_proves_the_audiences_with_the_rules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = write(tmp_path / "audiences.csv", GOOD | {"segment": "Newsleter"})
    monkeypatch.setattr(audiences, "AUDIENCES_FILE", broken)
    with pytest.raises(SegmentRuleError, match="there is no segment 'Newsleter'"):
        check_segment_rules()
    broken = write(tmp_path / "consents.csv", CONSENT | {"allowed_bases": ""})
    monkeypatch.setattr(purposes, "CONSENTS_FILE", broken)
    with pytest.raises(SegmentRuleError, match="column allowed_bases"):
        check_segment_rules()
