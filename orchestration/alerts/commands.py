"""The verb `alerts`: what stands, telling it without a run, and a test of the channels."""

import argparse
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from orchestration.console import console
from orchestration.settings import Settings

if TYPE_CHECKING:
    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]

_NOWHERE = (
    "No alert is sent: neither WAREHOUSE_ALERT_WEBHOOK nor WAREHOUSE_ALERT_SMTP is set. "
    "docs/operations.md says how."
)


def add_verbs(verbs: "Verbs") -> None:
    """Register the verb beside the others."""
    alerts = verbs.add_parser("alerts", help="list what alerts are about, tell it, or try channels")
    what = alerts.add_mutually_exclusive_group()
    what.add_argument(
        "--check", action="store_true", help="tell what is due, as a run does; for cron"
    )
    what.add_argument("--test", action="store_true", help="send a test and say who answered what")
    alerts.set_defaults(action=_alerts)


def _alerts(settings: Settings, options: argparse.Namespace) -> int:
    from orchestration.alerts.telling import AlertError  # noqa: PLC0415 - 0.1 s for DuckDB

    try:
        if options.check or options.test:
            if not settings.sends_alerts:
                console.print(_NOWHERE, markup=False)
                return 1
            return _check(settings) if options.check else _test(settings)
        return _list(settings)
    except AlertError as error:
        console.print(str(error), style="red", markup=False)
        return 1


def _check(settings: Settings) -> int:
    """Says nothing when there is nothing to tell: cron mails whatever is said."""
    from orchestration.alerts.telling import tell  # noqa: PLC0415

    deliveries = tell(settings)
    for delivery in deliveries:
        console.print(delivery.sentence, markup=False)
    return 0 if all(delivery.is_sent for delivery in deliveries) else 1


def _test(settings: Settings) -> int:
    from orchestration.alerts.channels import DeliveryError, channels  # noqa: PLC0415
    from orchestration.alerts.telling import deliver, trial_message  # noqa: PLC0415

    message = trial_message(settings)
    answers = deliver(dict.fromkeys(channels(settings), message))
    for name, answer in answers.items():
        is_sent = not isinstance(answer, DeliveryError)
        console.print(
            f"{name}: {'sent' if is_sent else 'NOT sent'}, {answer}",
            style="green" if is_sent else "red",
            markup=False,
        )
    return 1 if any(isinstance(answer, DeliveryError) for answer in answers.values()) else 0


def _list(settings: Settings) -> int:
    from orchestration.alerts.telling import read_state, troubles_of, undelivered  # noqa: PLC0415

    troubles = troubles_of(settings, datetime.now(UTC))
    state = read_state(settings) if settings.sends_alerts else None
    for trouble in troubles:
        console.print(f"{trouble.title} ({trouble.key})", style="bold", markup=False)
        for line in (*trouble.facts, f"To do: {trouble.remedy}"):
            console.print(f"  {line}", markup=False)
        for name, channel in state.channels.items() if state else ():
            told = channel.troubles.get(trouble.key)
            if told is not None and told.told_at is not None:
                console.print(f"  Told by {name} at {told.told_at:%Y-%m-%d %H:%M} UTC")
    if not troubles:
        console.print("Nothing needs an alert.", style="green")
    for sentence in undelivered(settings):
        console.print(sentence, style="red", markup=False)
    if not settings.sends_alerts:
        console.print(_NOWHERE, markup=False)
    return 1 if troubles else 0
