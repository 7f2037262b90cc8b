from benchmarks.flyctl_deploys import POINTS, Run, rows

REFUSED = """
  Found 2 different images in your app (for bluegreen to work, all machines need to run a single image)
    [x] library/nginx:2 - 2 machine(s) (d36c3e2d5d138f,35f3d64256376f)
    [x] library/nginx:1 - 2 machine(s) (91a0142e42f09f,835b74fdf5f956)

  These image(s) are from a previous failed deployment and can be safely destroyed:
    [x] library/nginx:1 - 2 machine(s) ('fly machines destroy --force --image=library/nginx:1 --app=web')
"""


def run(output: str) -> Run:
    return Run(status=1, requests=1, seconds=0.1, output=output, is_accepted=False)


def test_the_old_set_is_destroyed_as_flyctl_advises() -> None:
    assert run(REFUSED).advice == ["machine", "destroy", "--force", "91a0142e42f09f", "835b74fdf5f956"]
    assert run("Error: release command failed").advice == []


def test_each_strategy_deploys_each_app_that_suits_it_and_is_interrupted() -> None:
    names = [row.name for row in rows()]
    assert [name for name in names if "mount" in name] == [
        "rolling two groups, mount",
        "immediate two groups, mount",
    ]
    for strategy in ("rolling", "canary", "bluegreen", "immediate"):
        assert sum(name.startswith(f"{strategy} Ctrl-C") for name in names) == len(POINTS[strategy]) == 4
        assert f"{strategy} two groups, standby" in names
