"""Components and merges against a graph library and a slow second opinion."""

import importlib.util
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.transform.dbt import DBT_PROJECT
from tests.identity.lab import Lab, Model

spec = importlib.util.spec_from_file_location(
    "int_merges_decided", DBT_PROJECT / "models" / "identity" / "int_merges_decided.py"
)
assert spec is not None
assert spec.loader is not None
merges: Any = importlib.util.module_from_spec(spec)
spec.loader.exec_module(merges)

# --- components ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def components_of(compiled_models: Sequence[Model], lab_of_session: Lab) -> Any:
    """int_profiles_connected on links that a test lays into the place of int_profiles_linked."""
    (model,) = [m for m in compiled_models if m.name == "int_profiles_connected"]
    assert model.full is not None
    sql = model.full.replace('"work"."identity"."int_profiles_linked"', '"work"."lab"."links"')
    assert sql != model.full
    connection = lab_of_session.connection
    connection.execute("create table lab.links (profile_key ubigint, other_profile_key ubigint)")

    def components(links: Sequence[tuple[int, int]]) -> dict[int, int]:
        connection.execute("delete from lab.links")
        if links:
            rows = ", ".join(f"({min(link)}, {max(link)})" for link in links)
            connection.execute(f"insert into lab.links values {rows}")
        return dict(connection.execute(sql).fetchall())

    yield components
    connection.execute("drop table lab.links")


KEYS = st.one_of(st.integers(0, 30), st.sampled_from([2**64 - 1, 2**63, 2**63 - 1]))
GRAPHS = st.lists(
    st.tuples(KEYS, KEYS).filter(lambda link: link[0] != link[1]), max_size=60, unique=True
)


@given(links=GRAPHS)
def test_components_are_those_of_a_graph_library(
    links: list[tuple[int, int]], components_of: Any
) -> None:
    expected = {
        member: min(component)
        for component in nx.connected_components(nx.Graph(links))
        for member in component
    }
    assert components_of(links) == expected


@pytest.mark.parametrize("order", [1, -1, 7919])
def test_a_long_chain_is_one_component_whatever_its_keys(order: int, components_of: Any) -> None:
    keys = [(place * order) % 10007 for place in range(2000)]
    assert set(components_of(list(itertools.pairwise(keys))).values()) == {min(keys)}


# --- merges --------------------------------------------------------------------------------------

MEMBERS = range(7)
PAIRS = list(itertools.combinations(MEMBERS, 2))
Pair = tuple[int, int]


@st.composite
def contested(draw: st.DrawFn) -> dict[str, Any]:
    """A component of up to seven profiles: links, cohesions, separations, accounts, a cap."""
    some = st.lists(st.sampled_from(PAIRS), unique=True)
    weights = st.sampled_from([3.5, 4.0, 4.0, 9.25, 30.0])
    decided = draw(st.lists(st.sampled_from(PAIRS), max_size=2, unique=True))
    links = [(draw(weights), *pair, False) for pair in draw(some) if pair not in decided]
    same = nx.Graph(decided)
    same.add_nodes_from(MEMBERS)
    not_same = [
        pair
        for pair in draw(st.lists(st.sampled_from(PAIRS), max_size=3, unique=True))
        # the store of decisions refuses to part what it joins
        if not nx.has_path(same, *pair)
    ]
    differing = draw(st.lists(st.sampled_from(PAIRS), max_size=4, unique=True))
    return {
        "links": [*links, *((None, *pair, True) for pair in decided)],
        "cohesion": {pair: draw(st.sampled_from([-12.0, -3.0, 0.5, 8.0])) for pair in draw(some)},
        "separations": [
            *((*pair, "the birth dates differ") for pair in differing),
            *((*pair, merges.NOT_SAME) for pair in not_same),
        ],
        "accounts": [
            (member, "shop:account")
            for member in draw(st.sets(st.sampled_from(MEMBERS), max_size=3))
        ],
        "cap": draw(st.sampled_from([3, 100])),
        "bare": draw(st.sets(st.sampled_from(MEMBERS), max_size=3)),
    }  # fmt: skip


def decided(component: Mapping[str, Any]) -> tuple[dict[int, int], set[Any]]:
    """Member to cluster, and the refusals, as the model gives them."""
    rows = list(
        merges.decide(
            [("k", member) for member in MEMBERS],
            [("k", *pair, bits) for pair, bits in component["cohesion"].items()],
            [("k", *link) for link in component["links"]],
            component["separations"],
            component["accounts"],
            component["cap"],
            component["bare"],
        )
    )
    clusters = {row[1]: row[3] for row in rows if row[5] is None}
    return clusters, {(row[1], row[2], row[5]) for row in rows if row[5] is not None}


