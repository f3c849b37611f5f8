"""Release: the marts that passed their gates become one versioned folder, then `current`."""

from orchestration.release.content import Column, ReleaseError, Table
from orchestration.release.releases import (
    Manifest,
    Release,
    current_release,
    list_releases,
    publish,
    read_manifest,
    rewrite_releases,
    rollback,
    verify_release,
)

__all__ = [
    "Column",
    "Manifest",
    "Release",
    "ReleaseError",
    "Table",
    "current_release",
    "list_releases",
    "publish",
    "read_manifest",
    "rewrite_releases",
    "rollback",
    "verify_release",
]
