"""From what is asked for and what is observed to a plan by which one digest runs everywhere; pure."""

from collections import Counter
from collections.abc import Iterator, Sequence

from attrs import evolve

from flyasync.deploy.plan.config_merge import SECRETS
from flyasync.deploy.plan.fleet import Fleet, home
from flyasync.deploy.plan.notes import names_of
from flyasync.deploy.plan.plan import Adopt, Create, Decision, Plan, Update
from flyasync.deploy.plan.spec import Deployment
from flyasync.deploy.plan.strategies.stages import plan
from flyasync.errors import InvalidInput
from flyasync.models.image import digest_of, runs, without_digest
from flyasync.models.machine import GONE, Machine


def decide(deployment: Deployment, fleet: Fleet) -> Decision:
    """Decide what to do; raises InvalidInput for what cannot be done.

    1. A launch has the digest that its machines have: it never changes them.
    2. A tag that the API resolved has that digest.
    3. Else, where some machines stay as they are, the others get the digest of these.
    4. Else the first machine that is created or updated shows it.
    """
    asked = deployment = evolve(deployment, secrets=fleet.secrets)
    if deployment.only_secrets:
        deployment = _everywhere(deployment, fleet)
    if deployment.strategy is None:
        deployment = _like(deployment, fleet.machines)
    made = plan(deployment, fleet)
    if deployment.digest is None and (like := _like(deployment, _kept(made))) != deployment:
        deployment, made = like, plan(like, fleet)
    found = (*_of_the_image(asked, deployment, made), *_of_the_secrets(deployment, made, fleet))
    return Decision(deployment=deployment, plan=evolve(made, remarks=(*made.remarks, *found)))


def _everywhere(deployment: Deployment, fleet: Fleet) -> Deployment:
    """Return the deployment for the machines that are there, as many as there are."""
    if fleet.secrets is None:
        raise InvalidInput(
            f"the secrets of {deployment.app} cannot be listed, so it is not known what to roll out: "
            f"{fleet.secrets_hidden}"
        )
    there = [each for each in fleet.group(deployment.group) if each.state not in GONE]
    if not there:
        which = f"the group {deployment.group}" if deployment.group else "no group"
        raise InvalidInput(f"{deployment.app} has no machine of {which}, so there is none to start with its secrets")
    return evolve(deployment, counts=dict(sorted(Counter(map(home, there)).items())))


def _kept(made: Plan) -> list[Machine]:
    """Return the machines that a plan leaves as they are."""
    ids = {track.machine_id for track in made.kept}
    ids |= {track.machine_id for track in made.tracks if any(isinstance(step, Adopt) for step in track.steps)}
    return [machine for machine in made.before.machines if machine.id in ids] if made.before else []


def _like(deployment: Deployment, machines: Sequence[Machine]) -> Deployment:
    """Return the deployment with the digest that the newest of these machines has under the same name."""
    if not deployment.config.image or digest_of(deployment.config.image):
        return deployment
    alike = [each for each in machines if digest_of(each.image) and runs(each.image, deployment.config.image)]
    newest = max(alike, key=lambda machine: machine.current_version or "", default=None)
    return evolve(deployment, digest=digest_of(newest.image)) if newest else deployment


def _of_the_image(asked: Deployment, deployment: Deployment, made: Plan) -> Iterator[str]:
    """Yield where the tag has moved, and where that is not known."""
    image = deployment.config.image
    if not image or digest_of(image):
        return
    if asked.digest and asked.digest != deployment.digest:
        yield (
            f"the tag {image} has moved to {asked.digest} since launch {deployment.launch} began, whose machines get "
            f"{deployment.digest} all the same; another launch gets the new one"
        )
    if deployment.unresolved and deployment.digest:
        yield (
            f"the tag {image} was not resolved ({deployment.unresolved}), so it is not known whether it has moved: "
            f"machines get the digest that others have, {deployment.digest}; to change it, state another one"
        )
    elif deployment.unresolved:
        yield (
            f"the tag {image} was not resolved ({deployment.unresolved}), so its digest is not known yet: the first "
            "machine that is created or updated shows it, and the others get the same"
        )
    moved = {digest_of(old) for old in _images_before(made) if without_digest(old) == image} - {None, deployment.digest}
    if moved and deployment.digest:
        yield f"the tag {image} has moved: from {' and '.join(sorted(map(str, moved)))} to {deployment.digest}"


def _images_before(made: Plan) -> Iterator[str]:
    """Yield the images of the machines that a plan updates or replaces."""
    changed = {track.machine_id for track in made.tracks if track.steps}
    for machine in made.before.machines if made.before and made.group is not None else ():
        if machine.id in changed and machine.image:
            yield machine.image


def _of_the_secrets(deployment: Deployment, made: Plan, fleet: Fleet) -> Iterator[str]:
    """Yield where it is not known, or known to be otherwise, that machines have the secrets as they are now."""
    kept = _kept(made)
    if fleet.secrets_hidden and (kept or any(isinstance(step, Create | Update) for step in made.steps)):
        yield f"secrets: unknown, for they cannot be listed: {fleet.secrets_hidden}"
    if not fleet.secrets:
        return
    way = f"flyasync secrets deploy {deployment.app} updates them"
    if (unmarked := [each for each in kept if SECRETS not in each.metadata]) and fleet.has_secrets:
        yield f"secrets: unknown for {names_of(unmarked)}, which may have started with older ones; {way}"
    if older := [each for each in kept if each.metadata.get(SECRETS, fleet.secrets) != fleet.secrets]:
        yield f"secrets: changed since {names_of(older)} started; {way}"
