"""What a release was made of: code, landed data, word of stewards, as-of day."""

import hashlib
import subprocess
from functools import cache

import duckdb

from orchestration.identity.state import decisions_state, rectifications_state
from orchestration.landing import landing_state
from orchestration.settings import PROJECT_ROOT, Settings

# Whatever can change what a release says.
_CODE = (
    "orchestration/**/*.py",
    "dbt_project/**/*.py",
    "dbt_project/**/*.sql",
    "dbt_project/**/*.yml",
    "expectations/**/*.yml",
    "governance/*.yml",
    "seeds/reference/*",
    "requirements.lock",
)


def provenance(settings: Settings, connection: duckdb.DuckDBPyConnection) -> dict[str, object]:
    """What explains a release; two runs with the same `inputs` publish the same content.

    connection: the working database.
    """
    code, state = code_hash(), landing_state(connection)
    decisions, rectified = decisions_state(connection), rectifications_state(connection)
    as_of = settings.as_of.isoformat()
    inputs = "|".join((code, state, decisions, rectified, as_of))
    return {
        "inputs": hashlib.sha256(inputs.encode()).hexdigest(),
        "code_hash": code,
        "code_version": code_version(),
        "landing_state": state,
        "decisions_state": decisions,
        "rectifications_state": rectified,
        "as_of": as_of,
        "duckdb": duckdb.__version__,
    }


@cache
def code_hash() -> str:
    """Digest of code, suites and reference data, also outside a git checkout."""
    digest = hashlib.sha256()
    for pattern in _CODE:
        for path in sorted(PROJECT_ROOT.glob(pattern)):
            if path.is_file() and "target" not in path.relative_to(PROJECT_ROOT).parts:
                digest.update(str(path.relative_to(PROJECT_ROOT)).encode())
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


@cache
def code_version() -> str:
    """`git describe` of the checkout, or the code hash where there is no git."""
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--tags"],  # noqa: S607
            cwd=PROJECT_ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return f"code-{code_hash()[:12]}"
    return described.stdout.strip()
