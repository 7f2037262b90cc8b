"""Send a request on to one machine: the response header that the Fly Proxy understands."""

from flyasync.errors import InvalidInput
from flyasync.models.machine import Machine

_SEPARATORS = frozenset(";=,")


def fly_replay_headers(machine: Machine | str, *, app: str | None = None, state: str | None = None) -> dict[str, str]:
    """Return the headers of an empty response with which the Fly Proxy sends the request on to a machine.

    The machine gets the request with its body and a `fly-replay-src` header, which contains `state`. The proxy starts
    it first if it is stopped and its service has `autostart`. Only requests with a body below a megabyte are replayed.
    docs: networking/dynamic-request-routing

    Raises InvalidInput for text that would be read as another field of the header.

    Args:
        machine: the machine, or its id.
        app: the machine's app, if it is another one of the same organization.
        state: any text, to be passed on.
    """
    fields = {"app": app, "instance": machine if isinstance(machine, str) else machine.id, "state": state}
    for name, value in fields.items():
        if value is not None and (
            not value or not value.isprintable() or not value.isascii() or _SEPARATORS & {*value}
        ):
            raise InvalidInput(f"{name} is {value!r}, but must be printable ASCII without `;`, `,` and `=`")
    return {"fly-replay": ";".join(f"{name}={value}" for name, value in fields.items() if value is not None)}
