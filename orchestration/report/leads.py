"""The sentence above each part of the page: what its charts say, in numbers."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from orchestration.report.figures import Row, currency_of
from orchestration.report.words import label, month, number

if TYPE_CHECKING:
    from orchestration.report.reports import Report


def people(report: "Report") -> str:
    """From lines to customers."""
    records = _sum(report.figures["sources"], "record_count")
    return (
        f"{report.run.line_count:,} lines landed → {records:,} records of people →"
        f" {number(_headline(report).get('customers'))} customers."
    )


def matching(report: "Report") -> str:
    """What matching merged, doubted and refused."""
    figures = report.figures
    sizes = [row for row in figures["cluster_sizes"] if row["records"] != "1"]
    bands = [row for row in figures["match_bands"] if row["outcome"] == "review"]
    merged, review = _sum(sizes, "customer_count"), _sum(bands, "pair_count")
    refused = _sum(figures["refused_merges"], "pair_count")
    return (
        f"{number(merged)} customers are merged from two records or more. {review:,} pairs are in"
        f" the review band and wait for a person; {refused:,} merges were refused, for something"
        " speaks against them."
    )


def segments(report: "Report") -> str:
    """Who is about to leave, and who brings most."""
    figures = report.figures
    stages = {row["lifecycle_stage"]: row["customer_count"] for row in figures["lifecycle_stages"]}
    lapsed, at_risk = (number(stages.get(stage, 0)) for stage in ("lapsed", "at_risk"))
    sentence = f"{lapsed} customers have lapsed and {at_risk} are at risk."
    top = next((row for row in figures["rfm_segments"] if row["customer_count"]), None)
    if top is None:
        return sentence
    return (
        f"{sentence} Most of the net revenue comes from “{label(top['rfm_segment'])}”:"
        f" {number(top['net_amount'], currency_of(figures))} of {number(top['customer_count'])}"
        " customers."
    )


def retention(report: "Report") -> str:
    """How the last month moved the number of active customers."""
    months = report.figures["retention_bridge"]
    if not months:
        return "Nobody has bought yet."
    last = months[-1]
    moved = last["gained_by_identity_count"] - last["lost_by_identity_count"]
    so_far = "" if last["is_complete"] else " so far"
    return (
        f"In {month(last['month_start'])}{so_far} {last['new_count']:,} customers were new,"
        f" {last['reactivated_count']:,} came back and {last['lapsed_count']:,} lapsed; merges and"
        f" splits of customers moved {f'{moved:+,}' if moved else 'none'}."
    )


def value(report: "Report") -> str:
    """What customers brought, and will bring."""
    headline, currency = _headline(report), currency_of(report.figures)
    brought = number(headline.get("net_revenue_365_days"), currency)
    expected = number(headline.get("expected_value_365_days"), currency)
    return (
        f"Net revenue was {brought} in the last 365 days; {expected} are expected of the customers"
        " of today in the next."
    )


def engagement(report: "Report") -> str:
    """Whether customers would recommend us."""
    score = _headline(report).get("net_promoter_score_365_days")
    if score is None:
        return "Too few answers of the last 365 days carry a score to tell one."
    return f"The net promoter score of the last 365 days is {number(score, 'score')}."


def journeys(report: "Report") -> str:
    """How many of those who begin come to an order."""
    steps = report.figures["purchase_funnel"]
    if not steps or steps[-1]["conversion_ratio"] is None:
        return "Too few people have come to an order to tell how many do."
    return (
        f"{number(steps[-1]['conversion_ratio'], 'share')} of the people who began with"
        f" “{label(steps[0]['step'])}” came to “{label(steps[-1]['step'])}”."
    )


def consent(report: "Report") -> str:
    """Whom we may write to."""
    headline = _headline(report)
    return (
        f"{number(headline.get('contactable_audience'))} of {number(headline.get('customers'))}"
        " customers may be e-mailed. What is unknown is not consent."
    )


def trust(report: "Report") -> str:
    """What judged the release."""
    checks = sum(gate["check_count"] for gate in report.gates)
    warnings = sum(gate["warning_count"] for gate in report.gates)
    return (
        f"{len(report.gates)} gates judged it by {checks:,} checks: no critical one failed, or"
        f" somebody answers for it; {warnings:,} warnings are told below."
        f" {report.run.rejected_count:,} lines were rejected."
    )


LEADS: Mapping[str, Callable[["Report"], str]] = {
    "people": people,
    "matching": matching,
    "segments": segments,
    "retention": retention,
    "value": value,
    "engagement": engagement,
    "journeys": journeys,
    "consent": consent,
    "trust": trust,
}


def _headline(report: "Report") -> Row:
    return next(iter(report.figures["headline"]), {})


def _sum(found: Sequence[Row], column: str) -> int:
    return sum(row[column] or 0 for row in found)
