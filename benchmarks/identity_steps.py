"""The steps of `bench_identity`, each run in a process of its own (`python -m`, see measuring)."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.measuring import Meter, StepFailedError, answer
from benchmarks.people import COLUMNS, build_world, open_working_database
from orchestration.identity.state import (
    close_build,
    load_rectifications,
    load_released_ids,
    load_steward_decisions,
    open_build,
)
from orchestration.identity.training import train
from orchestration.settings import Settings
from orchestration.sql import literal
from orchestration.transform.dbt import build, lasting_models, parse

AS_OF = date(2026, 6, 30)

# The models from blocking keys to clusters: what is held against Splink's predict and cluster. The
# profiles are the cleaned table of both.
LINKAGE = (
    "int_blocking_keys_retired",
    "int_blocking_keys_collected",
    "int_profiles_rescored",
    "int_pairs_scored",
    "int_decisions_applied",
    "int_profiles_linked",
    "int_profiles_touched",
    "int_profiles_connected",
    "int_components_contested",
    "int_pairs_contested",
    "int_merges_decided",
    "int_merges_refused",
    "int_records_touched",
    "int_records_clustered",
)
# The bare join: scored pairs joined to the profiles of both sides, summing one short column.
PAIRS = "int_pairs_scored"
PAIR_SIDES = ("pairs.profile_key", "pairs.other_profile_key")
PROFILES = "int_profiles_formed"
PROFILE_KEY = "profile_key"
CHEAP = "length(profiles.last_name)"

# Filled by `prepare`, so not built. A file of people has no web visitors and no deliveries.
GIVEN = ("int_records_unioned", "int_visitors_linked", "int_emails_verified")
VISITORS = (
    "source_record_id varchar, linked_record_id varchar, link_type varchar, linked_at timestamp,"
    " first_seen_at timestamp, last_seen_at timestamp"
)


def settings_of(home: str | Path, landing: str | Path | None = None) -> Settings:
    """Settings of a home of the benchmark; nothing of the caller's own warehouse shows through."""
    home = Path(home)
    return Settings(
        landing=Path(landing or home / "landing"),
        home=home,
        decisions=home / "decisions.csv",
        as_of=AS_OF,
    )


def world(meter: Meter, landing: str, home: str, truth: str, people: str) -> None:
    """Make the people of a generated landing."""
    with meter.phase("world"):
        build_world(settings_of(home, landing), Path(truth), Path(people))


def prepare(meter: Meter, home: str, people: str) -> dict[str, int]:
    """Make a home that has these people in `identity.int_records_unioned`, and the seeds."""
    settings = settings_of(home)
    settings.home.mkdir(parents=True)
    with meter.phase("prepare"):
        with open_working_database(settings) as connection:
            connection.execute("set TimeZone = 'UTC'")
            connection.execute("create schema identity")
            connection.execute(
                f"create table identity.int_records_unioned as select {', '.join(COLUMNS)}"
                f" from read_parquet({literal(people)})"
            )
            connection.execute(f"create table identity.int_visitors_linked ({VISITORS})")
            connection.execute("create table identity.int_emails_verified (email varchar)")
            load_released_ids(connection, None)
            load_steward_decisions(connection, settings.decisions)
            load_rectifications(connection, settings.rectifications)
            (records,) = connection.execute(
                "select count(*) from identity.int_records_unioned"
            ).fetchall()[0]
        build(settings, parse(settings), "seeds", ["resource_type:seed"])
    return {"records": records}


def trained(meter: Meter, home: str) -> None:
    """Train our parameters on the people of this home.

    The home is a copy for this purpose: the profiles are formed in it, and the files that training
    writes stay in its folder `parameters`, for `use_parameters`.
    """
    settings = settings_of(home)
    manifest = parse(settings)
    parents = parents_of_identity_models(manifest.nodes)
    with meter.phase("profiles"):
        build(settings, manifest, "identity", sorted({PROFILES} | ancestors_of(PROFILES, parents)))
    with meter.phase("training"):
        train(settings, manifest, out=settings.home / "parameters")


