"""shop/customers, shop/orders, shop/order_lines: accounts, guests, baskets and refunds."""

from dataclasses import dataclass

import numpy as np

from seeds.generator.cards import Forms, Manners, fill_cards
from seeds.generator.delivery import Delivery, versions
from seeds.generator.people import People
from seeds.generator.products import FIRST_PRODUCT, PRODUCTS, local_cents
from seeds.generator.purchases import Purchases
from seeds.generator.records import Records, blanks, keep_records
from seeds.generator.world import DAY, Bools, Ints, World, pick, roll, spread, words

ACCOUNT_MANNERS = Manners(
    typo=0.02, no_mail=0.01, no_phone=0.25, landline=0.1, no_name=0.01, test=0.005
)
GUEST_MANNERS = Manners(typo=0.03, no_mail=0.03, no_phone=0.35, landline=0.1, work_mail=0.18)
DOUBLE_RATE = 0.07  # people with a forgotten first account
GUEST_RATE = 0.05  # orders of people who have an account and do not log in
CAMPAIGNS = (
    "spring-sale", "summer-sale", "black-friday", "xmas", "back-to-school", "welcome-10",
    "win-back", "newsletter",
)  # fmt: skip
LINE_COUNTS = (0.46, 0.28, 0.14, 0.08, 0.04)  # of 1, 2, .. 5 lines
FIRST_ACCOUNT, FIRST_ORDER = 10_001, 500_001


@dataclass(frozen=True)
class Accounts:
    """One entry per shop account; `customer_id` is FIRST_ACCOUNT + position."""

    person: Ints
    created: Ints


@dataclass(frozen=True)
class Orders:
    """One entry per order; `order_id` is FIRST_ORDER + position. account: position or -1."""

    person: Ints
    at: Ints
    account: Ints

    @property
    def is_guest(self) -> Bools:
        """Orders without an account."""
        return self.account < 0


def customers(world: World, people: People, delivery: Delivery) -> Accounts:
    """Write shop/customers; keep the table `shop_cards` for the orders."""
    rng = world.rng("shop/customers")
    holders = np.flatnonzero(people.has_shop)
    doubles = holders[rng.random(len(holders)) < DOUBLE_RATE]
    records = keep_records(world, "shop", people, np.concatenate([holders, doubles]))
    fill_cards(world, "shop_cards", records.forms, ACCOUNT_MANNERS)
    count = len(records.record)
    world.show(
        "shop_extra",
        {
            "row": np.arange(count),
            "created": records.created,
            "late_die": roll(rng, count),
            "_blank": blanks(rng, count, 11),
        },
    )
    world.make("shop_rows", _CUSTOMERS)
    world.hide("shop_extra")
    delivery.deliver(world, "shop/customers", "select * from shop_rows")
    world.know(
        """
        select distinct 'shop:' || customer_id, case when is_test then 'T' || customer_id
            else 'P' || person end
        from shop_rows
        """
    )
    world.drop("shop_rows")
    return _accounts_of(records)


def _accounts_of(records: Records) -> Accounts:
    return Accounts(records.person[records.is_first], records.created[records.is_first])


def place_orders(world: World, accounts: Accounts, bought: Purchases) -> Orders:
    """Give every online purchase to the newest account that its person has by then, or to none."""
    rng = world.rng("shop/orders placed")
    online = bought.where(bought.is_online)
    # (person, moment) as one sortable number
    width = world.end + 1
    keys = accounts.person * width + accounts.created
    by_key = np.argsort(keys)
    found = np.searchsorted(keys[by_key], online.person * width + online.at, side="right") - 1
    candidate = np.append(by_key, -1)[found]  # -1, none before, reads the last entry
    fits = np.append(accounts.person, -1)[candidate] == online.person
    fits &= rng.random(len(fits)) >= GUEST_RATE
    return Orders(online.person, online.at, np.where(fits, candidate, -1))


@dataclass(frozen=True)
class _Lines:
    order: Ints
    number: Ints
    product: Ints
    quantity: Ints
    cents: Ints  # of one piece, in the order's currency


