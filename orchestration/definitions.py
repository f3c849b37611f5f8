"""The only door: every asset, check, job, schedule and sensor of the warehouse."""

import hashlib
from pathlib import Path

import dagster as dg

from orchestration.activation.assets import export_assets
from orchestration.alerts.telling import AlertError, tell
from orchestration.gates.checks import gate_checks
from orchestration.landing import FEEDS, LandingError
from orchestration.landing.assets import landing
from orchestration.landing.listing import is_fresh, list_landing
from orchestration.operations.dagster_storage import settle_dead_runs
from orchestration.operations.deadline import GRACE
from orchestration.operations.ledger import close_killed, no_run_beside
from orchestration.release.assets import postgres_asset, release_asset
from orchestration.run import Warehouse
from orchestration.settings import Settings
from orchestration.transform.assets import restage, transform_assets

JOB_NAME = "warehouse"


@dg.definitions
def defs() -> dg.Definitions:
    """What `dagster dev -m orchestration.definitions` loads."""
    return build_definitions(Settings())


def build_definitions(settings: Settings) -> dg.Definitions:
    """Wire the house: landing, gate, staging, gate, identity, gate, marts, gate, release.

    After the release its exports, and Postgres where wanted.
    """
    transforms = {assets.op.name: assets for assets in transform_assets(settings)}
    layers = {"landing": sorted(landing.keys)}
    for layer, assets in transforms.items():
        layers[layer] = sorted(key for key in assets.keys if key.path[0] == layer)
    releases = [release_asset(layers["marts"])]
    if settings.postgres:
        releases.append(postgres_asset())
    # Rows that the gate of the landing sets aside are gone from raw; staging is built of raw.
    rebuilds = {"staging": restage}
    gates = [gate_checks(layer, keys, rebuilds.get(layer)) for layer, keys in layers.items()]
    job = dg.define_asset_job(
        JOB_NAME,
        selection=dg.AssetSelection.all(),
        description="Land what is new, build, judge and publish it.",
        # The run ends itself (operations/deadline.py); the daemon is the second to ask.
        tags={"dagster/max_runtime": str(int((settings.run_timeout + 2 * GRACE).total_seconds()))},
    )
    return dg.Definitions(
        assets=[landing, *transforms.values(), *releases, *export_assets()],
        asset_checks=gates,
        jobs=[job],
        schedules=[
            dg.ScheduleDefinition(
                name="every_morning",
                job=job,
                cron_schedule="0 4 * * *",
                execution_timezone="UTC",
                description="Once a day, also when nothing landed: the as-of day has moved on.",
            )
        ],
        sensors=[_news_sensor(), *alerts_sensor(settings)],
        resources={"warehouse": Warehouse()},
        # The multiprocess executor starts a Python per step, 5.5 s each; stages share one process.
        executor=dg.in_process_executor,
    )


def _news_sensor() -> dg.SensorDefinition:
    @dg.sensor(
        name="news",
        job_name=JOB_NAME,
        minimum_interval_seconds=60,
        description=(
            "Starts a run when files of the landing are new or changed and have settled, or people "
            "decided something: a withdrawal, a correction, an override, which records are whose, "
            "or want to be forgotten."
        ),
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        settings = Settings()
        _settle(context, settings)
        try:
            files = list_landing(settings.landing, FEEDS).files
        except LandingError as error:
            return dg.SkipReason(str(error))
        if fresh := [file.name for file in files if is_fresh(file)]:
            return dg.SkipReason(f"{fresh[0]} has not settled yet.")
        seen = [f"{f.name} {f.size_bytes} {f.modified_ns}" for f in files]
        journals = [(path, path.stat()) for path in _decided(settings) if path.exists()]
        seen += [f"{path} {stat.st_size} {stat.st_mtime_ns}" for path, stat in journals]
        fingerprint = hashlib.sha256("\n".join(seen).encode()).hexdigest()
        if context.cursor == fingerprint:
            return dg.SkipReason("Nothing new in the landing, and nothing was decided.")
        context.update_cursor(fingerprint)
        return dg.RunRequest(run_key=fingerprint)

    return sensor


def alerts_sensor(settings: Settings) -> tuple[dg.SensorDefinition, ...]:
    """The sensor that tells alerts beside runs; there is none where no channel is set up."""

    @dg.sensor(
        name="alerts",
        minimum_interval_seconds=300,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            "Tells of runs that were killed or do not end, of releases that are late, and of what "
            "could not be sent before; what a run finds, it tells itself."
        ),
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason:  # noqa: ARG001
        try:
            deliveries = tell(Settings())
        except AlertError as error:
            return dg.SkipReason(str(error))
        return dg.SkipReason("; ".join(one.sentence for one in deliveries) or "Nothing to tell.")

    return (sensor,) if settings.sends_alerts else ()


def _decided(settings: Settings) -> list[Path]:
    """Files of what people decided, or asked for."""
    return [*settings.journals.values(), *sorted(settings.requests.glob("*.csv"))]


def _settle(context: dg.SensorEvaluationContext, settings: Settings) -> None:
    """A killed run would hold up the queue for ever: one run at a time, and it never ends."""
    with no_run_beside(settings) as holder:
        if holder is None and close_killed(settings):
            settle_dead_runs(context.instance, settings)
