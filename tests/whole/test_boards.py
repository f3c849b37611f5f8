"""What every mart promises on its board, and that its suite and the dictionary keep up with it."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from orchestration.release.roles import read_roles
from orchestration.settings import PROJECT_ROOT, Settings
from orchestration.transform.dbt import parse
from orchestration.transform.dictionary import DICTIONARY_PATH, dictionary_text

if TYPE_CHECKING:
    from dbt.contracts.graph.manifest import Manifest


@pytest.fixture(scope="module")
def manifest(parsed_project: Path) -> "Manifest":
    return parse(Settings(home=parsed_project.parent))


@pytest.fixture(scope="module")
def marts(manifest: "Manifest") -> list[Any]:
    return list(_of_layer(manifest, "marts"))


def _of_layer(manifest: "Manifest", layer: str) -> Iterator[Any]:
    for name, node in manifest.nodes.items():
        if name.startswith("model.") and node.fqn[1] == layer:
            yield node


def grain(node: Any) -> list[str]:
    listed = node.config.meta["grain"]
    return listed if isinstance(listed, list) else [listed]


def test_every_mart_has_a_contract_an_owner_and_a_grain_of_its_own_columns(
    marts: list[Any],
) -> None:
    for node in marts:
        assert node.config.contract.enforced, node.name
        assert node.config.meta["owner"], node.name
        assert set(grain(node)) <= set(node.columns), node.name


def test_every_column_of_a_mart_says_what_it_means(marts: list[Any]) -> None:
    silent = [
        f"{node.name}.{column.name}"
        for node in marts
        for column in node.columns.values()
        if len(column.description.strip()) < 4 or not column.data_type
    ]
    assert silent == []


def test_no_column_of_a_mart_is_nested(marts: list[Any]) -> None:
    nested = [
        f"{node.name}.{column.name} {column.data_type}"
        for node in marts
        for column in node.columns.values()
        if any(word in str(column.data_type).lower() for word in ("[]", "struct", "map", "json"))
    ]
    assert nested == []


def test_every_gate_of_a_mart_proves_the_grain_that_the_board_names(marts: list[Any]) -> None:
    rooms = (PROJECT_ROOT / "expectations" / "marts").glob("*.yml")
    suites = [suite for room in rooms for suite in yaml.safe_load(room.read_text("utf-8"))]
    keys = {
        suite["table"].removeprefix("marts."): [
            set(check["column_list"])
            for check in suite["expectations"]
            if check["expect"] == "expect_key_to_be_unique" and check["severity"] == "critical"
        ]
        for suite in suites
    }
    unproven = [node.name for node in marts if set(grain(node)) not in keys.get(node.name, [])]
    assert unproven == []


def test_every_model_between_identity_and_the_marts_is_described(manifest: "Manifest") -> None:
    for node in _of_layer(manifest, "intermediate"):
        assert node.description, node.name
        assert node.config.meta.get("grain"), node.name
        assert node.config.meta.get("owner"), node.name


def test_every_mart_has_a_reader_that_is_named(manifest: "Manifest", marts: list[Any]) -> None:
    read = {
        name.rpartition(".")[2]
        for exposure in manifest.exposures.values()
        for name in exposure.depends_on_nodes
    }
    assert sorted({node.name for node in marts} - read) == []


def test_exposures_read_published_marts_and_bi_tools_what_their_files_are_made_from(
    manifest: "Manifest", marts: list[Any]
) -> None:
    read = {
        exposure.name: {name.rpartition(".")[2] for name in exposure.depends_on_nodes}
        for exposure in manifest.exposures.values()
    }
    published = {node.name for node in marts}
    assert {name: tables - published for name, tables in read.items() if tables - published} == {}
    (dashboard,) = (role for role in read_roles() if role.name == "dashboard")
    assert isinstance(dashboard.tables, Mapping)
    made_from = {policy.made_from or table for table, policy in dashboard.tables.items()}
    assert made_from - read["published_warehouse"] == set()


def test_the_data_dictionary_is_current(manifest: "Manifest") -> None:
    assert DICTIONARY_PATH.read_text(encoding="utf-8") == dictionary_text(manifest), (
        "run make dictionary"
    )
