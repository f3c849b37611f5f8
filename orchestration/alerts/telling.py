"""Telling troubles: each once, again after a day while it stands, and once when it is over.

`<home>/alerts.json` keeps for each channel what it was told and what it could not be told. So a
message that could not be delivered is due again at the next run, tick of the sensor or `warehouse
alerts --check`. Whoever tells holds `<home>/alerts.lock`, and nobody is held up for long.
"""

import fcntl
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from orchestration.alerts.channels import Channel, DeliveryError, channels
from orchestration.alerts.troubles import Message, Trouble, compose, standing
from orchestration.faults import write_whole
from orchestration.operations.ledger import no_run_beside, read_ledger
from orchestration.settings import Settings

log = logging.getLogger("warehouse")

REPEAT_AFTER = timedelta(hours=24)
# Dagster gives a tick of a sensor 60 s: waiting for another teller and all channels at once.
_LOCK_SECONDS = 25.0
DELIVERY_SECONDS = 25.0


class AlertError(Exception):
    """What was told cannot be read, or another process is telling; a sentence with the remedy."""


class Told(BaseModel):
    """A trouble as a channel knows it. since: when it was first seen.

    told_at: when the channel last took it; None while it could not be delivered.
    """

    model_config = ConfigDict(frozen=True)

    title: str
    version: str
    since: datetime
    told_at: datetime | None = None


class ChannelState(BaseModel):
    """What a channel was told and still stands, by the key of the trouble.

    failing_since, failure: when and why the last message could not be delivered; None when it was.
    wait_until: until when the server asked to be left alone.
    """

    model_config = ConfigDict(frozen=True)

    troubles: dict[str, Told] = Field(default_factory=dict)
    failing_since: datetime | None = None
    failure: str = ""
    wait_until: datetime | None = None


class State(BaseModel):
    """`alerts.json`: each channel that is set up, by name."""

    channels: dict[str, ChannelState] = Field(default_factory=dict)


@dataclass(frozen=True)
class Due:
    """What a channel has to be told now. over: what stands no more, by key."""

    new: tuple[Trouble, ...]
    again: tuple[tuple[Trouble, datetime], ...]
    over: Mapping[str, Told]

    def __bool__(self) -> bool:
        return bool(self.new or self.again or self.over)


@dataclass(frozen=True)
class Delivery:
    """What became of a message. said: what the server answered, or why it has none."""

    channel: str
    is_sent: bool
    said: str

    @property
    def sentence(self) -> str:
        """For a log and for people."""
        if self.is_sent:
            return f"alerts went out by {self.channel}: {self.said}"
        return f"alerts could not be sent by {self.channel}: {self.said}; they are tried again"


def tell(settings: Settings, now: datetime | None = None) -> list[Delivery]:
    """Judge what is wrong and send what is due, by all channels at once; returns what was sent.

    Takes at most a minute, whatever servers do, and nothing when no channel is set up. now: UTC.
    Raises AlertError when another process is telling, OSError when the state cannot be written.
    """
    if not settings.sends_alerts:
        return []
    with _only_teller(settings):
        now = now or datetime.now(UTC)
        troubles = troubles_of(settings, now)
        before = _state_or_new(settings)
        known = {c: before.channels.get(c.name, ChannelState()) for c in channels(settings)}
        due = {channel: what_is_due(state, troubles, now) for channel, state in known.items()}
        found = deliver(
            {
                channel: _message(settings, what)
                for channel, what in due.items()
                if what and not _is_waiting(known[channel], now)
            }
        )
        after = State(
            channels={
                c.name: _next(state, troubles, due[c], found.get(c.name), now)
                for c, state in known.items()
            }
        )
        if after != before:
            write_whole(settings.alerts, after.model_dump_json(indent=1), mode=0o600)
    return [
        Delivery(name, not isinstance(answer, DeliveryError), str(answer))
        for name, answer in found.items()
    ]


def tell_and_log(settings: Settings) -> None:
    """Tell, and log what became of it: a channel that does not work fails nothing else."""
    try:
        for delivery in tell(settings):
            log.log(logging.INFO if delivery.is_sent else logging.WARNING, delivery.sentence)
    except (AlertError, OSError) as error:
        log.warning("alerts were not sent: %s", error)


def troubles_of(settings: Settings, now: datetime) -> tuple[Trouble, ...]:
    """Return what is wrong now, by the ledger of an installation."""
    with no_run_beside(settings) as process:
        records, _ = read_ledger(settings)
    return standing(
        records, is_running=process is not None, now=now, run_timeout=settings.run_timeout
    )


def what_is_due(state: ChannelState, troubles: Sequence[Trouble], now: datetime) -> Due:
    """Return what a channel has not been told, or not for a day; a clock may have been set back."""
    new: list[Trouble] = []
    again: list[tuple[Trouble, datetime]] = []
    for trouble in troubles:
        told = state.troubles.get(trouble.key)
        if told is None or told.told_at is None or told.version != trouble.version:
            new.append(trouble)
        elif not timedelta(0) <= now - told.told_at < REPEAT_AFTER:
            again.append((trouble, told.since))
    stand = {trouble.key for trouble in troubles}
    over = {key: told for key, told in state.troubles.items() if key not in stand}
    return Due(tuple(new), tuple(again), over)


