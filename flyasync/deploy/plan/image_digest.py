"""From a spec and an observed fleet to a plan by which one digest of the image runs everywhere; pure.

What becomes of each machine is decided in reconcile.py, and in which order by the strategies.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

from attrs import evolve

from flyasync.deploy.plan.config_merge import SECRETS
from flyasync.deploy.plan.fleet import Fleet, home
from flyasync.deploy.plan.notes import names_of
from flyasync.deploy.plan.plan import (
    Adopt,
    Create,
    Decision,
    GiveUp,
    Lane,
    Plan,
    RunToEnd,
    Stage,
    Target,
    Track,
    Update,
)
from flyasync.deploy.plan.sibling_config import inherited
from flyasync.deploy.plan.spec import DeploySpec, DesiredMachine
from flyasync.errors import InvalidInput
from flyasync.models.image import digest_of, runs, without_digest
from flyasync.models.machine import GONE, Machine


def decide(spec: DeploySpec, fleet: Fleet) -> Decision:
    """Return what to do, by one digest of the image everywhere; raises InvalidInput for what cannot be done.

    1. A launch has the digest that its machines have: it never changes them.
    2. A tag that the API resolved has that digest.
    3. Else, where some machines stay as they are, the others get the digest of these.
    4. Else the first machine that is created or updated shows it.
    """
    asked = spec = evolve(spec, secrets=fleet.secrets)
    if spec.only_secrets:
        # What is rolled out has to be known, and the regions and counts are those of the machines that are there.
        if fleet.secrets is None:
            raise InvalidInput(
                f"the secrets of {spec.app} cannot be listed, so it is not known what to roll out: "
                f"{fleet.secrets_hidden}"
            )
        there = [each for each in fleet.group(spec.group) if each.state not in GONE]
        if not there:
            which = f"the group {spec.group}" if spec.group else "no group"
            raise InvalidInput(f"{spec.app} has no machine of {which}, so there is none to start with its secrets")
        spec = evolve(spec, counts=dict(sorted(Counter(map(home, there)).items())))
    if spec.strategy.only_adds:
        spec = _like(spec, fleet.machines)
    made = plan(spec, fleet)
    # Which machines stay is known only from a plan, so their digest may mean another one.
    if spec.digest is None and (like := _like(spec, _kept(made))) != spec:
        spec, made = like, plan(like, fleet)
    found = (*_remarks_on_image(asked, spec, made), *_remarks_on_secrets(spec, made, fleet))
    return Decision(spec=spec, plan=evolve(made, remarks=(*made.remarks, *found)))


def plan(spec: DeploySpec, fleet: Fleet) -> Plan:
    """Return what the spec's strategy does, after the release command; raises InvalidInput for what it cannot do."""
    made = spec.strategy.plan(spec, fleet)
    if spec.release is None or all(isinstance(step, GiveUp) for step in made.steps):
        return made
    # The command runs before anything changes. Where all that is left is to give up, nothing would change after it.
    # It shares the config that machines of the group will have.
    tracks = (track for track in (*made.tracks, *made.kept) if track.target in {Target.SERVE, Target.REST})
    shared = next((inherited(track.config) for track in tracks if track.config), spec.tagged)
    config = spec.release.config(shared)
    region = spec.regions[0]
    track = Track(
        machine=DesiredMachine(name=f"release-{spec.group}".replace("_", "-"), region=region, number=0),
        steps=(
            Create(cause=f"to run {spec.release}", config=config),
            RunToEnd(seconds=spec.release.timeout, cause="nothing changes unless it ends with exit code 0"),
        ),
        config=config,
        target=Target.END,
    )
    first = Stage(title="release command", lanes=(Lane(region=region, tracks=(track,)),))
    return evolve(made, stages=(first, *made.stages))


def _kept(made: Plan) -> list[Machine]:
    """Return the machines that a plan leaves as they are."""
    ids = {track.machine_id for track in made.kept}
    ids |= {track.machine_id for track in made.tracks if any(isinstance(step, Adopt) for step in track.steps)}
    return [machine for machine in made.before.machines if machine.id in ids] if made.before else []


def _like(spec: DeploySpec, machines: Sequence[Machine]) -> DeploySpec:
    """Return the deployment with the digest that the newest of these machines has under the same name."""
    if not spec.config.image or digest_of(spec.config.image):
        return spec
    alike = [each for each in machines if digest_of(each.image) and runs(each.image, spec.config.image)]
    newest = max(alike, key=lambda machine: machine.current_version or "", default=None)
    return evolve(spec, digest=digest_of(newest.image)) if newest else spec


def _remarks_on_image(asked: DeploySpec, spec: DeploySpec, made: Plan) -> Iterator[str]:
    """Yield where the tag has moved, and where that is not known."""
    image = spec.config.image
    if not image or digest_of(image):
        return
    if asked.digest and asked.digest != spec.digest:
        yield (
            f"the tag {image} has moved to {asked.digest} since launch {spec.launch} began, whose machines get "
            f"{spec.digest} all the same; another launch gets the new one"
        )
    if spec.unresolved and spec.digest:
        yield (
            f"the tag {image} was not resolved ({spec.unresolved}), so it is not known whether it has moved: "
            f"machines get the digest that others have, {spec.digest}; to change it, state another one"
        )
    elif spec.unresolved:
        yield (
            f"the tag {image} was not resolved ({spec.unresolved}), so its digest is not known yet: the first "
            "machine that is created or updated shows it, and the others get the same"
        )
    # The machines that are updated or replaced show which digest the tag had before; a launch changes none.
    changed = {track.machine_id for track in made.tracks if track.steps} if made.group is not None else set()
    before = (each.image for each in (made.before.machines if made.before else ()) if each.id in changed)
    moved = {digest_of(old) for old in before if old and without_digest(old) == image} - {None, spec.digest}
    if moved and spec.digest:
        yield f"the tag {image} has moved: from {' and '.join(sorted(map(str, moved)))} to {spec.digest}"


def _remarks_on_secrets(spec: DeploySpec, made: Plan, fleet: Fleet) -> Iterator[str]:
    """Yield which machines that stay have other secrets than those of now, or may have."""
    kept = _kept(made)
    if fleet.secrets_hidden and (kept or any(isinstance(step, Create | Update) for step in made.steps)):
        yield f"secrets: unknown, for they cannot be listed: {fleet.secrets_hidden}"
    if not fleet.secrets:
        return
    way = f"flyasync secrets deploy {spec.app} updates them"
    if (unmarked := [each for each in kept if SECRETS not in each.metadata]) and fleet.has_secrets:
        yield f"secrets: unknown for {names_of(unmarked)}, which may have started with older ones; {way}"
    if older := [each for each in kept if each.metadata.get(SECRETS, fleet.secrets) != fleet.secrets]:
        yield f"secrets: changed since {names_of(older)} started; {way}"
