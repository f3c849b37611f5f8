"""Grain: one row per member and one per refused merge of a component that contradicts itself.

Links are merged strongest first, and a merge that would make two people one is refused: Kruskal's
algorithm with constraints. Only components with a contradiction come here, a few per cent of all,
and above the cap only the cheap constraints are checked and clusters stay below the cap: the work
is bounded by links x log(links) plus the pairs within the cap.
"""

import csv
import math
import tempfile
from collections import defaultdict
from pathlib import Path

# A merge whose pairs contradict each other by this many bits on average joins two people.
CONTRADICTION_BITS = -2.0
# A bare name that fits two people goes to one of them only when nine times as likely (0.9).
MARGIN_BITS = math.log2(9)

NOT_SAME = "a steward decided that they are not the same"
TWO_ACCOUNTS = "two accounts of a kind that a person has once"
TOO_LARGE = "the cluster would be too large"
CONTRADICTION = "the records contradict each other"
EITHER = "it would fit another person as well"


class Component:
    """The profiles of a component and what may not be merged.

    members: profile keys. cohesion: bits per pair (smaller key, larger key); a pair that is not
    listed counts 0. separated: profile to {profile that it must not share a customer with:
    reason}. accounts: profile to the account types of which a person has one. cap: most members of
    a cluster, None when all pairs have been compared. bare: profiles that are a name only.
    """

    def __init__(self, members, cohesion, separated, accounts, *, cap=None, bare=frozenset()):
        self.cohesion = cohesion
        self.separated = separated
        self.accounts = accounts
        self.cap = cap
        self.bare = bare
        self.partners = {}
        self.cluster_of = {member: member for member in members}
        self.members_of = {member: [member] for member in members}

    def merge(self, links):
        """Merge along links (weight, profile, other profile, is_decided); returns the refused.

        Ties go to the smaller keys, so the outcome does not depend on the order of the links. A
        steward's link comes first and yields only to a steward's "not the same".
        """
        # Where a steward joins two that contradict each other, one of them is wrong, nobody knows
        # which: what contradicts one is not heard while the other agrees with it.
        self.partners = defaultdict(set)
        for _, one, other, is_decided in links:
            if is_decided and self._contradict(one, other):
                self.partners[one].add(other)
                self.partners[other].add(one)
        links, refused = self._without_either(links)
        for link in sorted(
            links, key=lambda link: (not link[3], -(link[0] or 0), link[1], link[2])
        ):
            _, one, other, is_decided = link
            left, right = self.cluster_of[one], self.cluster_of[other]
            if left == right:
                continue
            reason = self._objection(self.members_of[left], self.members_of[right], is_decided)
            if reason:
                refused.append((*link[:3], reason))
                continue
            if len(self.members_of[left]) < len(self.members_of[right]):
                left, right = right, left
            for member in self.members_of[right]:
                self.cluster_of[member] = left
            self.members_of[left] += self.members_of.pop(right)
        return refused

    def _without_either(self, links):
        """Links that are sure of one person; and those of a bare name that fits two, refused.

        Any other record that fits two takes the better side: it brings evidence of its own, and
        left to itself it is wrong more often (a million records: recall falls by .006, precision
        rises by .001).
        """
        if self.bare.isdisjoint(self.members_of):
            return links, []
        weights = defaultdict(dict)
        for weight, one, other, is_decided in links:
            weights[one][other] = weights[other][one] = math.inf if is_decided else weight
        doubtful = set()
        for one, other in self._contradictions():
            for third in weights[one].keys() & weights[other].keys() & self.bare:
                margin = weights[third][one] - weights[third][other]
                if margin < MARGIN_BITS and weights[third][one] < math.inf:
                    doubtful.add((third, one))
                if margin > -MARGIN_BITS and weights[third][other] < math.inf:
                    doubtful.add((third, other))
        sure, refused = [], []
        for link in links:
            is_doubtful = (link[1], link[2]) in doubtful or (link[2], link[1]) in doubtful
            if is_doubtful:
                refused.append((*link[:3], EITHER))
            else:
                sure.append(link)
        return sure, refused

    def _contradictions(self):
        pairs = {pair for pair, bits in self.cohesion.items() if bits < CONTRADICTION_BITS}
        for one in self.members_of:
            for other in self.separated.get(one, ()):
                if one < other and other in self.members_of:
                    pairs.add((one, other))
        return pairs

    def clusters(self):
        """Profile to cluster; a cluster is named by its smallest member."""
        return {member: min(members) for members in self.members_of.values() for member in members}

    def _bits(self, one, other):
        return self.cohesion.get((one, other) if one < other else (other, one), 0.0)

    def _contradict(self, one, other):
        return other in self.separated.get(one, {}) or self._bits(one, other) < 0

    def _is_excused(self, one, other):
        if not self.partners:
            return False
        pairs = [(partner, other) for partner in self.partners.get(one, ())]
        pairs += [(one, partner) for partner in self.partners.get(other, ())]
        return any(not self._contradict(*pair) for pair in pairs)

    def _objection(self, left, right, is_decided):
        # all reasons, not the first: which is first depends on the order of the members
        others = set(right)
        reasons = {
            reason
            for member in left
            for forbidden, reason in self.separated.get(member, {}).items()
            if forbidden in others
            and (reason == NOT_SAME or not self._is_excused(member, forbidden))
        }
        if NOT_SAME in reasons:
            return NOT_SAME
        if reasons and not is_decided:
            return min(reasons)
        if is_decided:
            return None
        held = {account for member in left for account in self.accounts.get(member, ())}
        if held and any(held & self.accounts.get(member, set()) for member in right):
            return TWO_ACCOUNTS
        if self.cap is not None:
            return TOO_LARGE if len(left) + len(right) > self.cap else None
        bits = [
            self._bits(one, other)
            for one in left
            for other in right
            if not self._is_excused(one, other)
        ]
        # an exact sum: a float's last bit must not depend on the order of the pairs
        return CONTRADICTION if math.fsum(bits) < CONTRADICTION_BITS * len(bits) else None


