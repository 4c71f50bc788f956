"""deploy/k8s: valid by Kubernetes's own schemas, consistent, and as careful as compose is."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from redis import Redis

from api.http.server import SHUTDOWN_TIMEOUT_S
from client.local.ports import free_port
from client.local.redis_server import find_program
from shared.models import RELEASED_MODELS, full_name
from shared.settings import Settings
from tests.deploy.kubernetes_objects import (
    K8S,
    OVERLAYS,
    Object,
    container,
    objects,
    of_kind,
    pod,
    settings_of,
    workers,
    workloads,
)
from tests.support.paths import ROOT
from tests.support.processes import wait_until

# The oldest version that its project still supported when this was written.
VERSION = "1.34.0"
OF_OTHERS = {"ScaledObject"}  # KEDA's: no schema of Kubernetes
SECRET = dict(
    line.lstrip("#").split("=", 1)
    for line in (K8S / "secret.example.env").read_text().splitlines()
    if re.match(r"#?[A-Z_]+=", line)
)
in_each_overlay = pytest.mark.parametrize("overlay", OVERLAYS)


def test_every_object_follows_its_schema() -> None:
    # Each once, though overlays share most of them.
    distinct = {json.dumps(one): one for overlay in OVERLAYS for one in objects(overlay)}
    checked = [one for one in distinct.values() if one["kind"] not in OF_OTHERS]
    assert len(checked) > 20
    for one in checked:
        kubernetes_validate.validate(one, VERSION, strict=True)


def test_a_wrong_object_would_be_found() -> None:
    (api,) = of_kind("cpu", "Deployment").values()
    wrong = {**api, "spec": {**api["spec"], "replica": 2}}
    with pytest.raises(kubernetes_validate.ValidationError, match="replica"):
        kubernetes_validate.validate(wrong, VERSION, strict=True)


def test_every_file_belongs_to_an_overlay() -> None:
    files = {path.parent for path in K8S.rglob("kustomization.yaml")}
    reached: set[Path] = set()
    pending = [K8S / "overlays" / name for name in OVERLAYS]
    while pending:
        folder = pending.pop()
        reached.add(folder)
        listed = yaml.safe_load((folder / "kustomization.yaml").read_text())
        named = [
            (folder / each).resolve()
            for each in (*listed.get("resources", ()), *listed.get("components", ()))
        ]
        pending += [path for path in named if path.is_dir()]
        ours = {path for path in folder.glob("*.yaml") if path.name != "kustomization.yaml"}
        assert ours == {path for path in named if path.is_file()}
    assert files == reached


@in_each_overlay
def test_no_pod_has_more_rights_than_it_needs(overlay: str) -> None:
    accounts = of_kind(overlay, "ServiceAccount")
    for workload in workloads(overlay).values():
        spec, security = pod(workload), pod(workload)["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["runAsUser"] > 0
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        assert accounts[spec["serviceAccountName"]]["automountServiceAccountToken"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
        assert not [volume for volume in spec.get("volumes", ()) if "hostPath" in volume]
        assert container(workload)["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container(workload)["resources"]["limits"]["memory"]
        assert {"cpu", "memory"} <= set(container(workload)["resources"]["requests"])


@in_each_overlay
def test_our_pods_run_as_the_user_of_the_images(overlay: str) -> None:
    for name in ("api", *workers(overlay)):
        security = pod(workloads(overlay)[name])["securityContext"]
        ids = {security[key] for key in ("runAsUser", "runAsGroup", "fsGroup")}
        assert ids == {10001}
        for folder in ("/tmp", "/var/tmp"):
            mounts = container(workloads(overlay)[name])["volumeMounts"]
            assert [each for each in mounts if each["mountPath"] == folder]


@in_each_overlay
def test_what_is_named_exists(overlay: str) -> None:
    maps, claims = of_kind(overlay, "ConfigMap"), of_kind(overlay, "PersistentVolumeClaim")
    services = of_kind(overlay, "Service")
    for workload in workloads(overlay).values():
        text = yaml.safe_dump(workload)
        assert set(re.findall(r"configMapRef:\n\s+name: (\S+)", text)) <= set(maps)
        assert set(re.findall(r"configMap:\n\s+name: (\S+)", text)) <= set(maps)
        assert set(re.findall(r"claimName: (\S+)", text)) <= set(claims)
        for key in re.findall(r"secretKeyRef:\n\s+key: (\S+)", text):
            assert key in SECRET
        if workload["kind"] == "StatefulSet":
            assert workload["spec"]["serviceName"] in services
        volumes = {volume["name"] for volume in pod(workload).get("volumes", ())} | {
            claim["metadata"]["name"] for claim in workload["spec"].get("volumeClaimTemplates", ())
        }
        assert {mount["name"] for mount in container(workload)["volumeMounts"]} == volumes
    for ingress in of_kind(overlay, "Ingress").values():
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                assert path["backend"]["service"]["name"] in services


@in_each_overlay
def test_every_selector_selects(overlay: str) -> None:
    labels = [one["spec"]["template"]["metadata"]["labels"] for one in workloads(overlay).values()]

    def count(selector: Object) -> int:
        wanted = selector.get("matchLabels", {}).items()
        return sum(
            wanted <= each.items()
            and all(
                each.get(rule["key"]) in rule["values"]
                for rule in selector.get("matchExpressions", ())
            )
            for each in labels
        )

    for name, one in workloads(overlay).items():
        assert count(one["spec"]["selector"]) == 1, name
    for name, one in of_kind(overlay, "PodDisruptionBudget").items():
        assert count(one["spec"]["selector"]) == 1, name
    for name, one in of_kind(overlay, "Service").items():
        assert count({"matchLabels": one["spec"]["selector"]}) == 1, name
    for name, one in of_kind(overlay, "NetworkPolicy").items():
        assert count(one["spec"]["podSelector"]) >= 1, name
    assert set(of_kind(overlay, "PodDisruptionBudget")) == set(workloads(overlay))
    for kind in ("HorizontalPodAutoscaler", "ScaledObject"):
        for one in of_kind(overlay, kind).values():
            target = one["spec"]["scaleTargetRef"]
            # Else `kubectl apply` would set back what it has decided.
            assert "replicas" not in of_kind(overlay, target["kind"])[target["name"]]["spec"]


@in_each_overlay
def test_redis_is_reached_by_the_api_and_the_workers_alone(overlay: str) -> None:
    policies = of_kind(overlay, "NetworkPolicy")
    deny = policies["default-deny"]["spec"]
    assert deny == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    if "redis" in workloads(overlay):
        (rule,) = policies["redis"]["spec"]["ingress"]
        ((_, selector),) = (item for peer in rule["from"] for item in peer.items())
        assert selector["matchExpressions"][0]["values"] == ["api", "worker"]
        assert "egress" not in policies["redis"]["spec"]
    assert {one["spec"].get("type") for one in of_kind(overlay, "Service").values()} == {None}


@in_each_overlay
def test_the_settings_are_accepted(overlay: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("api", *workers(overlay)):
        with monkeypatch.context() as patch:
            given = settings_of(overlay, workloads(overlay)[name])
            for variable, value in {"TTS_REDIS_URL": SECRET["TTS_REDIS_URL"], **given}.items():
                patch.setenv(variable, value)
            settings = Settings.load()
        assert settings.auth == "required"
        assert set(given) - {f"TTS_{field.upper()}" for field in Settings.model_fields} <= {
            "TMPDIR",
            "AWS_REGION",
        }
        has_volume = "/results" in str(container(workloads(overlay)[name])["volumeMounts"])
        assert has_volume == settings.storage_url.startswith("file:///results")


@in_each_overlay
def test_a_pod_has_time_to_end_in_order(overlay: str) -> None:
    for worker in workers(overlay).values():
        drain_s = float(settings_of(overlay, worker)["TTS_DRAIN_S"])
        # The longest segment: docs/performance.md. The worker itself takes 2 s more at the most.
        assert drain_s >= 60
        assert pod(worker)["terminationGracePeriodSeconds"] >= drain_s + 10
    api = workloads(overlay)["api"]
    ((command, seconds),) = [container(api)["lifecycle"]["preStop"]["exec"]["command"]]
    assert command == "sleep"
    assert pod(api)["terminationGracePeriodSeconds"] > int(seconds) + SHUTDOWN_TIMEOUT_S + 10
    assert api["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


@in_each_overlay
def test_a_worker_is_ready_when_its_model_is_warm(overlay: str) -> None:
    for worker in workers(overlay).values():
        found = container(worker)
        for probe in ("startupProbe", "readinessProbe"):
            assert found[probe]["exec"]["command"] == ["python", "-m", "worker.health"]
        startup = found["startupProbe"]
        assert startup["periodSeconds"] * startup["failureThreshold"] == 30 * 60
        assert "livenessProbe" not in found


@in_each_overlay
def test_prometheus_reaches_the_workers_metrics(overlay: str) -> None:
    policy = of_kind(overlay, "NetworkPolicy")["worker"]["spec"]["ingress"]
    assert policy[0]["ports"] == [{"protocol": "TCP", "port": "metrics"}]
    for name, worker in workers(overlay).items():
        given = settings_of(overlay, worker)
        assert given["TTS_METRICS_HOST"] == "0.0.0.0"
        (port,) = container(worker)["ports"]
        assert port == {"name": "metrics", "containerPort": int(given["TTS_METRICS_PORT"])}
        (shown,) = of_kind(overlay, "Service")[name]["spec"]["ports"]
        assert shown["targetPort"] == port["name"]


@in_each_overlay
def test_the_images_are_pinned(overlay: str) -> None:
    version = re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None
    suffix = "-cuda" if overlay == "gpu" else ""
    for name, workload in workloads(overlay).items():
        image = container(workload)["image"]
        if name == "redis":
            compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
            assert image == compose["services"]["redis"]["image"]
        elif name == "api":
            assert image == f"qwen-tts-api:{version[1]}"
        else:
            assert image == f"qwen-tts-worker:{version[1]}{suffix}"


@in_each_overlay
def test_each_worker_speaks_a_model_that_there_is(overlay: str) -> None:
    names = [settings_of(overlay, one)["TTS_MODEL"] for one in workers(overlay).values()]
    assert {full_name(name) for name in names} <= set(RELEASED_MODELS)
    assert len(set(names)) == len(names)


def test_workers_on_gpus_have_one_each() -> None:
    assert len(workers("gpu")) == 2
    for worker in workers("gpu").values():
        assert container(worker)["resources"]["limits"]["nvidia.com/gpu"] == "1"
        assert settings_of("gpu", worker)["TTS_DEVICE"] == "cuda"


def test_a_managed_redis_and_a_bucket_leave_nothing_to_keep() -> None:
    assert set(workloads("managed")) == {"api", "worker-custom-voice"}
    assert of_kind("managed", "PersistentVolumeClaim") == {}


def test_keda_asks_for_the_models_of_the_workers() -> None:
    scaled = of_kind("keda", "ScaledObject")
    assert set(scaled) == set(workers("keda"))
    for name, one in scaled.items():
        (trigger,) = one["spec"]["triggers"]
        model = full_name(settings_of("keda", workers("keda")[name])["TTS_MODEL"])
        assert f'{{model="{model}"}}' in trigger["metadata"]["query"]
        assert one["spec"]["minReplicaCount"] <= one["spec"]["maxReplicaCount"]


def test_redis_starts_with_what_its_pod_is_given(tmp_path: Path) -> None:
    """The pod's own command and file, with a port and a folder of the test's."""
    redis = container(workloads("cpu")["redis"])
    port, (config,) = (
        free_port(),
        [
            one["data"]["redis.conf"]
            for one in of_kind("cpu", "ConfigMap").values()
            if "redis.conf" in one["data"]
        ],
    )
    file = tmp_path / "redis.conf"
    file.write_text(config.replace("/data", str(tmp_path)) + f"\nport {port}\nbind 127.0.0.1\n")
    script = redis["command"][-1].replace("/etc/redis/redis.conf", str(file))
    command = [*redis["command"][:-1], script.replace("redis-server", find_program())]
    env = {"PATH": os.environ["PATH"], "REDIS_PASSWORD": "0c0ffee0"}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
    try:
        with Redis(port=port, password="0c0ffee0") as client:
            wait_until(lambda: answers(client), 30)
            options: dict[str, Any] = client.config_get("appendonly", "maxmemory-policy")
            assert options == {"appendonly": "yes", "maxmemory-policy": "noeviction"}
            assert int(client.info("memory")["maxmemory"]) == 2**30
        assert "0c0ffee0" not in Path(f"/proc/{process.pid}/cmdline").read_text()
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, (tmp_path / "log").read_text()


def answers(client: Redis) -> bool:
    try:
        return bool(client.ping())
    except ConnectionError:
        return False
