"""Steward decisions: nothing decided is lost, and nothing contradictory holds."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import networkx as nx
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from orchestration.identity.decisions import (
    COLUMNS,
    Action,
    Decision,
    DecisionError,
    append_decision,
    contradictions,
    decisions_in_force,
    new_decision,
    read_decisions,
)
from orchestration.identity.state import decisions_state, load_steward_decisions
from orchestration.landing import create_raw_tables
from orchestration.provenance import provenance
from orchestration.settings import PROJECT_ROOT, Settings

NOON = datetime(2026, 6, 30, 12, tzinfo=UTC)
HEADER = ",".join(COLUMNS) + "\n"
LINE = "d-1,same,crm:A,crm:B,eva,2026-06-30T12:00:00Z,one phone,\n"


def decided(action: Action, first: str, other: str, minute: int = 0) -> Decision:
    return new_decision(
        action,
        source_record_id=first,
        other_source_record_id=other,
        decided_by="eva",
        reason="they said so",
        decided_at=NOON + timedelta(minutes=minute),
    )


def same(first: str, other: str, minute: int = 0) -> Decision:
    return decided(Action.SAME, first, other, minute)


def not_same(first: str, other: str, minute: int = 0) -> Decision:
    return decided(Action.NOT_SAME, first, other, minute)


def revoke(decision: Decision, minute: int = 0) -> Decision:
    return new_decision(
        Action.REVOKE,
        revokes=decision.decision_id,
        decided_by="ida",
        reason="it was a mistake",
        decided_at=NOON + timedelta(minutes=minute),
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "decisions.csv"


# --- the file ----------------------------------------------------------------------------------

texts = st.text(
    st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=20
).filter(str.strip)
record_ids = texts.map(lambda text: f"crm:{text}")


@st.composite
def any_decisions(draw: st.DrawFn) -> list[Decision]:
    """Decisions on any texts, each on a pair of its own, so that none contradict."""
    made: list[Decision] = []
    for number in range(draw(st.integers(1, 5))):
        first, other = draw(st.tuples(record_ids, record_ids).filter(lambda two: two[0] != two[1]))
        made.append(
            new_decision(
                draw(st.sampled_from([Action.SAME, Action.NOT_SAME])),
                source_record_id=f"{first}{number}",
                other_source_record_id=f"{other}/{number}",
                decided_by=draw(texts),
                reason=draw(texts),
                decided_at=draw(st.datetimes(timezones=st.just(UTC))),
            )
        )
    assume(not contradictions(decisions_in_force(made)))
    return made


@given(made=any_decisions())
def test_what_was_appended_is_read_back_and_earlier_bytes_stay(
    made: list[Decision], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("decisions") / "decisions.csv"
    before = b""
    for decision in made:
        append_decision(path, decision)
        after = path.read_bytes()
        assert after.startswith(before)
        assert after.endswith(b"\n")
        before = after
    assert read_decisions(path) == tuple(made)


@given(made=any_decisions(), data=st.data())
def test_a_file_cut_off_anywhere_keeps_its_whole_lines_or_is_refused_at_the_last(
    made: list[Decision], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("decisions") / "decisions.csv"
    for decision in made:
        append_decision(path, decision)
    content = path.read_bytes()
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    cut = path.read_bytes()
    whole = max(cut.count(b"\n") - 1, 0)
    refusal = ""
    try:
        read = read_decisions(path)
    except DecisionError as error:
        refusal = str(error)
    if refusal:
        assert f"{path}:{cut.count(10) + 1}:" in refusal
        assert "was cut off" in refusal
        with pytest.raises(DecisionError, match="was cut off"):
            append_decision(path, same("crm:new", "crm:newer"))
        assert path.read_bytes() == cut
    else:
        assert len(read) in (whole, whole + 1)
        assert read == tuple(made[: len(read)])
        append_decision(path, same("crm:new", "crm:newer"))
        assert path.read_bytes().startswith(cut)
        assert len(read_decisions(path)) == len(read) + 1


def test_a_spreadsheet_may_save_the_file_with_a_mark_and_its_own_line_ends(path: Path) -> None:
    text = (HEADER + LINE + "\n").replace("\n", "\r\n")
    path.write_bytes(text.encode("utf-8-sig"))
    append_decision(path, same("crm:C", "crm:D"))
    assert [d.source_record_id for d in read_decisions(path)] == ["crm:A", "crm:C"]


def test_no_file_means_no_decisions(path: Path) -> None:
    assert read_decisions(path) == ()


APPEND_MANY = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from orchestration.identity.decisions import Action, append_decision, new_decision
for number in range(20):
    decision = new_decision(
        Action.SAME,
        source_record_id=f"crm:{sys.argv[2]}",
        other_source_record_id=f"shop:{sys.argv[2]}-{number}",
        decided_by="eva",
        reason="why",
        decided_at=datetime.now(UTC),
    )
    append_decision(Path(sys.argv[1]), decision)
"""