def use_parameters(home: str | Path, folder: Path) -> None:
    """Let a home use the parameters of a folder: each file replaces the rows of the seed it is."""
    with open_working_database(settings_of(home)) as connection:
        for path in sorted(folder.glob("*.csv")):
            connection.execute(f"delete from reference.{path.stem}")
            connection.execute(
                f"insert into reference.{path.stem} by name"
                f" from read_csv({literal(path)}, header = true, all_varchar = true)"
            )


def build_identity(
    meter: Meter, home: str, split: bool = False, increment: bool = False
) -> list[tuple[str, float, float]]:
    """Build the identity models downstream of the given ones; return (model, seconds, CPU seconds).

    split: in three builds, before, linkage and after, so that each is measured by itself; otherwise
    in one, as a run does it. increment: only what changed since the build before.
    """
    settings = settings_of(home)
    with open_working_database(settings) as connection:
        if open_build(connection, "benchmark") != increment and increment:
            raise StepFailedError("The build before was not whole: no increment is allowed.")
    with meter.phase("start"):
        manifest = parse(settings)
        parents = parents_of_identity_models(manifest.nodes)
    phases = split_at_linkage(parents) if split else {"identity": identity_models(parents)}
    if increment:
        lasting = {node.name for node in lasting_models(manifest, "identity")}
        phases = {"identity": [name for name in phases["identity"] if name not in lasting]}
    built = []
    for name, models in phases.items():
        with meter.phase(name):
            if models:
                built += build(settings, manifest, "identity", models, increment=increment)
    with open_working_database(settings) as connection:
        close_build(connection)
    return [(node.name, node.seconds, node.cpu_seconds) for node in built]


def parents_of_identity_models(nodes: Mapping[str, Any]) -> dict[str, set[str]]:
    """Return the identity models with the names of the models they read.

    nodes: those of dbt's manifest. A model outside identity keeps its schema in its name.
    """
    models = {
        key: node for key, node in nodes.items() if getattr(node, "resource_type", "") == "model"
    }
    inside = {
        key: node
        for key, node in models.items()
        if node.fqn[:2] == ["customer_warehouse", "identity"]
    }
    return {
        node.name: {
            inside[parent].name if parent in inside else f"{models[parent].schema}.{parent}"
            for parent in node.depends_on.nodes
            if parent in models
        }
        for node in inside.values()
    }


def identity_models(parents: Mapping[str, Collection[str]]) -> list[str]:
    """Return the models that can be built from the given ones, without staging."""

    def buildable(model: str) -> bool:
        return model in GIVEN or (
            model in parents and all(buildable(parent) for parent in parents[model])
        )

    return sorted(model for model in parents if model not in GIVEN and buildable(model))


def ancestors_of(model: str, parents: Mapping[str, Collection[str]]) -> set[str]:
    """Return what a model needs built before it, down to the given ones."""
    direct = {parent for parent in parents.get(model, ()) if parent not in GIVEN}
    return direct.union(*(ancestors_of(parent, parents) for parent in direct))


def split_at_linkage(parents: Mapping[str, Collection[str]]) -> dict[str, list[str]]:
    """Return the models before, in and after LINKAGE.

    Raises StepFailedError when a model stands between two of LINKAGE, or none of it is there.
    """
    models = identity_models(parents)
    linkage = [model for model in models if model in LINKAGE]
    if not linkage:
        raise StepFailedError("None of the models that LINKAGE names exists.")

    before = set().union(*(ancestors_of(model, parents) for model in linkage)) - set(linkage)
    for model in before:
        if not ancestors_of(model, parents).isdisjoint(linkage):
            raise StepFailedError(f"{model} stands between models of LINKAGE: name it there too.")
    after = [model for model in models if model not in before and model not in linkage]
    return {"before": sorted(before), "linkage": linkage, "after": after}


