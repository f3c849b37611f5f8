"""What grows without measure in the landing does not in the work: pairs are counted here."""

from collections.abc import Sequence

import pytest

from tests.identity.lab import Lab, Model, record

COUNT = 3000


@pytest.fixture(scope="module")
def large_lab(compiled_models: Sequence[Model]) -> Lab:
    return Lab(compiled_models)


def pair_count(lab: Lab) -> int:
    """Pairs that blocking would bring, each key for itself."""
    ((count,),) = lab.query("select sum(pair_count) from identity.int_blocking_keys_reported")
    return int(count or 0)


def test_three_thousand_records_at_one_role_address_are_not_compared_with_each_other(
    large_lab: Lab,
) -> None:
    large_lab.reset()
    partition = large_lab.build(
        record(f"crm:{n}", first_name=f"N{n}x{n % 7}", last_name=f"L{n}", email="info@shop.test",
               phone=f"+44770{n:07d}")
        for n in range(COUNT)
    )  # fmt: skip
    assert large_lab.query("select status from identity.int_values_shared") == [("role",)]
    assert pair_count(large_lab) <= 10 * COUNT
    assert len(partition.groups) > COUNT * 0.9


def test_three_thousand_john_smiths_are_not_compared_with_each_other(large_lab: Lab) -> None:
    large_lab.reset()
    partition = large_lab.build(
        record(f"crm:{n}", first_name="John", last_name="Smith",
               birth_date=f"{1930 + n % 70}-{1 + n // 70 % 12:02d}-{1 + n // 840 % 28:02d}",
               phone=f"+44770{n * 7919 % 10**7:07d}", city="London")
        for n in range(COUNT)
    )  # fmt: skip
    assert pair_count(large_lab) <= 10 * COUNT
    assert len(partition.groups) > COUNT * 0.9


def test_a_chain_of_two_thousand_records_is_cut_into_clusters_within_the_cap(
    large_lab: Lab,
) -> None:
    """Each shares its e-mail with the one before and its phone with the one after."""
    large_lab.reset()
    partition = large_lab.build(
        record(f"crm:{n}", first_name="Jo", last_name="Marlowe", email=f"jo{n // 2:05d}q@x.test",
               phone=f"+44770{(n + 1) // 2 * 7919:07d}")
        for n in range(2000)
    )  # fmt: skip
    ((cap,),) = large_lab.query(
        "select max(size) from (select count(*) as size from identity.int_profiles_connected"
        " group by component_key)"
    )
    assert cap > 300
    assert max(map(len, partition.groups)) <= 300
    # above the cap nothing is compared with everything
    assert large_lab.query("select count(*) from identity.int_pairs_contested") == [(0,)]
    assert pair_count(large_lab) <= 110 * 2000


def test_long_numbers_that_differ_in_two_digits_are_records_of_their_own(large_lab: Lab) -> None:
    """DuckDB's hash, taken alone, is the same for the two ids, and for the two addresses."""
    ids = ("shop:727078000011", "shop:720078000041")
    mailboxes = ("a.no7270.8000011@x.test", "a.no7200.8000041@x.test")
    collisions = large_lab.query(f"select hash('{ids[0]}') = hash('{ids[1]}')")
    assert collisions == [(True,)], "the hash has become better: the macro hash_of may be simpler"
    large_lab.reset()
    partition = large_lab.build(
        record(one, email=mailbox, birth_date=born)
        for one, mailbox, born in zip(ids, mailboxes, ("1980-01-01", "1990-02-02"), strict=True)
    )
    assert len(partition.groups) == 2
    assert large_lab.query(
        "select count(distinct record_key), count(distinct email_key)"
        " from identity.int_records_normalised"
    ) == [(2, 2)]
