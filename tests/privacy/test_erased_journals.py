"""What an erasure leaves of what people decided can still be read."""

from datetime import UTC, datetime
from pathlib import Path

from orchestration.identity.decisions import (
    Action,
    append_decision,
    new_decision,
    read_decisions,
)
from orchestration.privacy.erasing import _not_naming
from orchestration.privacy.scanning import Scanner

AT = datetime(2026, 6, 1, tzinfo=UTC)


def test_a_line_that_revokes_one_of_theirs_goes_with_it_and_the_rest_is_read(
    tmp_path: Path,
) -> None:
    path = tmp_path / "decisions.csv"
    for one, other in (("crm:C10001", "crm:C20002"), ("crm:C30003", "crm:C20002")):
        decision = new_decision(
            Action.NOT_SAME,
            source_record_id=one,
            other_source_record_id=other,
            decided_by="Eva",
            reason="two people, one phone",
            decided_at=AT,
        )
        append_decision(path, decision)
        revoke = new_decision(
            Action.REVOKE,
            revokes=decision.decision_id,
            decided_by="Eva",
            reason="wrong click",
            decided_at=AT,
        )
        append_decision(path, revoke)
    head, *lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join([head, *_not_naming(lines, Scanner(["crm:C10001"]))]))
    left = read_decisions(path)
    assert [line.source_record_id for line in left] == ["crm:C30003", ""]
