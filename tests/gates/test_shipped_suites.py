"""The suites in expectations/: good data passes all four, and each fault is named by a check."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pytest

from orchestration.gates import LAYERS, GateResult, passed_gates, run_gate
from orchestration.gates.gate import SUITES
from orchestration.landing.feeds import FEEDS
from orchestration.settings import Settings
from tests.gates.conftest import FILES, build_world, copy_of

if TYPE_CHECKING:
    from dbt.contracts.graph.manifest import Manifest


def test_the_small_world_passes_all_four_gates_without_a_warning(world: Settings) -> None:
    results = [run_gate(layer, world) for layer in LAYERS]

    assert [line for result in results for line in result.summary[1:]] == []
    with duckdb.connect(str(world.working_database), read_only=True) as connection:
        assert passed_gates(connection) == LAYERS


@pytest.mark.parametrize("source", ["crm", "shop"])
def test_a_landing_with_one_source_only_passes_all_four_gates(
    tmp_path: Path, manifest: "Manifest", source: str
) -> None:
    files = {name: text for name, text in FILES.items() if name.startswith(f"{source}/")}
    settings = build_world(tmp_path, manifest, files)

    results = [run_gate(layer, settings) for layer in LAYERS]

    assert [result.summary[1:] for result in results] == [()] * 4


def test_a_landing_without_a_row_is_stopped_by_the_first_gate_and_by_the_last(
    tmp_path: Path, manifest: "Manifest"
) -> None:
    settings = build_world(tmp_path, manifest, {"crm/contacts/one.csv": "contact_id\n"})

    first, *_, last = (run_gate(layer, settings) for layer in LAYERS)

    assert "the landing gave no row at all" in first.summary[1]
    assert not last.passed


def test_every_feed_and_every_table_a_reader_may_see_has_a_suite(built: Settings) -> None:
    landing = (SUITES / "landing.yml").read_text(encoding="utf-8")
    assert [feed.name for feed in FEEDS if f"- table: raw.{feed.table}\n" not in landing] == []

    for database, schema in (
        (built.working_database, "staging"),
        (built.candidate_database, "marts"),
    ):
        files = [*SUITES.glob(f"{schema}.yml"), *SUITES.glob(f"{schema}/*.yml")]
        suites = "\n".join(file.read_text(encoding="utf-8") for file in files)
        with duckdb.connect(str(database), read_only=True) as connection:
            tables = connection.execute(
                "select table_name from duckdb_tables() where schema_name = ?", [schema]
            ).fetchall()
        assert [table for (table,) in tables if f"- table: {schema}.{table}\n" not in suites] == []


# layer -> (what breaks the world, what the gate must say about it); all faults of a layer at once
FAULTS: dict[str, list[tuple[str, str]]] = {
    "landing": [
        (
            "update raw.files set status = 'refused',"
            " message = 'crm/contacts/two.csv was refused: line 3 is UTF-16.',"
            " loaded_count = 0, new_row_count = 0, line_count = 0"
            " where file_path = 'crm/contacts/two.csv'",
            "[critical] raw.files: 1 row against expect_query_to_return_no_rows. A file that could "
            "not be read may hold the newest truth about a customer. Found: crm/contacts/two.csv "
            "was refused: line 3 is UTF-16. Correct",
        ),
        (
            "update raw.files set line_count = 9 where feed = 'shop/customers'",
            "shop/customers/one.csv: 9 lines, 2 loaded, 0 rejected",
        ),
        (
            "update raw.files set repeated_row_count = 5 where feed = 'pos/members'",
            "pos/members/one.csv: 1 loaded, 1 new, 5 repeated",
        ),
        (
            "update raw.files set rejected_count = 30, line_count = 34 where feed = 'shop/orders'",
            "shop/orders: 30 of 34 lines rejected",
        ),
        (
            "select 1",
            "shop/orders/one.csv: 30 rejected, 0 in raw.rejects",
        ),
        ("select 1", "[warning] raw.files: 1 row against expect_query_to_return_no_rows. Rejected"),
        (
            "insert into raw.web__events by name select 'E9' as event_id, '' as _load_id,"
            " now()::timestamp as _loaded_at, '' as _source_file, 9 as _row_hash",
            "web/events: 3 rows, the manifest says 2",
        ),
        (
            "update raw.surveys__responses set response_id = null",
            "surveys/responses: response_id is empty",
        ),
        (
            "update raw.files set extra_columns = 'shoe_size' where feed = 'support/tickets'",
            "support/tickets/one.jsonl: shoe_size",
        ),
        (
            "update raw.files set status = 'lost' where feed = 'mailing/consents'",
            "raw.files.status: 1 row against expect_column_values_to_be_in_set",
        ),
    ],
    "staging": [
        (
            "insert into staging.stg_crm__contacts from staging.stg_crm__contacts limit 1",
            "staging.stg_crm__contacts.contact_id: 1 row against expect_key_to_be_unique",
        ),
        (
            "delete from staging.stg_shop__orders where order_id = '2'",
            "Found: 3 staged of 4 landed rows",
        ),
        (
            "update staging.stg_pos__members set member_id = null",
            "staging.stg_pos__members.member_id: 1 row against expect_key_to_be_unique",
        ),
        (
            "delete from staging.stg_web__events",
            "staging.stg_web__events: observed 0 against expect_table_row_count_to_be_between",
        ),
        (
            "update staging.stg_shop__customers set updated_at = '2036-01-01'",
            "[warning] staging.stg_shop__customers.updated_at: 2 rows against",
        ),
        (
            "update staging.stg_pos__receipts set currency_code = 'Pounds'",
            "[critical] staging.stg_pos__receipts.currency_code: 2 rows against",
        ),
        (
            "update staging.stg_pos__receipts set total_amount = -9e9 where receipt_id = 'R1'",
            "[warning] staging.stg_pos__receipts.total_amount: 1 row against",
        ),
        (
            "update staging.stg_shop__order_lines set order_id = '99' where order_id = '2'",
            "[warning] staging.stg_shop__order_lines: 1 row against expect_query_to_return_no_rows."
            " A line names an order that was never landed",
        ),
        (
            "update staging.stg_mailing__consents set status = 'perhaps'",
            "[critical] staging.stg_mailing__consents.status: 1 row against",
        ),
        (
            "update reference.survivorship_rules set rule = 'newest'"
            " where field_group = 'email' and position = 2",
            "[critical] reference.survivorship_rules: 1 row against expect_query_to_return_no_rows."
            " A rule that nobody knows would decide nothing, silently. Found: position 2 of email:"
            " there is no rule newest. Write source_priority",
        ),
        (
            "update reference.survivorship_rules set field_group = 'nickname'"
            " where field_group = 'gender'",
            "there is no field group nickname",
        ),
        ("select 1", "gender has no rule"),
        (
            "update reference.survivorship_rules set position = 1"
            " where field_group = 'birth_date' and position = 2",
            "birth_date has 2 rules at position 1",
        ),
        (
            "insert into reference.survivorship_rules values ('phone', 7, 'most_recent')",
            "phone lists most_recent 2 times",
        ),
        (
            "insert into reference.survivorship_rules values ('phone', 8, 'verified_first')",
            "[warning] reference.survivorship_rules: 1 row against",
        ),
        (
            "update reference.survivorship_sources set source = 'CRM'"
            " where field_group = 'name' and source = 'crm'",
            "name: there is no source CRM",
        ),
        (
            "update reference.survivorship_sources set priority = 0"
            " where field_group = 'name' and source = 'shop'",
            "name, shop: priority 0",
        ),
    ],
    "identity": [
        (
            # the crosswalk is a view; broken it has to be a table
            "create table identity.broken as from identity.int_customer_sources_resolved;"
            " drop view identity.int_customer_sources_resolved;"
            " alter table identity.broken rename to int_customer_sources_resolved;"
            " insert into identity.int_customer_sources_resolved by name"
            " select * replace ('cus_other' as customer_id)"
            " from identity.int_customer_sources_resolved where source_record_id = 'crm:C2'",
            "int_customer_sources_resolved.source_record_id: 1 row against expect_key_to_be_unique",
        ),
        (
            "delete from identity.int_customer_sources_resolved where source_record_id = 'pos:M1'",
            "pos:M1 has no customer",
        ),
        (
            "delete from identity.int_records_clustered"
            " where record_key = hash('support:T1', 'upport:T1')",
            "support:T1 is in no cluster",
        ),
        (
            "delete from identity.int_records_normalised where source_record_id = 'surveys:Q1'",
            "surveys:Q1 is lost",
        ),
        ("select 1", "surveys:Q1 came from nowhere"),
        (
            "update identity.int_customers_identified set customer_id = 'cus_same'",
            "int_customers_identified.customer_id: 1 row against expect_key_to_be_unique",
        ),
        (
            "insert into identity.int_customer_sources_resolved by name select"
            " 'crm:X' || i as source_record_id, 'cus_huge' as customer_id,"
            " 'contact' as record_type from range(1001) as numbers (i)",
            "cus_huge has 1001 records. Ask `warehouse explain",
        ),
        ("select 1", "[warning] identity.int_customer_sources_resolved: 1 row against"),
        (
            "insert into identity.int_customer_redirects_resolved values"
            " ('cus_old', 'cus_older', date '2026-01-01'), ('cus_older', null, date '2026-01-01')",
            "cus_old leads to a redirect",
        ),
        (
            "insert into state.customer_sources"
            " values ('crm:C1', 'cus_gone', hash('crm:C1', 'rm:C1'))",
            "cus_gone disappeared",
        ),
        (
            "update identity.int_golden_records_chosen set email_source_record_id = 'crm:C2'",
            "has a value of crm:C2",
        ),
        (
            "update identity.int_golden_values_ranked set rank = 2"
            " where field_group = 'birth_date' and source_record_id = 'crm:C1'",
            "birth_date: 1 values, 0 survived",
        ),
        ("select 1", "values survived, "),
        (
            "update identity.int_golden_values_ranked set source_record_id = 'pos:M9'"
            " where field_group = 'phone'",
            "has a value of pos:M9",
        ),
        (
            "insert into identity.int_emails_verified select 'a@x.test', null from range(2)",
            "identity.int_emails_verified.email: 1 row against expect_key_to_be_unique",
        ),
    ],
    "marts": [
        (
            "insert into release_candidate.marts.orders from release_candidate.marts.orders"
            " where order_key = 'shop:1'",
            "marts.orders.order_key: 1 row against expect_key_to_be_unique",
        ),
        ("select 1", "EUR: staged 3 orders, total 195.5000, net 185.5000; published 4 orders,"),
        ("select 1", "EUR: landed 195.5000 gross, 185.5000 net; published 295.5000 gross,"),
        (
            "update release_candidate.marts.order_lines set line_amount = line_amount * 100"
            " where order_line_key = 'shop:1:2'",
            "3 lines of 150.0000 staged, 3 of 4110.0000 published",
        ),
        (
            "update release_candidate.marts.order_lines set order_key = 'shop:99'"
            " where order_line_key = 'shop:1:1'",
            "shop:99: 1 lines without their order",
        ),
        (
            "update release_candidate.marts.customers set is_contactable_by_sms = true",
            "Nobody is called contactable without having said yes.",
        ),
        (
            "update release_candidate.marts.customer_history set value = 'someone@else.test'"
            " where field_group = 'email'",
            "What the history believes today is what the customer shows today.",
        ),
        (
            "update release_candidate.marts.orders set net_amount = net_amount * 100"
            " where order_key = 'pos:R2'",
            "GBP: staged 3 orders, total 67.3400, net 67.3400; published 3 orders, total 67.3400,"
            " net 562.3400",
        ),
        (
            "update release_candidate.marts.orders set customer_id = null"
            " where order_key = 'shop:2'",
            "shop:2 has no customer",
        ),
        (
            "update release_candidate.marts.customer_retention set is_lapsed = true",
            "Exactly one flag is true for a customer who bought",
        ),
        (
            "update release_candidate.marts.customer_retention"
            " set expected_purchases_365_days = expected_purchases_90_days / 2 - 1",
            "A longer time cannot hold fewer purchases.",
        ),
        (
            "update release_candidate.marts.customer_retention set is_overdue = not is_overdue",
            "The flag says what the days say",
        ),
        (
            "update release_candidate.marts.retention_model_fits set status = 'guessed'"
            " where name = 'method'",
            "recency instead of guessed",
        ),
        (
            "update release_candidate.marts.cohort_retention set purchase_count = 99",
            "Every customer is in one cohort, and every purchase in one period.",
        ),
        (
            "update release_candidate.marts.purchase_retention set returned_count = 99",
            "Nobody returns later than can be seen",
        ),
        (
            "update release_candidate.marts.retention_bridge set lapsed_count = 98",
            "A bridge that does not add up explains nothing.",
        ),
        (
            "update release_candidate.marts.retention_bridge set opening_count = 98",
            "What a month ends with is what the next one begins with.",
        ),
        (
            "select 1",
            "The months add up to the customers who have not lapsed on the as-of day.",
        ),
        (
            "update release_candidate.marts.customer_value set reporting_gross_amount = 99",
            "Money is in the value of a customer, or counted as unpriced.",
        ),
        (
            "delete from release_candidate.marts.customer_segments"
            " where lifecycle_stage = 'prospect'",
            "Every customer is segmented, and nobody else.",
        ),
        (
            "update release_candidate.marts.customer_consent set consent_status = 'maybe'"
            " where not is_granted",
            "marts.customer_consent.consent_status: 1 row against",
        ),
        (
            "update release_candidate.marts.customer_consent set valid_until = '2026-03-01'",
            "exactly that of the as-of day is the current one.",
        ),
        (
            "insert into release_candidate.marts.customer_consent by name"
            " select * replace (date '2024-01-01' as valid_from)"
            " from release_candidate.marts.customer_consent where is_granted",
            "has two states of email_marketing on 20",
        ),
        (
            "insert into release_candidate.marts.customer_suppressions values"
            " ('cus_ghost', 'letter', 'complaint', 'mailing', '2026-03-02', 'e', '2026-03-01')",
            "marts.customer_suppressions.channel: 1 row against",
        ),
        ("select 1", "A suppression belongs to a customer that is published."),
        ("select 1", "marts.customer_suppressions.suppressed_at: 1 row against"),
        (
            "insert into release_candidate.marts.audience_members values"
            " ('Newsletter', 'cus_ghost', 'x@x.test', '2026-02-28')",
            "cus_ghost in Newsletter. Do not export this run",
        ),
        ("select 1", "An audience holds the customer's own address of its channel."),
        ("select 1", "An audience is a part of its segment."),
        ("select 1", "2026-02-28 instead of 2026-03-01"),
        ("select 1", "Newsletter: 1 told, 2 in it"),
        (
            "update release_candidate.marts.audience_sizes set purpose = 'sharing'"
            " where audience = 'Welcome Mail'",
            "Every audience is published with the purpose that it was declared with.",
        ),
        (
            "update release_candidate.marts.customer_sources set customer_id = 'cus_ghost'"
            " where source_record_id = 'crm:C1'",
            "crm:C1 belongs to nobody",
        ),
        (
            "update release_candidate.marts.customers set last_purchased_at = '2026-03-02'"
            " where last_purchased_at is not null",
            "marts.customers.last_purchased_at",
        ),
        (
            "update release_candidate.marts.customer_purchases set purchase_count = 99",
            "What customers spent is what their orders say.",
        ),
        (
            "update release_candidate.marts.customer_retention set as_of_date = '2026-02-28'",
            "2026-02-28 instead of 2026-03-01",
        ),
        (
            "update release_candidate.marts.customer_golden_values set is_survivor = false"
            " where field_group = 'email'",
            "What survived here is what the customer shows there.",
        ),
        (
            "insert into release_candidate.marts.customer_matches by name"
            " select 'crm:X' as source_record_id, 'crm:Y' as other_source_record_id,"
            " 'cus_1' as customer_id, 'cus_2' as other_customer_id, 'matched' as outcome,"
            " 1 as match_weight",
            "crm:X and crm:Y: 1.0000 bits do not add up",
        ),
        ("select 1", "crm:X and crm:Y are matched"),
        (
            "insert into release_candidate.marts.customer_id_history"
            " values ('cus_ghost', 'withdrawn', null, 1, '2026-03-01', 'all records are gone')",
            "An id that ended redirects, and an id that redirects has ended.",
        ),
        (
            "delete from release_candidate.marts.tickets where ticket_key = 'support:T1'",
            "support:T1 is on one side only",
        ),
        ("select 1", "0 tickets, 0 open, 1 responses; summed 1, 1, 1"),
        (
            "update release_candidate.marts.surveys set nps_category = 'detractor'",
            "surveys:Q1: 9 is detractor",
        ),
        (
            "update release_candidate.marts.surveys set sentiment = 'neutral'",
            "What could not be rated is unknown, never neutral.",
        ),
        (
            "update release_candidate.marts.feedback_scores set promoter_count = 0",
            "The score is the promoters less the detractors, in per cent of all three.",
        ),
        (
            "update release_candidate.marts.customer_feedback set nps_score = 3"
            " where nps_score = 9",
            "has 3 instead of 9",
        ),
        ("select 1", "said: 1 responses, 1 and 1 scores, 1 comments; summed: 1, 1, 2, 0"),
        (
            "update release_candidate.marts.customer_feedback set purchase_count = 77",
            "What stands beside the words are the deeds that the segments know.",
        ),
        (
            "update release_candidate.marts.customer_engagement set mail_sent_count = 0",
            "sent: 1 staged, 0 of customers, 0 of nobody",
        ),
        (
            "update release_candidate.marts.customer_engagement set web_event_count = 5"
            " where web_event_count > 0",
            "2 staged, 5 of customers, 1 of nobody",
        ),
        (
            "update release_candidate.marts.customer_engagement set ticket_count = 1,"
            " recent_ticket_count = 2 where ticket_count = 1",
            "A part is never more than the whole, and nothing sent has no ratio.",
        ),
        (
            "insert into release_candidate.marts.customer_feedback_themes"
            " values ('cus_ghost', 'gossip', 1, 0, 0, '2026-02-01', 1)",
            "gossip is no theme of the seed",
        ),
        ("select 1", "cus_ghost, gossip"),
        (
            "update release_candidate.marts.customer_segments set value_tier = 'huge'"
            " where value_tier = 'top'",
            "marts.customer_segments.value_tier",
        ),
        (
            "update release_candidate.marts.customer_segments set frequency_score = null"
            " where purchase_count > 0",
            "Whoever bought has scores, and nobody else.",
        ),
        (
            "insert into release_candidate.marts.customer_segment_memberships values"
            " ('cus_ghost', 'Champions', '2026-02-01', '2026-02-20', 'why', 'why not'),"
            " ('cus_ghost', 'Champions', '2026-02-10', null, 'why', null),"
            " ('cus_ghost', 'Contactable By Mail', '2026-02-10', null, 'why', null),"
            " ('cus_ghost', 'Lost', '2026-02-10', '2026-02-10', 'why', 'why not')",
            "A stay lasts a day at least, and says why it began and why it ended.",
        ),
        ("select 1", "cus_ghost is in Champions twice on 2026-02-10"),
        ("select 1", "Who is in a segment today is who the rules say"),
        ("select 1", "Nobody is in a segment without the consent that it needs."),
        ("select 1", "Whoever is in a segment is a customer that is published."),
        (
            "insert into state.customer_segment_memberships values"
            " ('cus_ghost', 'Active', '2026-01-01', '2026-02-01', 'why', 'why not')",
            "A stay that is over is never forgotten or told otherwise.",
        ),
        (
            "update release_candidate.marts.segments set predicate = 'true'"
            " where segment = 'Champions'",
            "Every rule is published as it was applied.",
        ),
        ("select 1", "A size is the number of stays of the day."),
        (
            "update release_candidate.marts.sessions set event_count = event_count + 1"
            " where anonymous_id = 'V1'",
            "2 events landed, 5 in sessions, 0 left out",
        ),
        (
            "update release_candidate.marts.sessions set customer_id = 'cus_ghost'"
            " where anonymous_id = 'V2'",
            "is not of the customer of its record",
        ),
        (
            "insert into release_candidate.marts.sessions by name select * replace"
            " ('s' as session_key, ended_at + interval 1 hour as ended_at, started_at"
            " - interval 1 hour as started_at, 'backwards' as stitched_by)"
            " from release_candidate.marts.sessions where anonymous_id = 'V1'",
            "s ends after the next one has begun",
        ),
        (
            "update release_candidate.marts.touchpoints set position = position + 1"
            " where order_key = 'shop:1'",
            "Positions count the touches of a customer without a gap.",
        ),
        (
            "delete from release_candidate.marts.touchpoints where order_key = 'pos:R1'",
            "The purchases among the touches are those of the orders.",
        ),
        ("select 1", "A journey is made of its touches, and every touch is part of one."),
        (
            "update release_candidate.marts.customer_journeys set outcome = 'open'"
            " where order_key = 'shop:1'",
            "A journey that ended in a purchase names it",
        ),
        (
            "update release_candidate.marts.channel_attribution"
            " set linear_amount = linear_amount + 0.0001 where order_key = 'pos:R2'",
            "In each model the credits of a purchase are its net amount",
        ),
        ("select 1", "In every currency the credits of a model are the revenue of all purchases."),
        (
            "update release_candidate.marts.channel_attribution set last_touch_ratio = 0.5"
            " where order_key = 'pos:R1'",
            "pos:R1, last_touch: shares sum to 0.5",
        ),
        (
            "update release_candidate.marts.channel_attribution set time_decay_ratio = -0.1"
            " where order_key = 'pos:R1'",
            "A share is a part of a purchase.",
        ),
        (
            "update release_candidate.marts.channel_attribution set touchpoint_key = 'ticket:T1'"
            " where order_key = 'pos:R2'",
            "ticket:T1 is credited for pos:R2",
        ),
        (
            "update release_candidate.marts.channel_performance set reporting_credited_amount = 0",
            "What channels earned is what was credited.",
        ),
        (
            "update release_candidate.marts.purchase_funnel set unique_count = step_number",
            "step 2: 2 of 1",
        ),
    ],
}


@pytest.fixture(scope="module")
def broken(
    built: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, GateResult]]:
    """The gates of a world in which every layer has all its faults."""
    results = {}
    root = tmp_path_factory.mktemp("broken")
    for layer, faults in FAULTS.items():
        settings = copy_of(built, root / layer)
        with duckdb.connect(str(settings.working_database)) as connection:
            connection.execute(f"attach '{settings.candidate_database}' as release_candidate")
            for statement, _ in faults:
                connection.execute(statement)
        results[layer] = run_gate(layer, settings)
    yield results
    shutil.rmtree(root)


@pytest.mark.parametrize(
    ("layer", "sentence"),
    [(layer, sentence) for layer, faults in FAULTS.items() for _, sentence in faults],
)
def test_a_fault_is_named_by_the_gate_of_its_layer(
    broken: dict[str, GateResult], layer: str, sentence: str
) -> None:
    assert not broken[layer].passed
    assert sentence in "\n".join(broken[layer].summary)
