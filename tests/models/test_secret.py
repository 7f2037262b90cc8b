"""What must not be shown is not shown, wherever it comes from."""

from typing import Any

import pytest

from flyasync.models.convert import structure
from flyasync.models.postgres import PostgresCredentials
from flyasync.models.record import Record
from flyasync.models.secret import Secret, SecretsUpdate
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
def test_secrets_stay_out_of_the_repr_however_they_are_spelled(kind: type[Record], answer: Any) -> None:
    model = structure(answer, kind)
    assert S not in repr(model)
    assert S not in f"{model}"
