"""web/events: sessions on devices; some log in, some share a device, most stay anonymous."""

from dataclasses import dataclass

import numpy as np

from seeds.generator.delivery import Delivery
from seeds.generator.people import People
from seeds.generator.products import PRODUCTS, product_words
from seeds.generator.purchases import daytime
from seeds.generator.records import blanks
from seeds.generator.shop import CAMPAIGNS, FIRST_ACCOUNT, FIRST_ORDER, Accounts, Orders
from seeds.generator.world import NEVER, Bools, Ints, World, pick, roll, spread, words

EVENT_TYPES = (
    "page_view", "search", "product_view", "add_to_cart", "checkout", "login", "order",
)  # fmt: skip
VIEW, SEARCH, PRODUCT, CART, CHECKOUT, LOGIN, ORDER = range(7)
BROWSING = (  # (how often, what happens); carts of these are abandoned
    (0.24, (VIEW,)),
    (0.17, (VIEW, VIEW)),
    (0.2, (VIEW, PRODUCT)),
    (0.13, (VIEW, SEARCH, PRODUCT)),
    (0.09, (VIEW, PRODUCT, PRODUCT, VIEW)),
    (0.09, (VIEW, SEARCH, PRODUCT, PRODUCT, CART)),
    (0.05, (VIEW, PRODUCT, CART, CHECKOUT)),
    (0.03, (PRODUCT, PRODUCT, PRODUCT, PRODUCT, VIEW, PRODUCT)),
)
ORDERING = (
    (0.4, (VIEW, PRODUCT, CART, CHECKOUT, ORDER)),
    (0.35, (PRODUCT, CART, CHECKOUT, ORDER)),
    (0.25, (VIEW, SEARCH, PRODUCT, PRODUCT, CART, CART, CHECKOUT, ORDER)),
)
TRACKED_RATE = 0.7  # orders whose session the tracker saw
LOGIN_RATE = 0.65  # devices of account holders that log in at some time
SHARED_RATE = 0.25  # devices of account holders whose housemate logs in there too
LANDINGS = (  # (share, utm_source, utm_medium, referrer)
    (0.42, "", "", ""),
    (0.2, "", "", "https://www.google.com/"),
    (0.12, "google", "cpc", "https://www.google.com/"),
    (0.1, "newsletter", "email", ""),
    (0.08, "facebook", "paid_social", "https://www.facebook.com/"),
    (0.05, "instagram", "paid_social", "https://www.instagram.com/"),
    (0.03, "partner-blog", "affiliate", "https://blog.example/"),
)
SITE = "https://shop.example"
SEARCHES = ("shoes", "jacket", "lamp", "gift", "tent", "headphones", "perfume", "garden chair")


@dataclass(frozen=True)
class _Devices:
    """One entry per browser, sorted by person. account: of its owner, or -1."""

    person: Ints
    account: Ints


@dataclass(frozen=True)
class _Sessions:
    """One entry per visit, sorted by device and time. start: seconds; order: position or -1."""

    device: Ints
    start: Ints
    order: Ints


@dataclass(frozen=True)
class _Logins:
    """One entry per visit: the account it ends with (-1: none), and whether a login is in it."""

    account: Ints
    happens: Bools


def events(
    world: World, people: People, accounts: Accounts, placed: Orders, delivery: Delivery
) -> None:
    """Write web/events and the truth of every visitor; a shared browser belongs to its owner."""
    rng = world.rng("web")
    devices = _devices(rng, people, accounts)
    visits = _visits(rng, world, people, devices, placed)
    logins = _logins(rng, people, accounts, devices, visits=visits, placed=placed)
    _write_events(world, visits, logins, delivery)
    world.show(
        "visitors",
        {"device": np.unique(visits.device), "person": devices.person[np.unique(visits.device)]},
    )
    world.know(f"select 'web:' || {_ANONYMOUS_ID}, 'P' || person from visitors")
    world.hide("visitors")


def _devices(rng: np.random.Generator, people: People, accounts: Accounts) -> _Devices:
    count = len(people)
    newest = np.full(count, -1)
    newest[accounts.person] = np.arange(len(accounts.person))
    visits = people.is_online | (rng.random(count) < 0.35)
    person, _ = spread(np.where(visits, 1 + rng.binomial(2, 0.22, count), 0))
    return _Devices(person, newest[person])


