"""The errors that the emulated API returns."""


class ApiError(Exception):
    """The error response to a request: a status and a text, with the API's `code` if it has one.

    Official clients read the code, and the text only if there is no code.
    """

    def __init__(self, status: int, text: str, *, code: str | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.code = code


class LeaseError(ApiError):
    """An error of the lease routes, whose responses have an envelope of their own."""


# The words before the colon are the gRPC codes of flyd, which the API passes on, each with its HTTP status.


def bad_request(text: str) -> ApiError:
    """Return the 400 for an invalid request."""
    return ApiError(400, text)


def not_found(what: str) -> ApiError:
    """Return the 404 for a missing resource; flyctl matches texts such as `machine not found`."""
    return ApiError(404, f"{what} not found")


def unauthenticated() -> ApiError:
    """Return the 401 for a missing, unknown or expired token."""
    return ApiError(401, "Authenticate: token validation error")


def forbidden() -> ApiError:
    """Return the 403 for a token that does not permit the request."""
    return ApiError(403, "unauthorized")


def region_retired(region: str, alternate: str) -> ApiError:
    """Return the 422 for a new resource in a region that accepts none."""
    # Public reports have this text; most of them do not have the status.
    text = f"Region {region} is deprecated and cannot have new resources provisioned."
    return ApiError(422, f"{text} Please consider using an alternate region such as {alternate}")


def manifest_unknown(image: str) -> ApiError:
    """Return the 400 for an image that the platform does not find yet, although the registry has it."""
    _, colon, tag = image.partition("@")[0].rpartition(":")
    tag = tag if colon and "/" not in tag else "latest"
    return bad_request(f"failed to get manifest {image}: MANIFEST_UNKNOWN: manifest unknown; unknown tag={tag}")


def aborted(text: str) -> ApiError:
    """Return the 409 for a conflict with other work, or for a lack of capacity."""
    return ApiError(409, f"aborted: {text}")


def failed_precondition(text: str) -> ApiError:
    """Return the 412 for a resource that is in the wrong state."""
    return ApiError(412, f"failed_precondition: {text}")
