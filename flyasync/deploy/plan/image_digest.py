"""From a spec and an observed fleet to a plan in which all machines run one digest of the image; pure.

reconcile.py decides the action for each machine, and the strategies decide the order.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

from attrs import evolve

from flyasync.deploy.plan.adoption import adopting
from flyasync.deploy.plan.command_stages import commands
from flyasync.deploy.plan.config_merge import SECRETS
from flyasync.deploy.plan.fleet import Fleet, home
from flyasync.deploy.plan.notes import names_of
from flyasync.deploy.plan.plan import (
    Adopt,
    Create,
    Decision,
    GiveUp,
    Plan,
    Target,
    Update,
)
from flyasync.deploy.plan.sibling_config import inherited
from flyasync.deploy.plan.sizing import sized, sizes
from flyasync.deploy.plan.spec import DeploySpec
from flyasync.deploy.plan.tally import counted
from flyasync.errors import InvalidInput
from flyasync.garbage import PausedCollection
from flyasync.models.image import digest_of, runs, without_digest
from flyasync.models.machine import GONE, Machine


def decide(spec: DeploySpec, fleet: Fleet) -> Decision:
    """Return the plan, with one digest of the image for all machines; raises InvalidInput if it is not possible.

    1. A launch uses the digest of its existing machines, since it never changes them.
    2. Otherwise, if the API resolved the tag, its digest is used.
    3. Otherwise, if some machines stay unchanged, the others get their digest.
    4. Otherwise the first machine that is created or updated shows the digest.

    The plan has its resources; it is not possible if it would leave more machines than the spec allows.
    """
    spec, fleet = adopting(evolve(spec, secrets=fleet.secrets), fleet)
    asked = spec
    if spec.only_secrets:
        # The current secrets must be known; regions and counts are those of the existing machines.
        if fleet.secrets is None:
            raise InvalidInput(
                f"the secrets of {spec.app} cannot be listed, so there is nothing to compare machines with: "
                f"{fleet.secrets_hidden}"
            )
        there = _machines_of(spec, fleet, "there is none to update with its secrets")
        spec = evolve(spec, counts=dict(sorted(Counter(map(home, there)).items())))
    if spec.keeps_config:
        for group in spec.groups:
            _machines_of(group, fleet, "there is no image and config to keep: deploy the group first")
    spec = sized(spec, fleet)
    if spec.strategy.only_adds:
        spec = _like(spec, fleet.machines)
    made = plan(spec, fleet)
    # Only a plan shows which machines stay unchanged, so their digest may require a second plan.
    if spec.digest is None and (like := _like(spec, _kept(made))) != spec:
        spec, made = like, plan(like, fleet)
    remarks = (*made.remarks, *_remarks_on_image(asked, spec, made), *_remarks_on_secrets(spec, made, fleet))
    made = evolve(made, sizes=tuple(sizes(asked, fleet)), remarks=remarks)
    return Decision(spec=spec, plan=counted(made, spec))


def _machines_of(spec: DeploySpec, fleet: Fleet, otherwise: str) -> list[Machine]:
    """Return the machines of a group; raises InvalidInput, with what follows from it, if there are none."""
    there = [each for each in fleet.group(spec.group) if each.state not in GONE]
    if not there:
        which = f"of the group {spec.group}" if spec.group else "without a group"
        raise InvalidInput(f"{spec.app} has no machine {which}, so {otherwise}")
    return there


def plan(spec: DeploySpec, fleet: Fleet) -> Plan:
    """Return the plan of the spec's strategy, after the release and seed commands; raises InvalidInput as it does."""
    with PausedCollection():
        made = spec.strategy.plan(spec, fleet)
    if all(isinstance(step, GiveUp) for step in made.steps):
        return made
    # The commands run before any change. If the plan only reports failures, nothing would change after them. Their
    # machines have the config that the machines of the group will have.
    tracks = (track for track in (*made.tracks, *made.kept) if track.target in {Target.SERVE, Target.REST})
    shared = next((inherited(track.config) for track in tracks if track.config), spec.tagged)
    first, remarks = commands(spec, fleet, shared)
    return evolve(made, stages=(*first, *made.stages), remarks=(*made.remarks, *remarks))


def _kept(made: Plan) -> list[Machine]:
    """Return the machines that a plan leaves unchanged."""
    ids = {track.machine_id for track in made.kept}
    ids |= {track.machine_id for track in made.tracks if any(isinstance(step, Adopt) for step in track.steps)}
    return [machine for machine in made.before.machines if machine.id in ids] if made.before else []


def _like(spec: DeploySpec, machines: Sequence[Machine]) -> DeploySpec:
    """Return the spec with the digest of the newest of these machines that runs the same image name."""
    if not spec.config.image or digest_of(spec.config.image):
        return spec
    alike = [each for each in machines if digest_of(each.image) and runs(each.image, spec.config.image)]
    newest = max(alike, key=lambda machine: machine.current_version or "", default=None)
    return evolve(spec, digest=digest_of(newest.image)) if newest else spec


def _remarks_on_image(asked: DeploySpec, spec: DeploySpec, made: Plan) -> Iterator[str]:
    """Yield remarks on a tag that has moved, or that could not be resolved."""
    image = spec.config.image
    if not image or digest_of(image):
        return
    if asked.digest and asked.digest != spec.digest:
        yield (
            f"the tag {image} has moved to {asked.digest} since launch {spec.launch} began; this launch keeps "
            f"{spec.digest}, and a new launch gets the new digest"
        )
    if spec.unresolved and spec.digest:
        yield (
            f"the tag {image} was not resolved ({spec.unresolved}), so it may have moved: machines get the digest of "
            f"the unchanged ones, {spec.digest}; to use another digest, state it"
        )
    elif spec.unresolved:
        yield (
            f"the tag {image} was not resolved ({spec.unresolved}), so its digest is not known yet: all machines get "
            "the digest that the first created or updated machine shows"
        )
    # Machines that are updated or replaced show the earlier digest of the tag; a launch changes none.
    changed = {track.machine_id for track in made.tracks if track.steps} if made.group is not None else set()
    before = (each.image for each in (made.before.machines if made.before else ()) if each.id in changed)
    moved = {digest_of(old) for old in before if old and without_digest(old) == image} - {None, spec.digest}
    if moved and spec.digest:
        yield f"the tag {image} has moved: from {' and '.join(sorted(map(str, moved)))} to {spec.digest}"


def _remarks_on_secrets(spec: DeploySpec, made: Plan, fleet: Fleet) -> Iterator[str]:
    """Yield remarks on unchanged machines that run with old secrets, or may do so."""
    kept = _kept(made)
    if fleet.secrets_hidden and (kept or any(isinstance(step, Create | Update) for step in made.steps)):
        yield f"secrets: unknown, since they cannot be listed: {fleet.secrets_hidden}"
    if not fleet.secrets:
        return
    way = f"to update them: flyasync secrets deploy {spec.app}"
    if (unmarked := [each for each in kept if SECRETS not in each.metadata]) and fleet.has_secrets:
        yield f"secrets: unknown for {names_of(unmarked)}, which may have started with older secrets; {way}"
    if older := [each for each in kept if each.metadata.get(SECRETS, fleet.secrets) != fleet.secrets]:
        yield f"secrets: changed since the start of {names_of(older)}; {way}"