def orders(world: World, people: People, placed: Orders, delivery: Delivery) -> None:
    """Write shop/order_lines and shop/orders; an order changes as it ships or is paid back."""
    rng = world.rng("shop/orders")
    lines = _fill_baskets(rng, people, placed)
    _write_lines(world, placed, lines, delivery)
    count = len(placed.person)
    sums = np.bincount(lines.order, lines.quantity * lines.cents, count).astype(np.int64)
    discount = np.where(rng.random(count) < 0.18, sums * pick(rng, [0, 3, 2, 1], count) // 20, 0)
    total = np.maximum(sums - discount, 0)
    refund = _refunds(rng, total, 0.07)
    is_cancelled = (refund == 0) & (rng.random(count) < 0.03)
    settled = placed.at + DAY + (rng.exponential(3, count) * DAY).astype(np.int64)
    returned = settled + 3 * DAY + (rng.exponential(9, count) * DAY).astype(np.int64)
    has_refund = (refund > 0) & (returned < world.end)
    record = np.arange(count)
    settled_ones, refunded_ones = record[settled < world.end], record[has_refund]
    # 0 placed, 1 shipped or cancelled, 2 refunded
    order_no = np.concatenate([record, settled_ones, refunded_ones])
    step = np.repeat([0, 1, 2], [count, len(settled_ones), len(refunded_ones)])
    updated = np.concatenate([placed.at, settled[settled_ones], returned[refunded_ones]])
    in_order = np.lexsort((step, order_no))
    order_no, step, updated = order_no[in_order], step[in_order], updated[in_order]
    _order_cards(world, placed)
    world.show(
        "order_steps",
        {
            "_row": np.arange(len(order_no)),
            "record": order_no,
            "person": placed.person[order_no],
            "step": step,
            "updated": updated,
            "ordered": placed.at[order_no],
            "account": placed.account[order_no],
            "total": total[order_no],
            "discount": discount[order_no],
            "refund": np.where(step == 2, refund[order_no], 0),
            "is_cancelled": is_cancelled[order_no],
            "campaign": words(list(CAMPAIGNS), _campaigns(rng, count)[order_no]),
            "late_die": roll(rng, len(order_no)),
            "_blank": blanks(rng, len(order_no), 12),
        },
    )
    world.make("order_rows", _ORDERS)
    world.hide("order_steps")
    delivery.deliver(world, "shop/orders", "select * from order_rows")
    world.know(
        """
        select distinct 'shop:order:' || order_id, 'P' || person
        from order_rows
        where customer_id is null
        """
    )
    world.drop("order_rows")


def _fill_baskets(rng: np.random.Generator, people: People, placed: Orders) -> _Lines:
    counts = 1 + pick(rng, LINE_COUNTS, len(placed.person))
    order, position = spread(counts)
    popularity = (np.arange(len(PRODUCTS)) % 11 + 2.0) ** -0.7
    product = pick(rng, popularity, len(order))
    quantity = 1 + pick(rng, [0.84, 0.12, 0.04], len(order))
    # an exchange: the old piece goes back with the new order
    quantity = np.where((position == 1) & (rng.random(len(order)) < 0.01), -1, quantity)
    cents = local_cents(product, people.country[placed.person[order]])
    first = np.cumsum(counts) - counts
    quantity = np.where((quantity < 0) & (cents > cents[first[order]]), 1, quantity)
    return _Lines(order, position + 1, product, quantity, cents)


def _refunds(rng: np.random.Generator, total: Ints, rate: float) -> Ints:
    """Hundredths paid back: nothing for most, everything for half of the others, else a part."""
    is_full = rng.random(len(total)) < 0.5
    part = (total * rng.uniform(0.1, 0.9, len(total))).astype(np.int64)
    return np.where(rng.random(len(total)) < rate, np.where(is_full, total, part), 0)


def _campaigns(rng: np.random.Generator, count: int) -> Ints:
    return np.where(rng.random(count) < 0.25, pick(rng, np.ones(len(CAMPAIGNS)), count), -1)


def _order_cards(world: World, placed: Orders) -> None:
    """The table `order_cards`: what guests typed; `record` is the position of the order."""
    guests = np.flatnonzero(placed.is_guest)
    forms = Forms.once(placed.person[guests], placed.at[guests])
    fill_cards(world, "guest_cards", forms, GUEST_MANNERS)
    world.show("guest_orders", {"row": np.arange(len(guests)), "order_no": guests})
    world.make(
        "order_cards",
        "select order_no, email, phone from guest_cards inner join guest_orders using (row)",
    )
    world.hide("guest_orders")
    world.drop("guest_cards")


def _write_lines(world: World, placed: Orders, lines: _Lines, delivery: Delivery) -> None:
    rng = world.rng("shop/order_lines")
    count = len(lines.order)
    names, categories, _ = zip(*PRODUCTS, strict=True)
    world.show(
        "line_rows",
        {
            "_row": np.arange(count),
            "order_no": lines.order,
            "line_number": lines.number,
            "product_no": lines.product,
            "product_name": words(list(names), lines.product),
            "category": words(list(categories), lines.product),
            "quantity": lines.quantity,
            "cents": lines.cents,
            "happened": placed.at[lines.order],
            "late_die": roll(rng, count),
            "_blank": blanks(rng, count, 7),
        },
    )
    delivery.deliver(world, "shop/order_lines", _LINES, is_sorted=True)
    world.hide("line_rows")


_CUSTOMERS = f"""
    with rows_of_accounts as (
        select *, row as _row, arrival(happened, late_die) as arrives
        from shop_cards
        inner join shop_extra using (row)
    )

    select
        cast({FIRST_ACCOUNT} + record as varchar) as customer_id,
        first_name, last_name, email, phone, street, city, postcode, country,
        iso_utc(created) as created_at,
        iso_utc(happened) as updated_at,
        person,
        is_test,
        _row,
        arrives as _from,
        {versions("record", "arrives")} as _until,
        _blank
    from rows_of_accounts
    order by row
"""

_ORDERS = f"""
    with account_now as (
        select record as account, email, phone
        from shop_cards
        qualify row_number() over (partition by record order by row desc) = 1
    ),

    rows_of_orders as (
        select
            order_steps.*,
            people.currency,
            people.winter,
            if(account >= 0, account_now.email, order_cards.email) as email,
            if(account >= 0, account_now.phone, order_cards.phone) as phone,
            arrival(updated, late_die) as arrives
        from order_steps
        inner join people using (person)
        left join account_now using (account)
        left join order_cards on order_steps.record = order_cards.order_no
    )

    select
        cast({FIRST_ORDER} + record as varchar) as order_id,
        case when account >= 0 then cast({FIRST_ACCOUNT} + account as varchar) end as customer_id,
        email, phone,
        iso_local(ordered, winter) as ordered_at,
        case
            when step = 0 then 'placed'
            when is_cancelled then 'cancelled'
            when step = 1 then 'completed'
            when refund = total then 'refunded'
            else 'partially_refunded'
        end as status,
        currency as currency_code,
        cast(total / 100 as decimal(12, 2)) as total_amount,
        cast(discount / 100 as decimal(12, 2)) as discount_amount,
        case when refund > 0 then cast(refund / 100 as decimal(12, 2)) end as refunded_amount,
        campaign,
        iso_utc(updated) as updated_at,
        person,
        _row,
        arrives as _from,
        {versions("record", "arrives")} as _until,
        _blank
    from rows_of_orders
    order by _row
"""

_LINES = f"""
    select
        cast({FIRST_ORDER} + order_no as varchar) as order_id,
        line_number,
        'SKU-' || ({FIRST_PRODUCT} + product_no) as product_id,
        product_name, category, quantity,
        cast(cents / 100 as decimal(12, 2)) as unit_price,
        _row, arrival(happened, late_die) as _from, never() as _until, _blank
    from line_rows
"""
