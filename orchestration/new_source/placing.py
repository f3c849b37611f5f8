"""What a new feed is in each room of the house, written where the room keeps it.

All texts are made before the first file is written, so a house that has been rebuilt, where a place
is no longer found, is left as it is.
"""

import csv
import io
import json
from collections.abc import Callable, Iterable
from pathlib import Path

from orchestration.landing import feeds
from orchestration.landing.feed_policies import ALLOWED, FeedPolicy
from orchestration.landing.feeds import Column, ColumnType, Pii
from orchestration.new_source.answers import NewFeed
from orchestration.new_source.draft import PERSON_FIELDS, RECORD, NewSourceError, thing
from orchestration.settings import PROJECT_ROOT

_CASTS = {
    ColumnType.INTEGER: "whole_number",
    ColumnType.DECIMAL: "amount",
    ColumnType.BOOLEAN: "yes_no",
    ColumnType.DATE: "calendar_date",
    ColumnType.TIMESTAMP: "utc",
}
_ZONED = ", ISO 8601 with zone."
_KIND = {"email": "EMAIL", "phone": "PHONE", "national_id": "NATIONAL_ID"}


def place(new: NewFeed, root: Path = PROJECT_ROOT) -> list[Path]:
    """Write a feed into every room, and return the files that were written, relative to root.

    Raises NewSourceError when a file of its own is there already or a place is not found.
    """
    name = f"stg_{new.feed.table}"
    room = f"dbt_project/models/staging/{new.feed.source}"
    board = f"{room}/_{new.feed.source}.yml"
    texts = {
        "orchestration/landing/feeds.py": _before("    ),\n)\n", _feed(new), after="    ),\n"),
        "orchestration/privacy/identifiers.py": _before(
            '    }\n)\n"""By name of the feed;', _rule(new)
        ),
        "seeds/reference/feed_policies.csv": _at_end(_policy(new)),
        "seeds/reference/retention_policy.csv": _at_end(_retention(new)),
        "expectations/landing.yml": _at_end(_landing_suite(new)),
        "expectations/staging.yml": _before(
            "- table: reference.survivorship_rules\n", _staging_suite(new)
        ),
    }
    if new.are_people:
        texts["dbt_project/models/identity/int_records_unioned.sql"] = lambda text: _before(
            "purchases_by_record as (\n", _import(new)
        )(_before(")\n\nselect * from unioned\n", _branch(new))(text))
        texts["dbt_project/models/identity/_identity.yml"] = _before(
            '    expect:\n      rows:\n        - {source_record_id: "support:1", first_name: Jan',
            f"      - {{input: ref('{name}'), rows: []}}\n",
        )
    if (root / board).exists():
        texts[board] = lambda text: _before("\nmodels:\n", _table(new))(text) + _model(new)
    written = {path: _changed(root / path, change) for path, change in texts.items()}
    if board not in written:
        written[board] = _source(new) + "models:" + _model(new)
    model = f"{room}/{name}.sql"
    if (root / model).exists():
        raise NewSourceError(f"{model} is there already; remove it, or edit it by hand.")
    written[model] = _staging(new)
    for path, text in written.items():
        try:
            (root / path).parent.mkdir(exist_ok=True)
            (root / path).write_text(text, encoding="utf-8")
        except OSError as error:
            raise NewSourceError(
                f"{path} cannot be written: {error.strerror}. `git status` shows what was."
            ) from error
    return [Path(path) for path in sorted(written)]


