"""What must not be shown is not shown, wherever it comes from."""

from typing import Any

import pytest

from flyasync.models.json.codec import structure
from flyasync.models.model import Model
from flyasync.models.postgres import PostgresCredentials
from flyasync.models.secret import Secret, SecretsUpdate, fingerprint
from flyasync.models.secret_key import KeyWork
from flyasync.models.token import Authorization, DeployToken, VerifiedToken

S = "s3cret"
TOKEN = {"header": S, "permission_token": S, "nonce": {"kid": S, "rnd": [1]}, "caveats": {"caveats": [S]}}


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        (Secret, {"name": "DB", "value": S}),
        (Secret, {"name": "DB", "Value": S, "plain": S}),
        (SecretsUpdate, {"secrets": [{"name": "DB", "value": S}], "old_values": {"DB": S}}),
        (KeyWork, {"plaintext": S, "ciphertext": S, "signature": S}),
        (VerifiedToken, TOKEN),
        (Authorization, {"verified_token": TOKEN}),
        (DeployToken, {"token": S}),
        (PostgresCredentials, {"username": "ada", "password": S}),
    ],
)
def test_secrets_stay_out_of_the_repr_however_they_are_spelled(kind: type[Model], answer: Any) -> None:
    model = structure(answer, kind)
    assert S not in repr(model)
    assert S not in f"{model}"


def test_a_fingerprint_changes_with_each_secret_and_with_nothing_else() -> None:
    one, two = Secret(name="A", digest="1"), Secret(name="B", digest="2")
    marks = [
        fingerprint(secrets)
        for secrets in ([], [one], [one, two], [Secret(name="A", digest="2")], [Secret(name="B", digest="1")])
    ]
    assert len(set(marks)) == 5
    assert fingerprint([two, one]) == fingerprint([one, Secret(name="B", digest="2", value=S)]) == marks[2]


@pytest.mark.parametrize("digest", [None, ""])
def test_secrets_without_digests_have_no_fingerprint(digest: str | None) -> None:
    assert fingerprint([Secret(name="A", digest="1"), Secret(name="B", digest=digest)]) is None