def _visits(
    rng: np.random.Generator,
    world: World,
    people: People,
    devices: _Devices,
    placed: Orders,
) -> _Sessions:
    """Visits to look around, and one for every order that the tracker saw."""
    device, _ = spread(rng.poisson(0.6 + 0.12 * people.pace[devices.person]))
    person = devices.person[device]
    length = people.gone[person] - people.first_seen[person]
    start = people.first_seen[person] + (rng.random(len(device)) * length).astype(np.int64)
    start = np.minimum(daytime(rng, world, start), world.end - 3600)
    if world.has_weekdays:
        comes = rng.random(len(start)) < world.rhythm(start)
        device, start = device[comes], start[comes]
    first = np.searchsorted(devices.person, placed.person)
    owned = np.searchsorted(devices.person, placed.person, side="right") - first
    tracked = np.flatnonzero((owned > 0) & (rng.random(len(owned)) < TRACKED_RATE))
    used = first[tracked] + (rng.random(len(tracked)) * owned[tracked]).astype(np.int64)
    all_devices = np.concatenate([device, used])
    all_starts = np.concatenate([start, placed.at[tracked]])
    all_orders = np.concatenate([np.full(len(device), -1), tracked])
    in_order = np.lexsort((all_orders, all_starts, all_devices))
    return _Sessions(all_devices[in_order], all_starts[in_order], all_orders[in_order])


def _logins(
    rng: np.random.Generator,
    people: People,
    accounts: Accounts,
    devices: _Devices,
    *,
    visits: _Sessions,
    placed: Orders,
) -> _Logins:
    """Decide when which account logs in where.

    A device logs in at a random visit, at the latest for the first order on its account, and stays
    logged in; on a shared one a housemate logs in later and stays instead. An order on account
    always carries its own account.
    """
    count = len(devices.person)
    # -1, no order or no account, reads the last entry
    order_account = np.append(placed.account, -1)[visits.order]
    opened_at = np.append(accounts.created, NEVER)
    owner = devices.account[visits.device]
    allowed = (owner >= 0) & (visits.start >= opened_at[owner])
    tried = allowed & (rng.random(len(owner)) < 0.4)
    tried &= (rng.random(count) < LOGIN_RATE)[visits.device]
    login_at = _first_start(count, visits, tried | (order_account >= 0))
    housemate = _housemates(people, accounts)[devices.person]
    shared = (housemate >= 0) & (rng.random(count) < SHARED_RATE)
    mate = housemate[visits.device]
    switch_at = _first_start(
        count,
        visits,
        shared[visits.device]
        & (visits.start > login_at[visits.device])
        & (visits.start >= opened_at[mate])
        & (rng.random(len(mate)) < 0.4),
    )
    account = np.where(visits.start >= login_at[visits.device], owner, -1)
    account = np.where(visits.start >= switch_at[visits.device], mate, account)
    account = np.where(order_account >= 0, order_account, account)
    before = np.roll(account, 1)
    before[np.diff(visits.device, prepend=-1) != 0] = -1
    return _Logins(account, (account >= 0) & (account != before))


def _first_start(count: int, visits: _Sessions, chosen: Bools) -> Ints:
    """Per device the start of its first chosen visit, or NEVER."""
    earliest = np.full(count, NEVER)
    np.minimum.at(earliest, visits.device[chosen], visits.start[chosen])
    return earliest


def _housemates(people: People, accounts: Accounts) -> Ints:
    """For each person an account of somebody else in the household, or -1."""
    mate = np.full(len(people), -1)
    by_home = np.lexsort((accounts.person, people.household[accounts.person]))
    person = accounts.person[by_home]
    this, other = person[:-1], person[1:]
    fits = (people.household[this] == people.household[other]) & (this != other)
    mate[this[fits]] = by_home[1:][fits]
    return mate