def test_processes_that_append_at_once_lose_nothing(path: Path) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", APPEND_MANY, path, str(n)], cwd=PROJECT_ROOT)
        for n in range(4)
    ]
    for writer in writers:
        assert writer.wait(60) == 0
    pairs = {decision.pair for decision in read_decisions(path)}
    assert pairs == {(f"crm:{n}", f"shop:{n}-{i}") for n in range(4) for i in range(20)}
    assert path.read_text().count("decision_id") == 1


def test_a_full_disk_leaves_the_file_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    append_decision(path, same("crm:A", "crm:B"))
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(DecisionError, match=r"cannot be written \(No space left on device\)"):
        append_decision(path, same("crm:C", "crm:D"))
    assert path.read_bytes() == before


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DecisionError, match=r"gone/decisions.csv .*its folder must exist"):
        append_decision(tmp_path / "gone" / "decisions.csv", same("crm:A", "crm:B"))


def test_a_folder_in_place_of_the_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DecisionError, match="cannot be read: Is a directory"):
        read_decisions(tmp_path)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("d-2,equal,crm:A,crm:B,eva,2026-06-30T12:00:00Z,why,", "action 'equal' is unknown"),
        ("d-2,same,crm:A,crm:A,eva,2026-06-30T12:00:00Z,why,", "both records are crm:A"),
        ("d-2,same,crm:A,C1,eva,2026-06-30T12:00:00Z,why,", "'C1' is no record"),
        ("d-2,same,crm:A, crm:C,eva,2026-06-30T12:00:00Z,why,", "' crm:C' is no record"),
        ("d-2,same,crm:A,,eva,2026-06-30T12:00:00Z,why,", "'' is no record"),
        ("d-2,same,crm:A,crm:C,  ,2026-06-30T12:00:00Z,why,", "decided_by is missing"),
        ("d-2,same,crm:A,crm:C,eva,2026-06-30T12:00:00Z,,", "reason is missing"),
        (",same,crm:A,crm:C,eva,2026-06-30T12:00:00Z,why,", "decision_id is missing"),
        ("d-2,same,crm:A,crm:C,eva,2026-06-30T12:00:00,why,", "is no time in UTC"),
        ("d-2,same,crm:A,crm:C,eva,30.06.2026,why,", "'30.06.2026' is no time in UTC"),
        ("d-2,same,crm:A,crm:C,eva,0001-01-01T00:00:00+09:00,why,", "is no time in UTC"),
        ("d-2,same,crm:A,crm:C,eva,2026-06-30T12:00:00Z,a\x07b,", "cannot be printed"),
        (f"d-2,same,crm:A,crm:C,eva,2026-06-30T12:00:00Z,{'x' * 1001},", "has 1,001 characters"),
        ("d-2,same,crm:A,crm:C,eva,2026-06-30T12:00:00Z,why,d-1", "only a revoke names"),
        ("d-1,same,crm:A,crm:C,eva,2026-06-30T12:00:00Z,why,", "'d-1' is taken"),
        ("d-2,revoke,,,eva,2026-06-30T12:00:00Z,why,", "revokes is missing"),
        ("d-2,revoke,,,eva,2026-06-30T12:00:00Z,why,d-9", "no decision 'd-9' to revoke"),
        ("d-2,revoke,crm:A,crm:B,eva,2026-06-30T12:00:00Z,why,d-1", "and no records"),
        ("d-2,same,crm:A,crm:C,eva,2026-06-30T12:00:00Z,one,two,", "9 fields in"),
        ('d-2,same,crm:A,crm:C,eva,2026-06-30T12:00:00Z,"why,', "is not CSV"),
    ],
)
def test_a_line_that_does_not_fit_is_named_with_its_number_and_value(
    path: Path, line: str, sentence: str
) -> None:
    path.write_text(f"{HEADER}{LINE}{line}\n")
    with pytest.raises(DecisionError) as error:
        read_decisions(path)
    assert str(error.value).startswith(f"{path}:3: ")
    assert sentence in str(error.value)