def fits_another(link: Any, component: Mapping[str, Any]) -> bool:
    """Whether an end of a link is a bare name that fits somebody else about as well."""

    def contradict(one: int, other: int) -> bool:
        pair = {one, other}
        return component["cohesion"].get(
            tuple(sorted(pair)), 0.0
        ) < merges.CONTRADICTION_BITS or any(
            {*line[:2]} == pair for line in component["separations"]
        )

    weight, *ends, is_decided = link
    return not is_decided and any(
        bare in ends
        and bare in rival[1:3]
        and contradict(sum(ends) - bare, rival[1] + rival[2] - bare)
        and (rival[3] or rival[0] > weight - math.log2(9))
        for bare in component["bare"]
        for rival in component["links"]
        if rival is not link
    )


def second_opinion(component: Mapping[str, Any]) -> dict[int, int]:
    """The same rules, without a union-find: sets of sets, everything looked up anew."""
    clusters = [frozenset([member]) for member in MEMBERS]
    apart: dict[frozenset[int], set[str]] = {}
    for one, other, reason in component["separations"]:
        apart.setdefault(frozenset((one, other)), set()).add(reason)
    with_account = {member for member, _ in component["accounts"]}
    is_large = len(MEMBERS) > component["cap"]
    # evidence against a record that a steward has joined to one that contradicts it is not heard
    excused = {
        member
        for *_, one, other, is_decided in component["links"]
        if is_decided
        and (
            frozenset((one, other)) in apart
            or component["cohesion"].get(tuple(sorted((one, other))), 0.0) < 0
        )
        for member in (one, other)
    }
    links = [link for link in component["links"] if not fits_another(link, component)]
    links.sort(key=lambda link: link[1:3])
    links.sort(key=lambda link: (not link[3], -(link[0] or 0.0)))
    for _, one, other, is_decided in links:
        left = next(c for c in clusters if one in c)
        right = next(c for c in clusters if other in c)
        crossing = [frozenset(pair) for pair in itertools.product(left, right)]
        heard = [pair for pair in crossing if not pair & excused]
        by_word = {r for pair in crossing for r in apart.get(pair, ()) if r == merges.NOT_SAME}
        reasons = {r for pair in heard for r in apart.get(pair, ())} | by_word
        bits = [component["cohesion"].get(tuple(sorted(pair)), 0.0) for pair in heard]
        if is_decided:
            refuse = merges.NOT_SAME in reasons
        elif is_large:
            refuse = len(left) + len(right) > component["cap"]
        else:
            refuse = math.fsum(bits) < merges.CONTRADICTION_BITS * len(bits)
        if not is_decided:
            refuse = refuse or bool(reasons) or bool(left & with_account and right & with_account)
        if left != right and not refuse:
            clusters = [c for c in clusters if c not in (left, right)] + [left | right]
    return {member: min(cluster) for cluster in clusters for member in cluster}


@given(component=contested())
def test_merges_are_those_of_a_slow_second_opinion(component: dict[str, Any]) -> None:
    assert decided(component)[0] == second_opinion(component)


@given(component=contested(), data=st.data())
def test_the_order_of_the_input_decides_nothing(
    component: dict[str, Any], data: st.DataObject
) -> None:
    shuffled = dict(component)
    for name in ("links", "separations", "accounts"):
        shuffled[name] = data.draw(st.permutations(component[name]))
    pairs = data.draw(st.permutations(list(component["cohesion"].items())))
    shuffled["cohesion"] = dict(pairs)
    assert decided(shuffled) == decided(component)


@given(component=contested())
def test_no_cluster_holds_two_who_are_apart_and_all_that_was_decided_the_same_is_one(
    component: dict[str, Any],
) -> None:
    clusters, refused = decided(component)
    by_decision = nx.Graph(
        (one, other) for _, one, other, is_decided in component["links"] if is_decided
    )
    by_decision.add_nodes_from(MEMBERS)
    for one, other, reason in component["separations"]:
        if clusters[one] == clusters[other]:
            # only a steward's word, perhaps by way of others, may join what the evidence parts
            assert reason != merges.NOT_SAME
            assert by_decision.number_of_edges()
    for _, one, other, is_decided in component["links"]:
        together = clusters[one] == clusters[other]
        assert together or any((one, other) == refusal[:2] for refusal in refused)
        assert together or not is_decided
    if component["cap"] == 3 and not by_decision.number_of_edges():
        sizes = [list(clusters.values()).count(cluster) for cluster in clusters.values()]
        assert max(sizes) <= component["cap"]
