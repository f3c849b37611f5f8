"""What made a release is kept with it, and what has changed since can be told."""

from collections.abc import Callable
from pathlib import Path

import pytest

from orchestration.identity.decisions import Action, append_decision, new_decision
from orchestration.provenance import code_hash
from orchestration.release import Release, read_manifest
from orchestration.release.audit import PENDING, Audit, differences, take_audit
from orchestration.settings import PROJECT_ROOT, Settings
from tests.release.conftest import MONDAY

Publish = Callable[..., Release]

MART = "create table marts.customers as select 1 as customer_id"


def decide(settings: Settings, other: str) -> None:
    append_decision(
        settings.decisions,
        new_decision(
            Action.NOT_SAME,
            source_record_id="crm:C1",
            other_source_record_id=other,
            decided_by="Eva Lind",
            reason="father and son",
            decided_at=MONDAY,
        ),
    )


def test_a_release_keeps_policies_parameters_decisions_and_erasures_that_made_it(
    release: Publish, settings: Settings
) -> None:
    release(MART)  # makes the key of the installation
    decide(settings, "crm:C2")
    for name, certificate in (("e-1", '{"certificate_hash": "abc"}'), ("e-2", "")):
        (settings.erasures / name).mkdir(parents=True)
        (settings.erasures / name / "tombstones.json").write_text("{}")
        if certificate:
            (settings.erasures / name / "certificate.json").write_text(certificate)
    audit = read_manifest(release(MART)).audit
    assert {"governance/roles.yml", "seeds/reference/retention_policy.csv"} <= audit.policies.keys()
    assert "seeds/reference/match_levels.csv" in audit.parameters
    reference = {
        path.relative_to(PROJECT_ROOT).as_posix()
        for path in (PROJECT_ROOT / "seeds" / "reference").glob("*.csv")
    }
    assert reference <= audit.policies.keys() | audit.parameters.keys()
    assert audit.decisions["decisions of stewards"].line_count == 1
    assert audit.erasures == {"e-1": "abc", "e-2": PENDING}
    text = read_manifest(release(MART)).model_dump_json()
    assert "Eva Lind" not in text
    assert "crm:C1" not in text


def test_what_has_changed_since_a_release_is_named(release: Publish, settings: Settings) -> None:
    decide(settings, "crm:C2")
    before = read_manifest(release(MART)).audit
    assert list(differences(before, take_audit(settings))) == []
    decide(settings, "crm:C3")
    assert list(differences(before, take_audit(settings))) == [
        ("decisions", "decisions of stewards", "1 lines, then 2")
    ]


@pytest.mark.parametrize(
    ("old", "new", "became"),
    [({}, {"a": "1"}, "new"), ({"a": "1"}, {}, "gone"), ({"a": "1"}, {"a": "2"}, "changed")],
)
def test_a_file_is_new_changed_or_gone(
    old: dict[str, str], new: dict[str, str], became: str
) -> None:
    found = list(differences(Audit(policies=old), Audit(policies=new)))
    assert found == [("policies", "a", became)]


def test_a_changed_policy_makes_another_release(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or who may see what would stay as it was until something lands."""
    read: list[str] = []
    original = Path.read_bytes

    def reading(path: Path) -> bytes:
        read.append(path.name)
        return original(path)

    monkeypatch.setattr(Path, "read_bytes", reading)
    code_hash.__wrapped__()
    assert {"roles.yml", "columns.yml", "purposes.yml", "retention_policy.csv"} <= {*read}