def test_several_bad_lines_are_named_at_once_but_not_all_of_many(path: Path) -> None:
    path.write_text(HEADER + "nonsense\n" * 8)
    with pytest.raises(DecisionError, match="and 3 more") as error:
        read_decisions(path)
    assert f"{path}:2: " in str(error.value)
    assert f"{path}:6: " in str(error.value)


def test_other_columns_are_named_once(path: Path) -> None:
    path.write_text("id,who\n" + LINE)
    with pytest.raises(DecisionError) as error:
        read_decisions(path)
    assert str(error.value) == (f"{path}:1: the first line must be {HEADER.strip()}, not 'id,who'.")


def test_bytes_that_are_not_utf_8_are_named_with_their_line(path: Path) -> None:
    path.write_bytes((HEADER + LINE).encode() + LINE.replace("eva", "Zoë").encode("latin-1"))
    with pytest.raises(DecisionError, match=r"decisions.csv:3: byte 0xeb is not UTF-8; save"):
        read_decisions(path)


def test_a_time_elsewhere_is_read_as_utc(path: Path) -> None:
    path.write_text(HEADER + LINE.replace("12:00:00Z", "14:00:00+02:00"))
    (decision,) = read_decisions(path)
    assert decision.decided_at == NOON
    assert decision.decided_at.tzinfo is UTC


def test_an_id_speaks_of_content_and_time() -> None:
    assert same("crm:A", "crm:B") == same("crm:A", "crm:B")
    others = [same("crm:A", "crm:B", 1), not_same("crm:A", "crm:B"), same("crm:A", "crm:C")]
    assert len({d.decision_id for d in (same("crm:A", "crm:B"), *others)}) == 4


# --- what is in force --------------------------------------------------------------------------

RECORDS = ["crm:1", "crm:2", "shop:3", "shop:4", "pos:5"]
pairs_of_few = st.tuples(st.sampled_from(RECORDS), st.sampled_from(RECORDS)).filter(
    lambda pair: pair[0] != pair[1]
)


@st.composite
def histories(draw: st.DrawFn) -> list[Decision]:
    """Decisions and revokes on few records, contradictions allowed."""
    made: list[Decision] = []
    for minute in range(draw(st.integers(0, 12))):
        open_ = [
            d
            for d in made
            if d.action is not Action.REVOKE and all(r.revokes != d.decision_id for r in made)
        ]
        if open_ and draw(st.integers(0, 2)) == 0:
            made.append(revoke(draw(st.sampled_from(open_)), minute))
        else:
            action = draw(st.sampled_from([Action.SAME, Action.NOT_SAME]))
            made.append(decided(action, *draw(pairs_of_few), minute))
    return made


@given(history=histories())
def test_the_last_decision_on_a_pair_that_was_not_revoked_is_in_force(
    history: list[Decision],
) -> None:
    """The model: a stack for each pair, out of which a revoke takes one decision."""
    stacks: dict[frozenset[str], list[Decision]] = {}
    for line in history:
        if line.action is Action.REVOKE:
            for stack in stacks.values():
                stack[:] = [d for d in stack if d.decision_id != line.revokes]
        else:
            stacks.setdefault(frozenset(line.pair), []).append(line)
    in_force = decisions_in_force(history)
    assert set(in_force) == {stack[-1] for stack in stacks.values() if stack}
    assert list(in_force) == sorted(in_force, key=history.index)


