"""The gates as blocking Dagster checks: one step per layer, one check per table of it."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import dagster as dg

from orchestration.database import working_file
from orchestration.gates import (
    LAYERS,
    CheckResult,
    GateError,
    GateResult,
    OverrideError,
    SuiteError,
    build_data_docs,
    run_gate,
)
from orchestration.gates.drift import late_feeds
from orchestration.gates.setting_aside import set_failing_rows_aside
from orchestration.landing import FEEDS, Feed
from orchestration.landing.feed_policies import FeedPolicyError, read_policies
from orchestration.landing.quarantine import QuarantineError
from orchestration.run import Warehouse, log
from orchestration.settings import Settings
from orchestration.transform.dbt import TransformError

# A check that speaks of no asset of its layer (raw.files, a query over several tables) is shown on
# every asset of the layer: what it found concerns them all.
CHECK_NAME = "gate"
_ROWS_SHOWN = 10
Rebuild = Callable[[Settings, Sequence[Feed]], None]

# What a person can put right, and is told in a sentence.
_SAID = (SuiteError, OverrideError, QuarantineError, FeedPolicyError, GateError, TransformError)


def gate_checks(
    layer: str,
    assets: Sequence[dg.AssetKey],
    rebuild: Rebuild | None = None,
) -> dg.AssetChecksDefinition:
    """The gate of a layer; assets downstream wait for it and do not run when it fails.

    rebuild: makes the layer anew from feeds of which the gate has set rows aside.
    """

    @dg.multi_asset_check(
        name=f"{layer}_gate",
        specs=[
            dg.AssetCheckSpec(
                name=CHECK_NAME,
                asset=key,
                blocking=True,
                description=f"Great Expectations suites of expectations/, layer {layer}.",
            )
            for key in assets
        ],
        can_subset=True,
    )
    def checks(
        context: dg.AssetCheckExecutionContext, warehouse: Warehouse
    ) -> Iterator[dg.AssetCheckResult]:
        with warehouse.stage(f"{layer} gate"):
            try:
                result = _passed_without_a_few_rows(layer, warehouse, rebuild)
            except _SAID as error:
                raise dg.Failure(description=str(error), allow_retries=False) from error
            if layer == LAYERS[-1] or not result.passed:
                log.info("Data Docs: %s", build_data_docs(warehouse.settings))
            for sentence in result.summary[1:]:
                log.warning(sentence)
            warehouse.record.gates = [
                *(gate for gate in warehouse.record.gates if gate["layer"] != layer),
                gate_summary(result),
            ]
            _tell_what_is_unusual(layer, warehouse)
        selected = [key.asset_key for key in context.selected_asset_check_keys]
        yield from _verdicts(result, selected, warehouse.settings.home / "data_docs")

    return checks


def _passed_without_a_few_rows(
    layer: str, warehouse: Warehouse, rebuild: Rebuild | None
) -> GateResult:
    """Ask the gate; when rows that may be set aside are all that stops it, ask again without them.

    It ends: rows only ever leave the layer, and an older version of one may break the rule too.
    """
    settings, run_id = warehouse.settings, warehouse.record.run_id
    shares = {name: policy.most_quarantined_share for name, policy in read_policies(FEEDS).items()}
    while True:
        result = run_gate(layer, settings, run_id=run_id)
        feeds = set_failing_rows_aside(settings, result, shares, run_id, log.warning)
        if not feeds:
            return result
        if rebuild is not None:
            rebuild(settings, feeds)


def _tell_what_is_unusual(layer: str, warehouse: Warehouse) -> None:
    """Keep in the record what an alert tells of, in sentences of names and counts alone."""
    if layer not in ("landing", "identity"):
        return
    with working_file(warehouse.settings).connect(read_only=True) as connection:
        if layer == "landing":
            warehouse.record.late = late_feeds(connection)
        else:
            found = connection.execute(
                # what caused it may be a value of a person
                "select measure, split_part(sentence, '. Causes: ', 1)"
                " from identity.int_identity_judged"
                " where verdict in ('warning', 'critical') order by measure"
            ).fetchall()
            warehouse.record.moved = dict(found)


def gate_summary(result: GateResult) -> dict[str, object]:
    """What the record of a run and the manifest of a release keep of a gate."""
    return {
        "layer": result.layer,
        "passed": result.passed,
        "check_count": len(result.checks),
        "failures": [check.sentence for check in result.critical_failures],
        "failing": {
            check.check.id: {"rows": check.unexpected_count, "because": check.because}
            for check in result.critical_failures
        },
        "warnings": [check.sentence for check in result.warnings],
        "overrides": [check.check.id for check in result.overridden],
        "seconds": round(result.seconds, 3),
    }


def _verdicts(
    result: GateResult, assets: Iterable[dg.AssetKey], data_docs: Path
) -> Iterator[dg.AssetCheckResult]:
    by_asset: dict[dg.AssetKey, list[CheckResult]] = defaultdict(list)
    for check in result.checks:
        by_asset[_asset_of(check.table)].append(check)
    known = set(assets)
    shared = [c for key, checks in by_asset.items() if key not in known for c in checks]
    for key in known:
        checks = by_asset[key] + shared
        failures = [check for check in checks if check in result.critical_failures]
        warnings = [check for check in checks if check in result.warnings]
        yield dg.AssetCheckResult(
            asset_key=key,
            check_name=CHECK_NAME,
            passed=not failures and not warnings,
            severity=(dg.AssetCheckSeverity.ERROR if failures else dg.AssetCheckSeverity.WARN),
            description=" ".join(check.sentence for check in [*failures, *warnings])
            or f"{len(checks)} expectations hold.",
            metadata={
                "expectations": len(checks),
                "critical failures": len(failures),
                "warnings": len(warnings),
                **_failed_rows([*failures, *warnings], data_docs),
            },
        )


def _failed_rows(failed: Sequence[CheckResult], data_docs: Path) -> dict[str, dg.MetadataValue]:
    """Keys of rows that broke a rule, and where Data Docs list them."""
    shown = [(check, row) for check in failed for row in check.failed_rows[:_ROWS_SHOWN]]
    if not shown:
        return {}
    pages = sorted({check.table for check, _ in shown})
    lines = [
        f"| `{c.check.id}` | {'; '.join(f'{k} {v}' for k, v in r.items())} |" for c, r in shown
    ]
    return {
        "failed rows": dg.MetadataValue.md("\n".join(["| check | row |", "|---|---|", *lines])),
        **{
            f"Data Docs of {page}": dg.MetadataValue.url((data_docs / f"{page}.html").as_uri())
            for page in pages
        },
    }


def _asset_of(table: str) -> dg.AssetKey:
    """`raw.crm__contacts` is asset raw/crm/contacts, `staging.x` is staging/x."""
    schema, _, name = table.partition(".")
    return dg.AssetKey([schema, *(name.split("__", 1) if schema == "raw" else [name])])
