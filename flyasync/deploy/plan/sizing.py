"""The regions and counts that a deploy does not state: those of the machines that exist, or of a new group; pure."""

from collections import Counter
from collections.abc import Iterator
from functools import partial

from attrs import evolve

from flyasync.deploy.plan.config_merge import REPLACES, RESTORES
from flyasync.deploy.plan.fleet import Fleet, home, tags
from flyasync.deploy.plan.spec import DeploySpec
from flyasync.errors import InvalidInput
from flyasync.models.machine import GONE, Machine


def sized(spec: DeploySpec, fleet: Fleet) -> DeploySpec:
    """Return the spec with the regions and counts of each group, where it states none.

    1. Regions: those stated, else those where the group has machines, else those for a new group.
    2. Counts: those stated, else as many machines as the region has, else those for a new group, else one.

    Raises InvalidInput if a group has no machines, and no region is stated for it.
    """
    return spec.changed(partial(_sized, fleet)).checked() if spec.keeps_counts else spec


def _sized(fleet: Fleet, spec: DeploySpec) -> DeploySpec:
    members: list[Machine] = [each for each in spec.members(fleet.group(spec.group)) if each.state not in GONE]
    # 1. A deploy that was killed may have left a machine together with the one that replaces it: they count as one.
    # 2. An undo that was killed may have left that one together with the recreation of the first: they count as one.
    replaced = {tags(each).get(REPLACES) for each in members}
    counted = (each for each in members if tags(each).get(RESTORES, each.id) not in replaced)
    there = dict(sorted(Counter(map(home, counted)).items()))
    regions = spec.stated_regions or (*there, *(region for region in spec.counts if region not in there))
    is_new = spec.is_new(fleet.group(spec.group))
    if not (there or spec.stated_regions):
        regions = tuple(dict.fromkeys((*regions, *spec.if_new.regions)))
    if not regions:
        raise InvalidInput(
            f"the group {spec.group} of {spec.app} has no machines, and no region is stated for it",
            python="name some with to_regions('iad', …)",
            command="name some with --region, or set primary_region in the fly.toml",
        )
    # A new group has several machines in its only region, and one in each of several.
    is_sized = is_new and len(regions) == 1 and not (spec.counts or spec.per_region)
    least = spec.if_new.machines if is_sized else 1
    if_new = spec.if_new if is_sized else evolve(spec.if_new, standby=False, why=None)
    counts = {
        region: spec.counts.get(region, spec.per_region or max(there.get(region, 0), least)) for region in regions
    }
    # If its first deploy was cut short, numbers that are stated since then complete it as well.
    creates_group = least > 1 or if_new.standby if is_sized else is_new and bool(there)
    return evolve(spec, counts=counts, stated_regions=tuple(regions), if_new=if_new, creates_group=creates_group)


def sizes(asked: DeploySpec, fleet: Fleet) -> Iterator[str]:
    """Yield where the regions and counts of each group come from, if it does not state them."""
    for spec in asked.groups if asked.keeps_counts else ():
        got = _sized(fleet, spec)
        is_plain = set(got.counts.values()) <= {1}
        is_stated = spec.per_region is not None or got.counts.keys() <= spec.counts.keys()
        if is_stated or (spec.stated_regions and is_plain):
            continue
        numbers = ", ".join(f"{region} {count}" for region, count in got.counts.items())
        if not spec.is_new(fleet.group(spec.group)):
            yield f"{spec.group}: as many machines as there are, unless stated: {numbers}"
            continue
        where = "" if spec.stated_regions or not spec.if_new.source else f", in {spec.if_new.source}"
        why = f" ({got.if_new.why})" if got.creates_group and got.if_new.why else ""
        yield f"{spec.group}: a new group{where}: {numbers}{why}"