def test_an_earlier_decision_holds_again_when_the_later_one_is_revoked() -> None:
    first, later = same("crm:A", "crm:B"), not_same("crm:B", "crm:A", 1)
    assert decisions_in_force([first, later]) == (later,)
    assert decisions_in_force([first, later, revoke(later, 2)]) == (first,)
    assert decisions_in_force([first, later, revoke(first, 2)]) == (later,)


@given(history=histories())
def test_contradictions_are_those_of_a_graph_library(history: list[Decision]) -> None:
    in_force = decisions_in_force(history)
    graph = nx.Graph(d.pair for d in in_force if d.action is Action.SAME)
    graph.add_nodes_from(RECORDS)
    apart = [d for d in in_force if d.action is Action.NOT_SAME]
    found = contradictions(in_force)
    assert [c.separating for c in found] == [d for d in apart if nx.has_path(graph, *d.pair)]
    for contradiction in found:
        first, second = contradiction.separating.pair
        assert len(contradiction.joining) == nx.shortest_path_length(graph, first, second)
        chain = nx.Graph(d.pair for d in contradiction.joining)
        assert nx.has_path(chain, first, second)
        assert {d.action for d in contradiction.joining} == {Action.SAME}


@given(history=histories())
def test_a_file_that_was_only_appended_to_never_contradicts_itself(
    history: list[Decision], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("decisions") / "decisions.csv"
    taken: list[Decision] = []
    for line in history:
        known = not line.revokes or any(d.decision_id == line.revokes for d in taken)
        allowed = known and not contradictions(decisions_in_force([*taken, line]))
        try:
            append_decision(path, line)
        except DecisionError:
            assert not allowed
        else:
            assert allowed
            taken.append(line)
    assert read_decisions(path) == tuple(taken)


def test_a_chain_that_joins_what_was_parted_is_refused_with_its_links(path: Path) -> None:
    links = [same("crm:A", "crm:B"), same("crm:B", "crm:C")]
    for link in links:
        append_decision(path, link)
    before = path.read_bytes()
    with pytest.raises(DecisionError) as error:
        append_decision(path, not_same("crm:C", "crm:A"))
    assert str(error.value) == (
        "Not decided: crm:A and crm:C are different people by this decision, but the same person "
        f"by {links[0].decision_id} (crm:A = crm:B), {links[1].decision_id} (crm:B = crm:C). "
        "Revoke what is wrong, or decide otherwise."
    )
    assert path.read_bytes() == before


def test_a_revoke_that_brings_back_a_contradiction_is_refused(path: Path) -> None:
    first, later = same("crm:A", "crm:B"), not_same("crm:A", "crm:B", 1)
    for decision in (first, later, same("crm:A", "crm:C", 2), not_same("crm:C", "crm:B", 3)):
        append_decision(path, decision)
    with pytest.raises(DecisionError, match=rf"by {first.decision_id} \(crm:A = crm:B\)"):
        append_decision(path, revoke(later, 4))


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (lambda made, gone: revoke(gone, 9), "was revoked before, by"),
        (lambda made, gone: revoke(revoke(gone, 1), 9), "is a revoke itself and stays"),
        (lambda made, gone: revoke(same("crm:X", "crm:Y"), 9), "there is no decision"),
        (lambda made, gone: made, "is taken"),
    ],
)
def test_what_cannot_be_revoked_or_added_is_refused(
    path: Path, wrong: Callable[[Decision, Decision], Decision], sentence: str
) -> None:
    made, gone = same("crm:A", "crm:B"), same("crm:B", "crm:C")
    for decision in (made, gone, revoke(gone, 1)):
        append_decision(path, decision)
    with pytest.raises(DecisionError, match=f"Not decided: .*{sentence}"):
        append_decision(path, wrong(made, gone))


# --- in the working database ---------------------------------------------------------------------


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        yield connection