def limits(meter: Meter, home: str, people: str) -> dict[str, Any]:
    """Measure the least that reading the people, and fetching both sides of each pair, can cost."""
    settings = settings_of(home)
    texts = " + ".join(
        f"sum(length({column}))" for column, type_ in COLUMNS.items() if type_ == "varchar"
    )
    with duckdb.connect(str(settings.working_database), read_only=True) as connection:
        connection.execute(f"set threads = {settings.threads}")
        with meter.phase("scan"):
            connection.execute(
                f"select count(*), {texts} from read_parquet({literal(people)})"
            ).fetchall()
        try:
            left, right = PAIR_SIDES
            (pairs,) = connection.execute(f"select count(*) from identity.{PAIRS}").fetchall()[0]
            cheap = " + ".join(
                f"sum({CHEAP.replace('profiles.', side + '.')})" for side in ("one", "other")
            )
            with meter.phase("join"):
                connection.execute(
                    f"select {cheap} from identity.{PAIRS} as pairs"
                    f" inner join identity.{PROFILES} as one on one.{PROFILE_KEY} = {left}"
                    f" inner join identity.{PROFILES} as other on other.{PROFILE_KEY} = {right}"
                ).fetchall()
        except (duckdb.CatalogException, duckdb.BinderException) as error:
            return {"pairs": None, "missing": str(error).splitlines()[0]}
    return {"pairs": pairs}


def hold_back(home: str | Path, share: float) -> int:
    """Take a share of the records out of the home, by a hash of their id; return how many."""
    parts = 1_000_000
    with open_working_database(settings_of(home)) as connection:
        connection.execute(
            "create table main.held_back as select * from identity.int_records_unioned"
            f" where md5_number_lower(source_record_id) % {parts} < {round(share * parts)}"
        )
        connection.execute(
            "delete from identity.int_records_unioned"
            " where source_record_id in (select source_record_id from main.held_back)"
        )
        (count,) = connection.execute("select count(*) from main.held_back").fetchall()[0]
    return int(count)


def deliver(home: str | Path) -> None:
    """Give the home the records that were held back, as the next delivery."""
    with open_working_database(settings_of(home)) as connection:
        connection.execute("insert into identity.int_records_unioned from main.held_back")
        connection.execute("drop table main.held_back")


def release_ids(home: str | Path) -> None:
    """Lay the customer ids of the build into schema `state`, as a release and the next run do."""
    released = {
        "customer_sources": "int_customer_sources_resolved where record_type <> 'visitor'",
        "customer_redirects": "int_customer_redirects_resolved",
        "customer_id_history": "int_customer_ids_recorded",
    }
    with open_working_database(settings_of(home)) as connection:
        for table, model in released.items():
            columns = connection.execute(
                "select string_agg(column_name, ', ' order by column_index) from duckdb_columns()"
                f" where schema_name = 'state' and table_name = '{table}'"
            ).fetchall()[0][0]
            connection.execute(f"delete from state.{table}")
            connection.execute(f"insert into state.{table} select {columns} from identity.{model}")


def write_clusters(home: str | Path, clusters: Path) -> None:
    """Write which customer each record belongs to: source_record_id, cluster_id."""
    with duckdb.connect(str(settings_of(home).working_database), read_only=True) as connection:
        connection.execute(
            "copy (select source_record_id, customer_id as cluster_id"
            " from identity.int_customer_sources_resolved where record_type <> 'visitor')"
            f" to {literal(clusters)} (format parquet)"
        )


STEPS: Mapping[str, Any] = {
    "world": world,
    "prepare": prepare,
    "trained": trained,
    "build_identity": build_identity,
    "limits": limits,
}


def missing_of_linkage(built: Sequence[str]) -> list[str]:
    """Return the models that LINKAGE names and the build did not have."""
    return [model for model in LINKAGE if model not in built]


if __name__ == "__main__":
    answer(STEPS)
