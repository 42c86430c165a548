"""Checks objects of KEDA by what its own release says of them: its CRD, and its list of scalers."""

import json
from typing import Any, Final

import jsonschema
import yaml

from conformance.clients.engines.go_program import find_go
from conformance.deploy.programs import module_source

_MODULE: Final = "github.com/kedacore/keda/v2@v2.21.0"
_DEFINITION: Final = "config/crd/bases/keda.sh_scaledobjects.yaml"
_SCALERS: Final = "schema/generated/scalers-schema.json"


def problems_of(scaled: dict[str, Any]) -> list[str]:
    """Return what KEDA would not take of a ScaledObject, or not know.

    Raises:
        EngineMissing: There is no Go, or the module cannot be fetched.
    """
    source = module_source(str(find_go()), _MODULE)
    definition = yaml.safe_load((source / _DEFINITION).read_text(encoding="utf-8"))
    version = scaled["apiVersion"].removeprefix(f"{definition['spec']['group']}/")
    schemas = {
        one["name"]: one["schema"]["openAPIV3Schema"] for one in definition["spec"]["versions"]
    }
    validator = jsonschema.Draft4Validator(_strict(schemas[version]))
    found = [f"{error.json_path}: {error.message}" for error in validator.iter_errors(scaled)]
    scalers = json.loads((source / _SCALERS).read_text(encoding="utf-8"))["scalers"]
    for trigger in scaled["spec"]["triggers"]:
        found += _problems_of_trigger(
            trigger, next(one for one in scalers if one["type"] == trigger["type"])
        )
    return found


def _problems_of_trigger(trigger: dict[str, Any], scaler: dict[str, Any]) -> list[str]:
    parameters = {one["name"]: one for one in scaler["parameters"]}
    found = [f"unknown parameter {name}" for name in trigger["metadata"].keys() - parameters]
    needed = {
        name
        for name, one in parameters.items()
        if not one.get("optional") and not one.get("default") and not one.get("deprecated")
    }
    return [*found, *(f"no parameter {name}" for name in needed - trigger["metadata"].keys())]


def _strict(schema: Any) -> Any:
    """Return a schema that refuses fields it does not name, as the API server does on request."""
    if isinstance(schema, list):
        return [_strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    strict = {key: _strict(value) for key, value in schema.items()}
    named = schema.get("properties")
    if schema.get("type") == "object" and isinstance(named, dict):
        strict.setdefault("additionalProperties", False)
    return strict
