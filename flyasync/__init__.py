"""Asyncio SDK and multi-region deployer for Fly.io Machines.

All public names can be imported from here. Each is loaded on first use, so `import flyasync` itself is fast.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flyasync.api.client import FlyClient as FlyClient
    from flyasync.api.fly_toml import (
        find_fly_toml as find_fly_toml,
        load_config_file as load_config_file,
        read_fly_toml as read_fly_toml,
    )
    from flyasync.api.logs import LogStream as LogStream
    from flyasync.api.machines.create_once import Creation as Creation
    from flyasync.api.machines.ensure import Ensured as Ensured
    from flyasync.api.machines.leases import HeldLease as HeldLease
    from flyasync.api.pagination import Pages as Pages
    from flyasync.deploy.builder import DeployBuilder as DeployBuilder
    from flyasync.deploy.many.dask_executor import DaskExecutor as DaskExecutor
    from flyasync.deploy.many.executors import Executor as Executor, Job as Job
    from flyasync.deploy.many.many import deploy_many as deploy_many
    from flyasync.deploy.plan.duration import Estimate as Estimate
    from flyasync.deploy.plan.placement import Refusal as Refusal
    from flyasync.deploy.plan.plan import Plan as Plan
    from flyasync.deploy.plan.spec import DeploySpec as DeploySpec, Requirement as Requirement
    from flyasync.deploy.reporting.events import (
        Event as Event,
        Finished as Finished,
        Planned as Planned,
        Progress as Progress,
    )
    from flyasync.deploy.reporting.phase import Moment as Moment, Phase as Phase
    from flyasync.deploy.reporting.report import (
        Cause as Cause,
        DeployReport as DeployReport,
        MachineReport as MachineReport,
        RegionReport as RegionReport,
    )
    from flyasync.deploy.reporting.result import Failure as Failure, Result as Result
    from flyasync.deploy.reporting.status import Status as Status
    from flyasync.emulator.core.accepted_token import AcceptedToken as AcceptedToken
    from flyasync.emulator.core.faults import Fault as Fault
    from flyasync.emulator.core.processes import Output as Output
    from flyasync.emulator.server import Emulator as Emulator
    from flyasync.emulator.world.reach import PortReach as PortReach
    from flyasync.errors import (
        Abandoned as Abandoned,
        AlreadyStarting as AlreadyStarting,
        BadRequest as BadRequest,
        CallFailed as CallFailed,
        ClaimLingers as ClaimLingers,
        ClientClosed as ClientClosed,
        Conflict as Conflict,
        ConnectFailed as ConnectFailed,
        ConnectionLost as ConnectionLost,
        DeployFailed as DeployFailed,
        FileNotCopied as FileNotCopied,
        FleetChanged as FleetChanged,
        FlyError as FlyError,
        Forbidden as Forbidden,
        GraphQLFailed as GraphQLFailed,
        ImageNotFound as ImageNotFound,
        IncompleteList as IncompleteList,
        InvalidInput as InvalidInput,
        JobLost as JobLost,
        LeaseHeld as LeaseHeld,
        MissingToken as MissingToken,
        NameTaken as NameTaken,
        NoCapacity as NoCapacity,
        NoFreeVolume as NoFreeVolume,
        NoReplyInTime as NoReplyInTime,
        NotFound as NotFound,
        NotSettled as NotSettled,
        PoolExhausted as PoolExhausted,
        RateLimited as RateLimited,
        Refused as Refused,
        Scope as Scope,
        SecretsNotReady as SecretsNotReady,
        ServerFault as ServerFault,
        StaleVersion as StaleVersion,
        TimedOut as TimedOut,
        Unanswered as Unanswered,
        Unauthorized as Unauthorized,
        Unreadable as Unreadable,
        VolumeInUse as VolumeInUse,
        WaitFailed as WaitFailed,
        WrongLoop as WrongLoop,
        WrongState as WrongState,
    )
    from flyasync.models.app import App as App, Organization as Organization
    from flyasync.models.certificate import (
        AcmeChallenge as AcmeChallenge,
        Certificate as Certificate,
        CertificateEntry as CertificateEntry,
        CertificateSummary as CertificateSummary,
        CertificateValidation as CertificateValidation,
        CertificateValidationError as CertificateValidationError,
        DNSRecords as DNSRecords,
        DNSRequirements as DNSRequirements,
        IssuedCertificate as IssuedCertificate,
        OwnershipVerification as OwnershipVerification,
    )
    from flyasync.models.config import (
        DNS as DNS,
        CacheDrive as CacheDrive,
        DNSForwardRule as DNSForwardRule,
        DNSOption as DNSOption,
        Init as Init,
        MachineConfig as MachineConfig,
        Metrics as Metrics,
        Mount as Mount,
        Rootfs as Rootfs,
        Spot as Spot,
        Static as Static,
    )
    from flyasync.models.container import (
        Container as Container,
        ContainerDependency as ContainerDependency,
        ContainerHealthcheck as ContainerHealthcheck,
        ContainerMount as ContainerMount,
        ContainerVolume as ContainerVolume,
        EnvFrom as EnvFrom,
        ExecHealthcheck as ExecHealthcheck,
        File as File,
        HTTPHealthcheck as HTTPHealthcheck,
        MachineSecret as MachineSecret,
        Process as Process,
        Restart as Restart,
        StopConfig as StopConfig,
        TCPHealthcheck as TCPHealthcheck,
        TempDir as TempDir,
    )
    from flyasync.models.diff import (
        Change as Change,
        diff_text as diff_text,
        differences as differences,
        same as same,
    )
    from flyasync.models.fly_toml.app_config import FlyToml as FlyToml
    from flyasync.models.fly_toml.deploy import DeploySection as DeploySection
    from flyasync.models.fly_toml.mounts import MountSection as MountSection
    from flyasync.models.guest import Guest as Guest
    from flyasync.models.hostnames import (
        app_host as app_host,
        flycast_host as flycast_host,
        global_host as global_host,
        metadata_host as metadata_host,
        nearest_host as nearest_host,
        peer_host as peer_host,
        process_group_host as process_group_host,
        public_host as public_host,
        region_host as region_host,
    )
    from flyasync.models.ip_assignment import (
        IPAssignment as IPAssignment,
        IPNetwork as IPNetwork,
        IPPair as IPPair,
    )
    from flyasync.models.lease import Lease as Lease, MachineLease as MachineLease
    from flyasync.models.lint.finding import Finding as Finding
    from flyasync.models.lint.linter import lint as lint, lint_groups as lint_groups
    from flyasync.models.log_line import LogLine as LogLine
    from flyasync.models.machine import (
        CheckStatus as CheckStatus,
        ContainerStatus as ContainerStatus,
        ExitEvent as ExitEvent,
        ImageRef as ImageRef,
        Machine as Machine,
        MachineEvent as MachineEvent,
        OrgMachine as OrgMachine,
        machine_host as machine_host,
    )
    from flyasync.models.machine_results import (
        ExecResult as ExecResult,
        ListenSocket as ListenSocket,
        MachineVersion as MachineVersion,
        Memory as Memory,
        ProcessStat as ProcessStat,
        StartResult as StartResult,
        WaitResult as WaitResult,
    )
    from flyasync.models.postgres import (
        PostgresActiveQuery as PostgresActiveQuery,
        PostgresAttachedApp as PostgresAttachedApp,
        PostgresAttachment as PostgresAttachment,
        PostgresBackup as PostgresBackup,
        PostgresCluster as PostgresCluster,
        PostgresClusterEndpoints as PostgresClusterEndpoints,
        PostgresCredentials as PostgresCredentials,
        PostgresDatabase as PostgresDatabase,
        PostgresEndpoint as PostgresEndpoint,
        PostgresExtension as PostgresExtension,
        PostgresInstalledExtension as PostgresInstalledExtension,
        PostgresNodeEndpoints as PostgresNodeEndpoints,
        PostgresSlowQuery as PostgresSlowQuery,
        PostgresUser as PostgresUser,
    )
    from flyasync.models.region import (
        Placement as Placement,
        Placements as Placements,
        Region as Region,
        Regions as Regions,
    )
    from flyasync.models.replay import fly_replay_headers as fly_replay_headers
    from flyasync.models.secret import Secret as Secret, SecretsUpdate as SecretsUpdate
    from flyasync.models.secret_key import SecretKey as SecretKey
    from flyasync.models.service import (
        Check as Check,
        Concurrency as Concurrency,
        HTTPHeader as HTTPHeader,
        HTTPOptions as HTTPOptions,
        HTTPResponseOptions as HTTPResponseOptions,
        Port as Port,
        ProxyProtoOptions as ProxyProtoOptions,
        ReplayCache as ReplayCache,
        Service as Service,
        TLSOptions as TLSOptions,
    )
    from flyasync.models.token import (
        Authorization as Authorization,
        CaveatSet as CaveatSet,
        GrantedAccess as GrantedAccess,
        MacaroonNonce as MacaroonNonce,
        TokenAccess as TokenAccess,
        TokenInfo as TokenInfo,
        VerifiedToken as VerifiedToken,
    )
    from flyasync.models.types import Autostop as Autostop, Duration as Duration, Timestamp as Timestamp
    from flyasync.models.volume import (
        ExtendedVolume as ExtendedVolume,
        Volume as Volume,
        VolumeSnapshot as VolumeSnapshot,
    )
    from flyasync.pool.claimed import ClaimedMachine as ClaimedMachine
    from flyasync.pool.events import (
        ClaimFailed as ClaimFailed,
        ClaimSource as ClaimSource,
        DestroyReason as DestroyReason,
        MachineClaimed as MachineClaimed,
        MachineCreated as MachineCreated,
        MachineDestroyed as MachineDestroyed,
        MachineReleased as MachineReleased,
        PoolEvent as PoolEvent,
    )
    from flyasync.pool.keeper import PoolStatus as PoolStatus, Reconciled as Reconciled
    from flyasync.pool.pool import MachinePool as MachinePool
    from flyasync.pool.spec import OnRelease as OnRelease, Standby as Standby
    from flyasync.transport.events import (
        Attempt as Attempt,
        Began as Began,
        ClientEvent as ClientEvent,
        Dequeued as Dequeued,
        Ended as Ended,
        LimitsBack as LimitsBack,
        LimitsLost as LimitsLost,
        Outlasting as Outlasting,
        Paused as Paused,
        Queued as Queued,
        Span as Span,
        log_event as log_event,
    )
    from flyasync.transport.ratelimit.rates import Limits as Limits, Rate as Rate
    from flyasync.transport.retries import RetryPolicy as RetryPolicy
    from flyasync.transport.session import Timeouts as Timeouts

    __version__: str

_NAMES = {
    "flyasync.api.machines.ensure": ("Ensured",),
    "flyasync.api.machines.leases": ("HeldLease",),
    "flyasync.models.replay": ("fly_replay_headers",),
    "flyasync.pool.claimed": ("ClaimedMachine",),
    "flyasync.pool.events": (
        "ClaimFailed",
        "ClaimSource",
        "DestroyReason",
        "MachineClaimed",
        "MachineCreated",
        "MachineDestroyed",
        "MachineReleased",
        "PoolEvent",
    ),
    "flyasync.pool.keeper": ("PoolStatus", "Reconciled"),
    "flyasync.pool.pool": ("MachinePool",),
    "flyasync.pool.spec": ("OnRelease", "Standby"),
    "flyasync.api.client": ("FlyClient",),
    "flyasync.api.fly_toml": ("find_fly_toml", "load_config_file", "read_fly_toml"),
    "flyasync.api.logs": ("LogStream",),
    "flyasync.api.machines.create_once": ("Creation",),
    "flyasync.api.pagination": ("Pages",),
    "flyasync.deploy.builder": ("DeployBuilder",),
    "flyasync.deploy.plan.spec": (
        "DeploySpec",
        "Requirement",
    ),
    "flyasync.deploy.plan.duration": ("Estimate",),
    "flyasync.deploy.reporting.events": (
        "Event",
        "Finished",
        "Planned",
        "Progress",
    ),
    "flyasync.deploy.many.dask_executor": ("DaskExecutor",),
    "flyasync.deploy.many.executors": (
        "Executor",
        "Job",
    ),
    "flyasync.deploy.many.many": ("deploy_many",),
    "flyasync.deploy.reporting.phase": ("Moment", "Phase"),
    "flyasync.deploy.plan.placement": ("Refusal",),
    "flyasync.deploy.plan.plan": ("Plan",),
    "flyasync.deploy.reporting.report": (
        "Cause",
        "DeployReport",
        "MachineReport",
        "RegionReport",
    ),
    "flyasync.deploy.reporting.result": ("Failure", "Result"),
    "flyasync.deploy.reporting.status": ("Status",),
    "flyasync.emulator.core.accepted_token": ("AcceptedToken",),
    "flyasync.emulator.core.faults": ("Fault",),
    "flyasync.emulator.core.processes": ("Output",),
    "flyasync.emulator.server": ("Emulator",),
    "flyasync.emulator.world.reach": ("PortReach",),
    "flyasync.errors": (
        "Abandoned",
        "AlreadyStarting",
        "BadRequest",
        "CallFailed",
        "ClaimLingers",
        "ClientClosed",
        "WrongLoop",
        "FileNotCopied",
        "PoolExhausted",
        "Conflict",
        "ConnectFailed",
        "ConnectionLost",
        "DeployFailed",
        "FleetChanged",
        "FlyError",
        "Forbidden",
        "GraphQLFailed",
        "ImageNotFound",
        "IncompleteList",
        "InvalidInput",
        "JobLost",
        "LeaseHeld",
        "MissingToken",
        "NameTaken",
        "NoCapacity",
        "NoFreeVolume",
        "NoReplyInTime",
        "NotFound",
        "NotSettled",
        "RateLimited",
        "Refused",
        "Scope",
        "SecretsNotReady",
        "ServerFault",
        "StaleVersion",
        "TimedOut",
        "Unanswered",
        "Unauthorized",
        "Unreadable",
        "VolumeInUse",
        "WaitFailed",
        "WrongState",
    ),
    "flyasync.models.machine_results": (
        "ExecResult",
        "ListenSocket",
        "MachineVersion",
        "Memory",
        "ProcessStat",
        "StartResult",
        "WaitResult",
    ),
    "flyasync.models.ip_assignment": (
        "IPAssignment",
        "IPNetwork",
        "IPPair",
    ),
    "flyasync.models.app": (
        "App",
        "Organization",
    ),
    "flyasync.models.certificate": (
        "AcmeChallenge",
        "Certificate",
        "CertificateEntry",
        "CertificateSummary",
        "CertificateValidation",
        "CertificateValidationError",
        "DNSRecords",
        "DNSRequirements",
        "IssuedCertificate",
        "OwnershipVerification",
    ),
    "flyasync.models.diff": (
        "Change",
        "diff_text",
        "differences",
        "same",
    ),
    "flyasync.models.config": (
        "CacheDrive",
        "DNS",
        "DNSForwardRule",
        "DNSOption",
        "Init",
        "MachineConfig",
        "Metrics",
        "Mount",
        "Rootfs",
        "Spot",
        "Static",
    ),
    "flyasync.models.container": (
        "Container",
        "ContainerDependency",
        "ContainerHealthcheck",
        "ContainerMount",
        "ContainerVolume",
        "EnvFrom",
        "ExecHealthcheck",
        "File",
        "HTTPHealthcheck",
        "MachineSecret",
        "Process",
        "Restart",
        "StopConfig",
        "TCPHealthcheck",
        "TempDir",
    ),
    "flyasync.models.fly_toml.app_config": ("FlyToml",),
    "flyasync.models.fly_toml.deploy": ("DeploySection",),
    "flyasync.models.fly_toml.mounts": ("MountSection",),
    "flyasync.models.lint.finding": ("Finding",),
    "flyasync.models.guest": ("Guest",),
    "flyasync.models.hostnames": (
        "app_host",
        "flycast_host",
        "global_host",
        "metadata_host",
        "nearest_host",
        "peer_host",
        "process_group_host",
        "public_host",
        "region_host",
    ),
    "flyasync.models.lease": (
        "Lease",
        "MachineLease",
    ),
    "flyasync.models.lint.linter": (
        "lint",
        "lint_groups",
    ),
    "flyasync.models.log_line": ("LogLine",),
    "flyasync.models.machine": (
        "CheckStatus",
        "ContainerStatus",
        "ExitEvent",
        "ImageRef",
        "Machine",
        "MachineEvent",
        "OrgMachine",
        "machine_host",
    ),
    "flyasync.models.postgres": (
        "PostgresActiveQuery",
        "PostgresAttachedApp",
        "PostgresAttachment",
        "PostgresBackup",
        "PostgresCluster",
        "PostgresClusterEndpoints",
        "PostgresCredentials",
        "PostgresDatabase",
        "PostgresEndpoint",
        "PostgresExtension",
        "PostgresInstalledExtension",
        "PostgresNodeEndpoints",
        "PostgresSlowQuery",
        "PostgresUser",
    ),
    "flyasync.models.region": (
        "Placement",
        "Placements",
        "Region",
        "Regions",
    ),
    "flyasync.models.types": (
        "Autostop",
        "Duration",
        "Timestamp",
    ),
    "flyasync.models.secret": (
        "Secret",
        "SecretsUpdate",
    ),
    "flyasync.models.secret_key": ("SecretKey",),
    "flyasync.models.service": (
        "Check",
        "Concurrency",
        "HTTPHeader",
        "HTTPOptions",
        "HTTPResponseOptions",
        "Port",
        "ProxyProtoOptions",
        "ReplayCache",
        "Service",
        "TLSOptions",
    ),
    "flyasync.models.token": (
        "Authorization",
        "CaveatSet",
        "GrantedAccess",
        "MacaroonNonce",
        "TokenAccess",
        "TokenInfo",
        "VerifiedToken",
    ),
    "flyasync.models.volume": (
        "ExtendedVolume",
        "Volume",
        "VolumeSnapshot",
    ),
    "flyasync.transport.events": (
        "Attempt",
        "Began",
        "ClientEvent",
        "Dequeued",
        "Ended",
        "LimitsBack",
        "LimitsLost",
        "Outlasting",
        "Paused",
        "Queued",
        "Span",
        "log_event",
    ),
    "flyasync.transport.ratelimit.rates": (
        "Limits",
        "Rate",
    ),
    "flyasync.transport.retries": ("RetryPolicy",),
    "flyasync.transport.session": ("Timeouts",),
}

_HOMES = {name: module for module, names in _NAMES.items() for name in names}

_EXTRA = {"DaskExecutor": ("dask", "distributed")}
"""The names that need an extra, with the extra and the package that it installs; `import *` leaves them out."""

__all__ = [name for name in _HOMES if name not in _EXTRA]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("flyasync")
    if name not in _HOMES:
        raise AttributeError(f"module 'flyasync' has no attribute {name!r}")
    extra, package = _EXTRA.get(name, ("", ""))
    if extra and not _is_installed(package):
        message = f"flyasync.{name} needs the package {package}: pip install 'flyasync[{extra}]'"
        raise ModuleNotFoundError(message, name=package)
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    # Only names that can be imported: help() and pydoc read every name in this list.
    missing = {name for name, (_, package) in _EXTRA.items() if not _is_installed(package)}
    return sorted({*globals(), *_HOMES} - missing)


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except (ImportError, ValueError):
        return False
