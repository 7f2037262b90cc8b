import pytest

from flyasync.models.image import at_digest, digest_of, runs, without_digest
from flyasync.testing import mock_machine

WEB = "registry.fly.io/web:v2"


@pytest.mark.parametrize(
    ("image", "name", "digest"),
    [
        (WEB, WEB, None),
        (f"{WEB}@sha256:ab", WEB, "sha256:ab"),
        ("localhost:5000/web@sha256:ab", "localhost:5000/web", "sha256:ab"),
        ("https://user:word@host:5000", "https://user:word@host:5000", None),
        ("https://user:word@host:5000/web@sha512:ab", "https://user:word@host:5000/web", "sha512:ab"),
    ],
)
def test_a_reference_is_a_name_and_perhaps_a_digest(image: str, name: str, digest: str | None) -> None:
    assert (without_digest(image), digest_of(image)) == (name, digest)
    assert at_digest(name, digest) == image


def test_a_stated_digest_stays() -> None:
    assert at_digest(f"{WEB}@sha256:ab", "sha256:cd") == f"{WEB}@sha256:ab"


@pytest.mark.parametrize("digest", [None, "", "latest", "r/x", "sha256:xyz"])
def test_what_is_not_a_digest_is_left_out(digest: str | None) -> None:
    assert at_digest(WEB, digest) == WEB


@pytest.mark.parametrize(
    ("observed", "desired", "same"),
    [
        (WEB, WEB, True),
        (f"{WEB}@sha256:ab", f"{WEB}@sha256:ab", True),
        (f"{WEB}@sha256:ab", f"{WEB}@sha256:cd", False),
        ("docker.io/library/nginx:latest@sha256:ab", "nginx@sha256:ab", True),
        (f"{WEB}@sha256:ab", WEB, True),
        (WEB, f"{WEB}@sha256:ab", False),
        (f"{WEB}@sha256:ab", "registry.fly.io/web:v3", False),
        (None, WEB, False),
        (WEB, None, False),
        (None, None, True),
    ],
)
def test_images_are_the_same_when_their_digests_are(observed: str | None, desired: str | None, *, same: bool) -> None:
    assert runs(observed, desired) is same


@pytest.mark.parametrize(
    ("image", "digest", "shown"),
    [
        (WEB, "sha256:ab", f"{WEB}@sha256:ab"),
        (f"{WEB}@sha256:cd", "sha256:ab", f"{WEB}@sha256:cd"),
        (WEB, None, WEB),
        (None, "sha256:ab", None),
    ],
)
def test_a_machine_shows_its_image_with_the_digest(image: str | None, digest: str | None, shown: str | None) -> None:
    assert mock_machine(config={"image": image}, image_ref={"digest": digest}).image == shown
