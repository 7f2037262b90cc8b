"""How the pretend API says no."""


class ApiError(Exception):
    """A request is answered with this status, text and, for the few that have one, code."""

    def __init__(self, status: int, text: str, *, code: str | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.code = code


class LeaseError(ApiError):
    """A refusal that travels in the envelope of the lease calls."""


def bad_request(text: str) -> ApiError:
    """Give the 400 of a request that makes no sense."""
    return ApiError(400, text)


def not_found(what: str) -> ApiError:
    """Give the 404 that names what is missing."""
    return ApiError(404, f"{what} not found")


def aborted(text: str) -> ApiError:
    """Give the 409 of work that clashes with other work."""
    return ApiError(409, f"aborted: {text}")


def failed_precondition(text: str) -> ApiError:
    """Give the 412 of a thing that is in the wrong state."""
    return ApiError(412, f"failed_precondition: {text}")