def decide(members, pairs, links, separations, accounts, cap, bare=()):  # noqa: PLR0917
    """Merge within every component; yields (component, profile, other, cluster, weight, reason).

    members: (component, profile). pairs: (component, profile, other, cohesion in bits). links:
    (component, weight in bits, profile, other, is_decided). separations: (profile, other, reason).
    accounts: (profile, account type). cap: a larger component has no pairs. bare: profiles that are
    a name and nothing else. A row without reason is a member; one with a reason is a merge that was
    refused.
    """
    members_of, links_of, cohesion_of = defaultdict(list), defaultdict(list), defaultdict(dict)
    for component, profile in members:
        members_of[component].append(profile)
    for component, one, other, bits in pairs:
        cohesion_of[component][one, other] = bits
    for component, *link in links:
        links_of[component].append(link)
    separated, accounts_of = defaultdict(dict), defaultdict(set)
    for one, other, reason in separations:
        # a steward's word is not overwritten by a weaker reason
        if separated[one].get(other) != NOT_SAME:
            separated[one][other] = separated[other][one] = reason
    for profile, account in accounts:
        accounts_of[profile].add(account)
    bare = frozenset(bare)
    for name, profiles in members_of.items():
        component = Component(
            profiles,
            cohesion_of.get(name, {}),
            separated,
            accounts_of,
            cap=cap if len(profiles) > cap else None,
            bare=bare,
        )
        for weight, one, other, reason in component.merge(links_of[name]):
            yield name, one, other, component.cluster_of[one], weight, reason
        for profile, cluster in component.clusters().items():
            yield name, profile, None, cluster, None, None


COLUMNS = {
    "component_key": "ubigint",
    "profile_key": "ubigint",
    "other_profile_key": "ubigint",
    "cluster_key": "ubigint",
    "weight": "float",
    "reason": "varchar",
}


def model(dbt, session):
    """dbt's entry: the inputs of `decide` from the contested components."""
    members = dbt.ref("int_components_contested")  # noqa: F841 - DuckDB reads it by its name
    compared = dbt.ref("int_pairs_contested")  # noqa: F841
    links = dbt.ref("int_profiles_linked")  # noqa: F841
    decisions = dbt.ref("int_decisions_applied")  # noqa: F841
    records = dbt.ref("int_records_normalised")  # noqa: F841
    one_per_person = dbt.ref("one_per_person")  # noqa: F841

    session.sql(
        f"""
        create or replace temp table contested as
        select * from members
        where
            is_certain
            or component_key in (
                select component_key from compared
                where separation is not null or cohesion < {CONTRADICTION_BITS}
            )
        """
    )
    pairs = session.sql(
        "select component_key, profile_key, other_profile_key, cohesion, separation from compared"
        " where component_key in (select component_key from contested)"
    ).fetchall()
    separations = session.sql(
        f"select profile_key, other_profile_key, '{NOT_SAME}' from decisions"
        " where verdict = 'not_same'"
    ).fetchall()
    members_contested = session.sql(
        "select component_key, profile_key, is_bare from contested"
    ).fetchall()
    decided = decide(
        members=[member[:2] for member in members_contested],
        pairs=[pair[:4] for pair in pairs],
        links=session.sql(
            "select contested.component_key, weight, links.profile_key, other_profile_key,"
            " is_decided from links inner join contested on links.profile_key ="
            " contested.profile_key"
        ).fetchall(),
        separations=[(*pair[1:3], pair[4]) for pair in pairs if pair[4]] + separations,
        accounts=session.sql(
            "select records.profile_key, records.source || ':' || records.record_type from records"
            " inner join one_per_person on records.source = one_per_person.source"
            " and records.record_type = one_per_person.record_type"
            " inner join contested on records.profile_key = contested.profile_key"
        ).fetchall(),
        cap=session.sql("select coalesce(max(component_cap), 0) from contested").fetchall()[0][0],
        bare=[profile for _, profile, is_bare in members_contested if is_bare],
    )
    # Through a file: Arrow and bound parameters import pandas, which takes longer than the rest.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "decided.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(decided)
        session.sql(
            f"create or replace temp table decided as from read_csv('{path}', header = false,"
            f" auto_detect = false, delim = ',', quote = '\"', columns = {COLUMNS})"
        )
    return session.table("decided")
