"""The Kubernetes objects of an overlay, as kubectl's kustomize puts them together."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.support.paths import ROOT

K8S = ROOT / "deploy" / "k8s"
OVERLAYS = sorted(folder.name for folder in (K8S / "overlays").iterdir())
Object = dict[str, Any]


@cache
def objects(overlay: str) -> list[Object]:
    """All objects; kustomize fails if a file or a patch's target is missing."""
    kubectl = Path(sys.executable).with_name("kubectl")
    command = [kubectl, "kustomize", K8S / "overlays" / overlay]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return list(yaml.safe_load_all(built.stdout))


def of_kind(overlay: str, kind: str) -> dict[str, Object]:
    """The objects of a kind by their names."""
    return {one["metadata"]["name"]: one for one in objects(overlay) if one["kind"] == kind}


def workloads(overlay: str) -> dict[str, Object]:
    """The Deployments and StatefulSets by their names."""
    return of_kind(overlay, "Deployment") | of_kind(overlay, "StatefulSet")


def pod(workload: Object) -> Object:
    """The specification of a workload's pods."""
    return workload["spec"]["template"]["spec"]


def container(workload: Object) -> Object:
    """The one container of a workload's pods."""
    (only,) = pod(workload)["containers"]
    return only


def workers(overlay: str) -> dict[str, Object]:
    """The workloads of workers by their names."""
    return {
        name: one
        for name, one in workloads(overlay).items()
        if one["metadata"]["labels"]["app.kubernetes.io/name"] == "worker"
    }


def settings_of(overlay: str, workload: Object) -> dict[str, str]:
    """The variables that a container of ours has, those of the Secret left out."""
    maps = of_kind(overlay, "ConfigMap")
    found: dict[str, str] = {}
    for source in container(workload)["envFrom"]:
        if "configMapRef" in source:
            found |= maps[source["configMapRef"]["name"]]["data"]
    return found | {each["name"]: each["value"] for each in container(workload).get("env", ())}
