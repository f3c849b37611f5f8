"""What is wrong with classes, purposes and roles: `python -m orchestration.governance.lint`.

Part of `make lint`. dbt's parse is kept in `dbt_project/target`, so a second lint takes 5 s.
"""

import difflib
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from orchestration.governance.models import Model, read_models, source_feeds
from orchestration.governance.register import Register, RegisterError, read_register
from orchestration.landing.feeds import FEEDS, Feed, Pii
from orchestration.release import ReleaseError
from orchestration.release.roles import read_roles, unknown_names
from orchestration.settings import PROJECT_ROOT, Settings
from orchestration.transform.dbt import parse

_CLASSES = "governance/columns.yml"
_PURPOSES = "governance/purposes.yml"
_ROLES = "governance/roles.yml"

KEPT_PARSE = PROJECT_ROOT / "dbt_project" / "target" / "lint-governance"
"""Home of a parse that stays, so that the next one costs a tenth."""


def problems(
    models: Mapping[str, Model],
    sources: Mapping[str, Feed],
    register: Register,
    feeds: Sequence[Feed] = FEEDS,
) -> list[str]:
    """Return a sentence for each problem, with model, column and what to do.

    models, sources: by unique id, as `read_models` and `source_feeds` give them.
    """
    stronger = _Origins(models, sources, register)
    found = [*_of_feeds(feeds, register)]
    for model in models.values():
        found += _of_purposes(model, register)
        found += _of_classes(model, register)
        found += stronger.problems(model)
    found += _of_unused_names(models.values(), register)
    return found


def _of_feeds(feeds: Iterable[Feed], register: Register) -> Iterator[str]:
    for feed in feeds:
        if not feed.owner:
            yield f"{feed.name} has no owner; say who answers for it in its feed."
        for column in feed.columns:
            place = f"{feed.name}.{column.name}"
            if not column.purposes:
                yield (
                    f"{place} has no purpose, so it is not loaded; give it one of"
                    f" {_PURPOSES}, or take it out of the contract."
                )
            yield from _unknown(place, column.purposes, register)


def _of_purposes(model: Model, register: Register) -> Iterator[str]:
    if lacking := [column.name for column in model.columns if not column.purposes]:
        yield (
            f"{model.name}.{', '.join(lacking)}: no purpose; write `purpose:` into `config.meta` of"
            f" the model ({model.board}), or of the column where it differs. The purposes are in"
            f" {_PURPOSES}."
        )
    elif not model.purposes and not model.columns:
        yield (
            f"{model.name} has no purpose; write `purpose:` into its `config.meta`"
            f" ({model.board}). The purposes are in {_PURPOSES}."
        )
    yield from _unknown(model.name, model.purposes, register)
    for column in model.columns:
        if column.purposes != model.purposes:
            yield from _unknown(f"{model.name}.{column.name}", column.purposes, register)


def _unknown(place: str, purposes: Iterable[str], register: Register) -> Iterator[str]:
    for purpose in purposes:
        if purpose not in register.purposes:
            yield (
                f"{place}: {purpose!r} is no purpose; {_nearest(purpose, register.purposes)}"
                f" ({_PURPOSES})."
            )


def _of_classes(model: Model, register: Register) -> Iterator[str]:
    for column in model.columns:
        place = f"{model.name}.{column.name}"
        if column.own_class:
            yield (
                f"{place} has a class on its board ({', '.join(column.own_class)}); take it out of"
                f" {model.board}, classes are given by name in {_CLASSES}."
            )
        if register.pii(model.name, column.name) is not None:
            continue
        if column.name in register.homonyms:
            yield (
                f"{place} has no class: `{column.name}` does not mean the same everywhere; add"
                f" {model.name} to it under `homonyms` in {_CLASSES}."
            )
        else:
            yield (
                f"{place} has no class; put `{column.name}` under one of {', '.join(Pii)} in"
                f" {_CLASSES}."
            )


class _Origins:
    """Compares a column with those of the same name in what its model reads."""

    def __init__(
        self, models: Mapping[str, Model], sources: Mapping[str, Feed], register: Register
    ) -> None:
        self._register = register
        self._models = models
        self._sources = sources

    def problems(self, model: Model) -> Iterator[str]:
        """Yield a sentence for each column with a weaker class than where it is taken from."""
        for column in model.columns:
            own = self._register.pii(model.name, column.name)
            if own is None:
                continue
            for origin, pii in self._same_name(model, column.name):
                if pii.strength > own.strength:
                    yield (
                        f"{model.name}.{column.name} is {own}, and {origin}.{column.name}, from"
                        f" which it is taken, is {pii}; give it that class in {_CLASSES}, or"
                        " another name if it holds something else."
                    )

    def _same_name(self, model: Model, name: str) -> Iterator[tuple[str, Pii]]:
        for parent in model.reads:
            if feed := self._sources.get(parent):
                for column in feed.columns:
                    if column.name == name:
                        yield feed.name, column.pii
            elif (above := self._models.get(parent)) and any(
                column.name == name for column in above.columns
            ):
                pii = self._register.pii(above.name, name)
                if pii is not None:
                    yield above.name, pii


def _of_unused_names(models: Iterable[Model], register: Register) -> Iterator[str]:
    used = {(model.name, column.name) for model in models for column in model.columns}
    names = {name for _, name in used}
    for name in sorted(register.own - names):
        yield f"{_CLASSES} lists `{name}`, which no board has; take it out."
    for name, classes in register.homonyms.items():
        for model in classes:
            if (model, name) not in used:
                yield (
                    f"{_CLASSES} lists `{name}` of {model}, which its board does not have; take it"
                    " out."
                )


def _nearest(word: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(word, known, 1)
    return f"did you mean {close[0]}?" if close else f"they are {', '.join(known)}"


def main() -> int:
    """Print what is wrong; 1 when something is."""
    try:
        manifest = parse(Settings(home=KEPT_PARSE))
        models = read_models(manifest)
        found = problems(models, source_feeds(manifest, FEEDS), read_register())
        marts = {
            model.name: [column.name for column in model.columns]
            for model in models.values()
            if model.layer == "marts"
        }
        for role in read_roles():
            found += [f"{_ROLES}: {sentence}" for sentence in unknown_names(role, marts)]
    except (RegisterError, ReleaseError) as error:
        found = str(error).splitlines()
    for sentence in found:
        print(sentence, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
