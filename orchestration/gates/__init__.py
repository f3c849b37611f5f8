"""Gates: whether what a layer holds may go on, decided by suites that an analyst can edit."""

from orchestration.gates.data_docs import build_data_docs
from orchestration.gates.databases import GateError
from orchestration.gates.gate import run_gate
from orchestration.gates.layers import (
    check_layers_before,
    close_layer,
    open_landing,
    open_layer,
    why_not_released,
)
from orchestration.gates.overrides import OverrideError
from orchestration.gates.results import (
    LAYERS,
    CheckResult,
    GateRecord,
    GateResult,
    gate_records,
    passed_gates,
    void_gates,
)
from orchestration.gates.suites import Severity, SuiteError

__all__ = [
    "LAYERS",
    "CheckResult",
    "GateError",
    "GateRecord",
    "GateResult",
    "OverrideError",
    "Severity",
    "SuiteError",
    "build_data_docs",
    "check_layers_before",
    "close_layer",
    "gate_records",
    "open_landing",
    "open_layer",
    "passed_gates",
    "run_gate",
    "void_gates",
    "why_not_released",
]
