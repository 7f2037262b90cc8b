"""The parts of a fly.toml for building images and for flyctl itself, which only need to be valid."""

from typing import Final

from flyasync.models.fly_toml.section import Section

_TEXTS: Final = ("builder", "builtin", "dockerfile", "ignorefile", "build-target", "build_target")
_COMPRESSIONS: Final = ("gzip", "zstd")
_LEVELS: Final = range(10)
_FLAGS: Final = ("auto_rollback", "enable_consul", "enable_etcd", "lazy_load_images")


def image_of_build(top: Section) -> str | None:
    """Read `[build]`, and return its image; flyasync does not build one."""
    build = top.table("build") or Section("build", {}, top.found)
    image = build.text("image")
    if build.take("compose") is not None:
        build.wrong("compose", "is not supported: write the containers as JSON, and name the file in machine_config")
    for key in _TEXTS:
        build.text(key)
    build.texts("buildpacks")
    build.strings("args")
    build.table("settings")
    compression, level = build.text("compression"), build.integer("compression_level")
    if compression and compression not in _COMPRESSIONS:
        build.wrong("compression", f"is {compression!r}, but must be gzip or zstd")
    if level is not None and level not in _LEVELS:
        build.wrong("compression_level", f"is {level}, but must be from 0 to 9")
    build.finish()
    return image or None


def client_flags(experimental: Section) -> None:
    """Read the keys of `[experimental]` that do not affect machines."""
    for key in _FLAGS:
        experimental.flag(key)
    attached = experimental.table("attached") or Section("", {}, experimental.found)
    secrets = attached.table("secrets") or Section("", {}, experimental.found)
    secrets.strings("export")
    secrets.finish()
    attached.finish()