def stored(connection: duckdb.DuckDBPyConnection) -> Sequence[tuple[object, ...]]:
    return connection.execute("from state.steward_decisions order by all").fetchall()


def test_the_database_holds_the_decisions_in_force_with_sorted_records(
    connection: duckdb.DuckDBPyConnection, path: Path
) -> None:
    assert load_steward_decisions(connection, path) == ()
    assert stored(connection) == []
    assert decisions_state(connection) == "0" * 16
    made = new_decision(
        Action.NOT_SAME,
        source_record_id="shop:O'Neill",
        other_source_record_id="crm:B",
        decided_by="eva",
        reason='twins, see "note"; \\ \u2019',
        decided_at=NOON,
    )
    undone = same("crm:C", "crm:D")
    for decision in (made, undone, revoke(undone, 1)):
        append_decision(path, decision)
    load_steward_decisions(connection, path)
    assert stored(connection) == [
        (
            *(made.decision_id, "not_same", "crm:B", "shop:O'Neill", "eva"),
            *(NOON.replace(tzinfo=None), 'twins, see "note"; \\ \u2019'),
        )
    ]


def test_the_fingerprint_changes_with_what_is_in_force_and_only_with_that(
    connection: duckdb.DuckDBPyConnection, path: Path
) -> None:
    def state() -> str:
        load_steward_decisions(connection, path)
        return decisions_state(connection)

    empty = state()
    first, later = same("crm:A", "crm:B"), not_same("crm:A", "crm:B", 1)
    append_decision(path, first)
    one = state()
    append_decision(path, later)
    two = state()
    assert len({empty, one, two}) == 3
    append_decision(path, revoke(later, 2))
    assert state() == one
    append_decision(path, revoke(first, 3))
    assert state() == empty


def test_a_new_decision_is_reason_enough_for_a_release(
    connection: duckdb.DuckDBPyConnection, path: Path
) -> None:
    settings = Settings(home=path.parent)
    create_raw_tables(connection)

    def inputs() -> object:
        load_steward_decisions(connection, settings.decisions)
        return provenance(settings, connection)["inputs"]

    before = inputs()
    assert inputs() == before
    append_decision(settings.decisions, same("crm:A", "crm:B"))
    assert inputs() != before
    append_decision(settings.decisions, revoke(same("crm:A", "crm:B")))
    assert inputs() == before


def test_many_decisions_arrive_all(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    path.write_text(
        HEADER
        + "".join(
            f"d-{n},same,crm:{n},shop:{n},eva,2026-06-30T12:00:00Z,why,\n" for n in range(2500)
        )
    )
    load_steward_decisions(connection, path)
    assert len(stored(connection)) == 2500


def test_decisions_that_vanish_from_the_file_are_told(
    connection: duckdb.DuckDBPyConnection, path: Path
) -> None:
    kept, lost = same("crm:A", "crm:B"), same("crm:C", "crm:D")
    append_decision(path, kept)
    before = path.read_bytes()
    append_decision(path, lost)
    load_steward_decisions(connection, path)
    path.write_bytes(before)
    append_decision(path, revoke(kept, 1))
    assert load_steward_decisions(connection, path) == (lost.decision_id,)


def test_contradictions_written_by_hand_are_refused_and_the_table_stays(
    connection: duckdb.DuckDBPyConnection, path: Path
) -> None:
    path.write_text(HEADER + LINE)
    load_steward_decisions(connection, path)
    before = stored(connection)
    parted = LINE.replace("d-1,same,crm:A,crm:B", "d-3,not_same,crm:A,crm:C")
    path.write_text(HEADER + LINE + LINE.replace("d-1,same,crm:A", "d-2,same,crm:C") + parted)
    with pytest.raises(DecisionError) as error:
        load_steward_decisions(connection, path)
    assert str(error.value).startswith(
        f"{path}: crm:A and crm:C are different people by d-3, but the same person by "
        "d-1 (crm:A = crm:B), d-2 (crm:B = crm:C)."
    )
    assert stored(connection) == before