def _changed(path: Path, change: Callable[[str], str]) -> str:
    try:
        return change(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise NewSourceError(f"{path} cannot be read: {error.strerror}.") from error
    except LookupError as error:
        raise NewSourceError(
            f"{path} has no line {str(error.args[0]).strip()!r} (any more), before which the feed"
            " belongs; nothing was written. Add the feed by hand, as others are there."
        ) from error


def _before(mark: str, addition: str, after: str = "") -> Callable[[str], str]:
    """Return what adds a text before a mark. after: how the mark begins that stays in front."""

    def change(text: str) -> str:
        at = text.rfind(mark)
        if at < 0:
            raise LookupError(mark)
        at += len(after)
        return text[:at] + addition + text[at:]

    return change


def _at_end(addition: str) -> Callable[[str], str]:
    return lambda text: text.rstrip("\n") + "\n" + addition


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


def _feed(new: NewFeed) -> str:
    feed = new.feed
    cursor = _text(feed.cursor) if feed.cursor else "None"
    keys = "".join(f"{_text(key)}, " for key in feed.key).strip()
    keys = keys if len(feed.key) == 1 else keys.rstrip(",")
    columns = "".join(_column(column) for column in feed.columns)
    return f"""    Feed(
        {_text(feed.source)},
        {_text(feed.entity)},
        {_text(feed.description)},
        owner={_text(feed.owner)},
        key=({keys}),
        cursor={cursor},
        columns=(
{columns}        ),
    ),
"""


def _column(column: Column) -> str:
    for name, known in vars(feeds).items():
        if isinstance(known, Column) and known == column:
            return f"            {name},\n"
    purposes = ", ".join(map(_text, column.purposes))
    type_ = f"                ColumnType.{column.type.name},\n" if column.type != "text" else ""
    return f"""            Column(
                {_text(column.name)},
                {_text(column.description)},
{type_}                pii=Pii.{column.pii.name},
                purposes=({purposes}{"," if len(column.purposes) == 1 else ""}),
            ),
"""


def _rule(new: NewFeed) -> str:
    kinds = {RECORD: _text(f"{new.feed.source}:"), **_KIND}
    identifiers = "".join(
        f"                {_text(column)}: {kinds[says]},\n"
        for column, says in sorted(new.says.items(), key=lambda item: item[1] != RECORD)
        if says in kinds
    )
    free_texts = [column.name for column in new.feed.columns if column.pii is Pii.SENSITIVE]
    mentions = "".join(f"                {_text(name)},\n" for name in free_texts)
    if len(free_texts) == 1:
        mentions = f"            mentions=({_text(free_texts[0])},),\n"
    elif free_texts:
        mentions = f"            mentions=(\n{mentions}            ),\n"
    return (
        f"        {_text(new.feed.name)}: FeedRule(\n"
        + (
            f"            {{\n{identifiers}            }},\n"
            if identifiers
            else "            {},\n"
        )
        + mentions
        + "        ),\n"
    )


def _policy(new: NewFeed) -> str:
    actions = [str(getattr(FeedPolicy(), column)) for column in ALLOWED]
    return ",".join([new.feed.name, *actions, "0.01"]) + "\n"


def _retention(new: NewFeed) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(
        [
            new.feed.source,
            new.feed.entity,
            " ".join(new.dated_by),
            new.keep_for,
            "delete" if new.keep_for else "keep",
            new.keep_because,
        ]
    )
    return line.getvalue()


def _staged_name(new: NewFeed, column: Column) -> str:
    says = new.says.get(column.name, RECORD)
    return column.name if says == RECORD else says


def _record(new: NewFeed) -> str | None:
    return next((column for column, says in new.says.items() if says == RECORD), None)


def _staging(new: NewFeed) -> str:
    feed, one = new.feed, thing(new.feed.entity)
    key = ", ".join(feed.key)
    cursor = f", cursor='{feed.cursor}'" if feed.cursor else ""
    record = _record(new)
    lines = [f"'{feed.source}:' || {record} as source_record_id"] if record else []
    for column in feed.columns:
        staged = _staged_name(new, column)
        cast = _CASTS.get(column.type)
        value = f"{{{{ {cast}('{column.name}') }}}}" if cast else column.name
        lines.append(value if value == staged else f"{value} as {staged}")
    lines += ["_loaded_at", "_source_file", "_row_hash"]
    listed = ",\n".join(f"        {line}" for line in lines)
    return f"""-- Grain: one row per {feed.source} {one}.
-- Values as typed; identity compares and cleans them.
with newest_versions as (
    {{{{ newest_versions(source('{feed.source}', '{feed.entity}'), key='{key}'{cursor}) }}}}
),

typed as (
    select
{listed}
    from newest_versions
)

select * from typed
"""


def _source(new: NewFeed) -> str:
    return f"""sources:
  - name: {new.feed.source}
    description: "Exports of {new.feed.source}, exactly as received."
    schema: raw
    loader: landing
    config:
      loaded_at_field: _loaded_at
      freshness: {{warn_after: {{count: 2, period: day}}}}
      meta: {{owner: data-platform}}
    tables:
{_table(new)}
"""


def _table(new: NewFeed) -> str:
    return f"""      - name: {new.feed.entity}
        identifier: {new.feed.table}
        description: {_text(new.feed.description)}
"""


def _model(new: NewFeed) -> str:
    feed = new.feed
    purposes = next(column.purposes for column in feed.columns if column.name in feed.key)
    grain = feed.key[0] if len(feed.key) == 1 else f"[{', '.join(feed.key)}]"
    columns = []
    if _record(new):
        tests = "        data_tests: [unique, not_null]\n" if new.are_people else ""
        about = "The record of a person." if new.are_people else "The record that it hangs on."
        columns.append(f"      - name: source_record_id\n        description: {about}\n{tests}")
    for column in feed.columns:
        says = _text(column.description.replace(_ZONED, ", UTC."))
        own = f"        config: {{meta: {{purpose: [{', '.join(column.purposes)}]}}}}\n"
        is_key = feed.key == (column.name,)
        columns.append(
            f"      - name: {_staged_name(new, column)}\n        description: {says}\n"
            + (own if column.purposes != purposes else "")
            + ("        data_tests: [unique, not_null]\n" if is_key else "")
        )
    description = _text(f"{feed.description} Newest version of each.")
    return f"""
  - name: stg_{feed.table}
    description: {description}
    config:
      meta: {{grain: {grain}, owner: data-platform, purpose: [{", ".join(purposes)}]}}
    columns:
{"".join(columns)}"""


def _landing_suite(new: NewFeed) -> str:
    name = new.feed.name
    head = f"\n- table: raw.{new.feed.table}\n  row_floor: when_landed {name}\n  expectations:\n"
    fits = {
        column.name: fit
        for column in new.feed.columns
        if (fit := _fit(column, new.says.get(column.name, "")))
    }
    if not fits:
        return head + "".join(
            f"""    - expect: expect_column_values_to_not_be_null
      column: {key}
      severity: critical
      because: A row without its key belongs to no record.
"""
            for key in new.feed.key
        )
    conditions = "".join(f"        {column}: {fit}\n" for column, fit in fits.items())
    return f"""{head}    - expect: expect_new_values_to_fit
      values:
{conditions}      mostly: 0.5
      severity: critical
      because: Half of the values are another column's, a default, or of another format.
      fix: Look at the file; ask the source whether its export has changed.
"""


def _fit(column: Column, says: str) -> str:
    """SQL that holds for nearly every value of a column; empty where nothing is sure."""
    name = column.name
    if column.type is ColumnType.TIMESTAMP:
        return (
            f">\n          try_cast({name} as timestamptz) between '1990-01-01 00:00:00Z' and"
            " timestamptz\n          '{as_of_end}Z' + interval 1 day"
        )
    return {
        "email": f"len({name}) - len(replace({name}, '@', '')) = 1",
        "phone": f"len(regexp_replace({name}, '[^0-9]', '', 'g')) between 5 and 20",
        "first_name": f"not regexp_matches({name}, '[0-9@]')",
        "last_name": f"not regexp_matches({name}, '[0-9@]')",
        "country": f"not regexp_matches({name}, '[0-9@]')",
        "birth_date": f"{name} > '1900-01-01' and {name} < '{{as_of_date}}'",
        "postcode": f"regexp_matches({name}, '[0-9]') and len({name}) <= 12",
    }.get(says, "")


def _staging_suite(new: NewFeed) -> str:
    feed = new.feed
    parts = [
        f"""- table: staging.stg_{feed.table}
  row_floor: when_landed {feed.name}
  expectations:
    - expect: expect_key_to_be_unique
      column_list: [{", ".join(feed.key)}]
      severity: critical
      because: Staging keeps one version of each record.
      fix: Look at how the model picks the newest version.
    - expect: expect_landed_records_to_be_staged_once
      feed: {feed.name}
      severity: critical
      because: Every landed record is staged.
      fix: Compare the keys of the two tables; the model drops some.
"""
    ]
    for column in feed.columns:
        bounds = {
            ColumnType.TIMESTAMP: ('"1990-01-01T00:00:00"', "as_of_end"),
            ColumnType.DATE: ('"1900-01-01"', "as_of_date"),
        }.get(column.type)
        if bounds:
            parts.append(
                f"""    - expect: expect_column_values_to_be_between
      column: {_staged_name(new, column)}
      min_value: {bounds[0]}
      max_value: {{$PARAMETER: {bounds[1]}}}
      severity: warning
      because: A time before the business or after the as-of day is a wrong clock or a wrong format.
"""
            )
    return "".join(parts) + "\n"


def _relation(new: NewFeed) -> str:
    return new.feed.table.replace("__", "_")


def _import(new: NewFeed) -> str:
    return f"""{_relation(new)} as (
    select * from {{{{ ref('stg_{new.feed.table}') }}}}
),

"""


def _branch(new: NewFeed) -> str:
    """The feed's part of `int_records_unioned`: what it does not say stays null there."""
    said = set(new.says.values())
    fields = [field for field in PERSON_FIELDS if field in said]
    last = new.feed.cursor or next(iter(_times(new)), "null::timestamp")
    first = next((time for time in _times(new) if time != new.feed.cursor), last)
    lines = [
        "source_record_id",
        f"'{new.feed.source}' as source",
        f"'{thing(new.feed.entity).replace(' ', '_')}' as record_type",
        *fields,
        f"{first} as first_seen_at",
        f"{last} as last_seen_at",
        last if last == "updated_at" else f"{last} as updated_at",
    ]
    listed = ",\n".join(f"        {line}" for line in lines)
    return f"""
    union all by name

    select
{listed}
    from {_relation(new)}
"""


def _times(new: NewFeed) -> Iterable[str]:
    times = [column.name for column in new.feed.columns if column.type is ColumnType.TIMESTAMP]
    return [*(name for name in new.dated_by if name in times), *times]
