"""The error tree. An error is raised where it is known and caught where it can be answered.

LighthouseError
├── BadInput                    the caller's fault; asking again changes nothing          (HTTP 4xx)
│   ├── Invalid                 a field is wrong; `path` says which                       422
│   ├── TooLarge                beyond a limit of the record format                       413
│   ├── NotFound                no such stream, version, category, decider                404
│   └── KeyReused               one Idempotency-Key with two bodies                       422
├── Refused                     a decider's rule said no                                  409
├── Conflict                    the expected version is not the head                      409
│   └── Contended               a command lost the race too often                         409
├── Unavailable                 nothing of this attempt can ever be admitted              503
│   ├── Rebuilding              the store is catching up with an older past               503
│   ├── Parked                  the stream's fold is stopped at an event it cannot read   503
│   ├── NoOwner                 the partition's owner does not beat, or lags              503
│   └── Outlived                a view lasted longer than its store remembers its past    503
├── Unknown                     the outcome is not known; ask again with the same key     504
│   └── NotReached              a position was not reached in time                        504
├── TooSlow                     a reader of live events has been behind for too long
├── Fenced                      another owner has taken the partition (I6)
├── Undecodable                 admitted bytes that no known schema reads (P4)
├── ForeignLog                  the log is not the one this store has applied (P1)
├── SchemaError                 a schema is missing, incompatible or malformed
└── LocalError                  the local Kafka or registry cannot be started or stopped
"""

from __future__ import annotations


class LighthouseError(Exception):
    """Every error that this platform raises on purpose. Its text is a sentence for a person.

    `position` is how far the history was that said so (an events.Position), for an error that was read from one.
    """

    position: object = None


class BadInput(LighthouseError):
    """The request is wrong; the same request will be wrong again."""


class Invalid(BadInput):
    """A field is wrong. `path` is its place in the request, e.g. `events.0.data.amount`."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.path = path
        self.message = message


class TooLarge(BadInput):
    """The append is beyond a limit of the record format (DESIGN 4)."""


class NotFound(BadInput):
    """There is no such stream, version, category, decider or command."""


class KeyReused(BadInput):
    """The Idempotency-Key was used before with another body."""


class Refused(LighthouseError):
    """A decider refused a command. `rule` is the rule's name, as the decider's author wrote it."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = rule


class Conflict(LighthouseError):
    """The stream's head is not the version that the append expected (R4)."""

    def __init__(self, stream: str, expected: int, actual: int, position: object = None) -> None:
        super().__init__(f"{stream} was expected at version {expected} but its next version is {actual}")
        self.position = position
        self.stream = stream
        self.expected = expected
        self.actual = actual


class Contended(Conflict):
    """A command was decided again and again and lost each race (A7)."""


class Unavailable(LighthouseError):
    """Nothing of this attempt can ever be admitted; `retry_after` says in seconds when to ask again."""

    def __init__(self, message: str, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Rebuilding(Unavailable):
    """The store is being built again and would answer with an older past."""


class Parked(Unavailable):
    """The stream is stopped at an event that its owner cannot read or fold (P4); `version` is that event's."""

    def __init__(self, message: str, version: int = 0) -> None:
        super().__init__(message, retry_after=10.0)
        self.version = version


class NoOwner(Unavailable):
    """The partition's owner has not beaten for a session's time, or lags too far behind (A4)."""


class Outlived(Unavailable):
    """A view began before more changes than its store remembers, or its space was emptied; another one can be had."""


class Unknown(LighthouseError):
    """The outcome is not known yet. Asking again with the same Idempotency-Key is safe and tells (I2)."""


class NotReached(Unknown):
    """The store did not reach a position in time; `lag` is the number of records still missing."""

    def __init__(self, message: str, lag: int) -> None:
        super().__init__(message)
        self.lag = lag


class TooSlow(LighthouseError):
    """A reader of live events does not keep up: it has been behind for too long."""


class Fenced(LighthouseError):
    """The commit's mark is not the store's: another owner, or another commit, came before (I6)."""


class Undecodable(LighthouseError):
    """Admitted bytes that cannot be decoded: unknown schema id, truncated Avro, or a wrong count (P4)."""


class ForeignLog(LighthouseError):
    """The topic is not the one that this store has applied; going on would mix two pasts (P1)."""


class SchemaError(LighthouseError):
    """A schema is missing, malformed, incompatible, or the registry refuses it."""


class LocalError(LighthouseError):
    """The local Kafka or schema registry cannot be started or stopped."""