def deliver(
    messages: Mapping[Channel, Message], seconds: float = DELIVERY_SECONDS
) -> dict[str, str | DeliveryError]:
    """Send each message by its channel, all at once; returns the answers, or why there is none.

    A server that sends a byte now and then keeps every timeout of a socket from passing, so each
    channel has a thread that is not waited for any longer.
    """
    answers: dict[str, str | DeliveryError] = {}

    def send(channel: Channel, message: Message) -> None:
        try:
            answers[channel.name] = channel.send(message)
        except DeliveryError as error:
            answers[channel.name] = error
        except Exception as error:  # its text may hold a secret, so only its class is told
            answers[channel.name] = DeliveryError(type(error).__name__)

    threads = {
        channel.name: threading.Thread(target=send, args=(channel, message), daemon=True)
        for channel, message in messages.items()
    }
    for thread in threads.values():
        thread.start()
    ends = time.monotonic() + seconds
    for thread in threads.values():
        thread.join(max(0.0, ends - time.monotonic()))
    late = DeliveryError(f"it was not done within {seconds:.0f} s")
    return {name: answers.get(name, late) for name in threads}


def trial_message(settings: Settings) -> Message:
    """Return what `warehouse alerts --test` sends."""
    said = "Nothing is wrong. Alerts of this installation will arrive here."
    return Message(f"[warehouse {_place(settings)}] A test", (("A test of alerts", (said,)),))


def undelivered(settings: Settings) -> list[str]:
    """Return a sentence for each channel that did not take its last message, from the state alone.

    Raises AlertError when that cannot be read.
    """
    if not settings.sends_alerts:
        return []
    ways = {channel.name for channel in channels(settings)}
    return [
        f"Alerts cannot be sent by {name} since {state.failing_since:%Y-%m-%d %H:%M} UTC: "
        f"{state.failure}. `warehouse alerts --test` tries it."
        for name, state in read_state(settings).channels.items()
        if name in ways and state.failing_since is not None
    ]


def read_state(settings: Settings) -> State:
    """Return what was told. Raises AlertError when the file is not what was written."""
    try:
        return State.model_validate_json(settings.alerts.read_bytes())
    except FileNotFoundError:
        return State()
    except (OSError, ValidationError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not what was written"
        raise AlertError(
            f"{settings.alerts} cannot be read ({reason}): it is written anew, and what stands is "
            "told again."
        ) from None


def _state_or_new(settings: Settings) -> State:
    """The state, or that of the beginning: rather told twice than not at all."""
    try:
        return read_state(settings)
    except AlertError as error:
        log.warning("%s", error)
        return State()


def _is_waiting(state: ChannelState, now: datetime) -> bool:
    return state.wait_until is not None and now < state.wait_until


def _next(
    state: ChannelState,
    troubles: Sequence[Trouble],
    due: Due,
    answer: str | DeliveryError | None,
    now: datetime,
) -> ChannelState:
    """The state of a channel after its message. answer: None when nothing was sent."""
    if isinstance(answer, str):
        known = {trouble.key: _known(trouble, state, now) for trouble in troubles}
        for trouble in (*due.new, *(trouble for trouble, _ in due.again)):
            since = known[trouble.key].since
            known[trouble.key] = Told(
                title=trouble.title, version=trouble.version, since=since, told_at=now
            )
        return ChannelState(troubles=known)
    kept = state.troubles | {t.key: _known(t, state, now) for t in troubles}
    if answer is None:
        return state.model_copy(update={"troubles": kept})
    return ChannelState(
        troubles=kept,
        failing_since=state.failing_since or now,
        failure=str(answer),
        wait_until=now + timedelta(seconds=answer.wait_seconds) if answer.wait_seconds else None,
    )


def _known(trouble: Trouble, state: ChannelState, now: datetime) -> Told:
    """A trouble as the channel knows it, or as one that it was not told yet."""
    return state.troubles.get(trouble.key) or Told(
        title=trouble.title, version=trouble.version, since=now
    )


def _message(settings: Settings, due: Due) -> Message:
    ended = [(told.title, told.since) for told in due.over.values()]
    return compose(_place(settings), new=due.new, again=due.again, over=ended)


def _place(settings: Settings) -> str:
    """Which installation it is; the whole path may hold somebody's name."""
    return f"{socket.gethostname()}:{settings.home.name}"


@contextmanager
def _only_teller(settings: Settings) -> Iterator[None]:
    """Hold the lock of telling: two who tell at once would tell everything twice."""
    path = settings.home / "alerts.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "r+b") as file:
        ends = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > ends:
                    raise AlertError("Another process is sending alerts; try again.") from None
                time.sleep(0.1)
        yield