def _write_events(world: World, visits: _Sessions, logins: _Logins, delivery: Delivery) -> None:
    rng = world.rng("web/events")
    scripts, lengths = _scripts()
    script = np.where(
        visits.order >= 0,
        len(BROWSING) + pick(rng, [share for share, _ in ORDERING], len(visits.order)),
        pick(rng, [share for share, _ in BROWSING], len(visits.order)),
    ) + np.where(logins.happens, len(BROWSING) + len(ORDERING), 0)
    visit, position = spread(lengths[script])
    kind = scripts[script[visit], position]
    pause = rng.integers(8, 120, len(script))
    back = np.where(visits.order >= 0, lengths[script] - 1, 0)  # an order ends its visit
    at = visits.start[visit] + pause[visit] * (position - back[visit])
    at = np.maximum(at, world.start)
    by_time = np.lexsort((position, visit, at))
    visit, position, kind, at = visit[by_time], position[by_time], kind[by_time], at[by_time]
    # a visit is known from its login on, or from its start when the login was in an earlier one
    login_position = np.where(logins.happens, 1, 0)
    known = (logins.account[visit] >= 0) & (position >= login_position[visit])
    count = len(visit)
    product = np.where(np.isin(kind, (PRODUCT, CART)), pick(rng, np.ones(len(PRODUCTS)), count), -1)
    landing = np.where(position == 0, pick(rng, [s for s, *_ in LANDINGS], count), -1)
    url = _page(rng, kind, product)
    referrers = [referrer for *_, referrer in LANDINGS]
    is_email = landing == 3
    has_campaign = is_email | (np.isin(landing, (2, 4, 5)) & (rng.random(count) < 0.6))
    world.show(
        "event_rows",
        {
            "_row": np.arange(count),
            "device": visits.device[visit],
            "account": np.where(known, logins.account[visit], -1),
            "visit": visit,
            "event_type": words(list(EVENT_TYPES), kind),
            "page_url": words(_PAGES, url),
            "referrer": words([*referrers, f"{SITE}/"], np.where(landing < 0, 7, landing)),
            "utm_source": words([s for _, s, _, _ in LANDINGS], landing),
            "utm_medium": words([m for _, _, m, _ in LANDINGS], landing),
            "utm_campaign": words(
                list(CAMPAIGNS),
                np.where(has_campaign, pick(rng, np.ones(len(CAMPAIGNS)), count), -1),
            ),
            "product_id": product_words(product),
            "order_no": np.where(kind == ORDER, visits.order[visit], -1),
            "happened": at,
            "late_die": roll(rng, count),
            "_blank": blanks(rng, count, 13),
        },
    )
    delivery.deliver(world, "web/events", _EVENTS, is_sorted=True)
    world.hide("event_rows")


def _scripts() -> tuple[Ints, Ints]:
    """All scripts without and then with a login after the first step: (padded steps, lengths)."""
    plain = [steps for _, steps in (*BROWSING, *ORDERING)]
    with_login = [(*steps[:1], LOGIN, *steps[1:]) for steps in plain]
    lengths = np.array([len(steps) for steps in (*plain, *with_login)])
    padded = np.full((len(lengths), int(lengths.max())), -1)
    for row, steps in enumerate((*plain, *with_login)):
        padded[row, : len(steps)] = steps
    return padded, lengths


_PAGES = [
    f"{SITE}/", f"{SITE}/new", f"{SITE}/sale", f"{SITE}/about", f"{SITE}/cart",
    f"{SITE}/checkout", f"{SITE}/login", f"{SITE}/order/thank-you",
    *(f"{SITE}/search?q={word.replace(' ', '+')}" for word in SEARCHES),
    *(f"{SITE}/p/{number}" for number in range(len(PRODUCTS))),
]  # fmt: skip


def _page(rng: np.random.Generator, kind: Ints, product: Ints) -> Ints:
    """Position in `_PAGES` of the page that an event happened on."""
    count = len(kind)
    browsed = pick(rng, [0.5, 0.2, 0.2, 0.1], count)
    searched = 8 + pick(rng, np.ones(len(SEARCHES)), count)
    fixed = np.array([0, 0, 0, 4, 5, 6, 7])[kind]
    page = np.where(kind == VIEW, browsed, np.where(kind == SEARCH, searched, fixed))
    return np.where(kind == PRODUCT, 8 + len(SEARCHES) + product, page)


# an invertible scramble of the number, so that ids tell nothing about their order
_ANONYMOUS_ID = "printf('%08x', (device * 2654435761 + 40503) % 4294967296)"

_EVENTS = f"""
    select
        'e' || printf('%08x', (_row * 2246822519 + 101) % 4294967296) as event_id,
        {_ANONYMOUS_ID} as anonymous_id,
        case when account >= 0 then cast({FIRST_ACCOUNT} + account as varchar) end as user_id,
        's' || visit as session_id,
        event_type, page_url,
        nullif(referrer, '') as referrer,
        nullif(utm_source, '') as utm_source,
        nullif(utm_medium, '') as utm_medium,
        utm_campaign, product_id,
        case when order_no >= 0 then cast({FIRST_ORDER} + order_no as varchar) end as order_id,
        iso_utc(happened) as occurred_at,
        _row, arrival(happened, late_die) as _from, never() as _until, _blank
    from event_rows
"""
