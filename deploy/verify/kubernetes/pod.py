"""Runs the container of a pod under Docker as a kubelet would: mounts, user, limits, probes and termination.

    python pod.py start  MANIFESTS FOLDER KIND NAME IMAGE NETWORK [VARIABLE=VALUE ...]
    python pod.py probe  MANIFESTS KIND startup|liveness|readiness NAME
    python pod.py secret MANIFESTS FOLDER KEY VALUE
    python pod.py stop   MANIFESTS KIND NAME

MANIFESTS is what `kubectl kustomize` printed. `start` writes the secret of the pod below FOLDER, and `secret` changes a
key in it. `probe` exits with 0 when the probe succeeds for the first time, and with 1, printing the last answer, after
as many failures in a row as the specification allows.
"""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]  # its stubs are a package of their own

Object = dict[str, Any]
UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30}


def docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True).stdout.strip()


def bytes_of(quantity: str) -> str:
    return str(int(quantity[:-2]) * UNITS[quantity[-2:]])


def objects(manifests: str) -> list[Object]:
    return [one for one in yaml.safe_load_all(Path(manifests).read_text(encoding="utf-8")) if one]


def pod_of(found: list[Object], kind: str) -> Object:
    (only,) = [one["spec"]["template"]["spec"] for one in found if one["kind"] == kind]
    return dict(only)


def named(found: list[Object], kind: str, name: str) -> Object:
    (only,) = [one for one in found if one["kind"] == kind and one["metadata"]["name"] == name]
    return only


def write_secret(values: dict[str, bytes], folder: Path, mode: int, group: int) -> None:
    """Write its files as a kubelet does: in a folder behind a link, so that a change replaces all files at once."""
    data = folder / f"..{time.time_ns()}"
    data.mkdir(parents=True)
    for key, value in values.items():
        file = data / key
        file.write_bytes(value)
        file.chmod(mode)
        os.chown(file, 0, group)
        if not (folder / key).is_symlink():
            (folder / key).symlink_to(f"..data/{key}")
    link = folder / "..next"
    link.symlink_to(data.name)
    link.replace(folder / "..data")


def start(manifests: str, folder: str, kind: str, name: str, image: str, network: str, *variables: str) -> None:
    found = objects(manifests)
    pod = pod_of(found, kind)
    (container,) = pod["containers"]
    context, rights = pod["securityContext"], container["securityContext"]
    if not context["runAsNonRoot"] or context["runAsUser"] == 0:
        sys.exit(f"{name} would run as root")
    options = [f"--name={name}", f"--hostname={name}", f"--network={network}"]
    options += [f"--user={context['runAsUser']}:{context['runAsGroup']}", f"--group-add={context['fsGroup']}"]
    options += ["--read-only"] * rights["readOnlyRootFilesystem"]
    options += ["--security-opt=no-new-privileges"] * (not rights["allowPrivilegeEscalation"])
    options += [f"--cap-drop={one}" for one in rights["capabilities"]["drop"]]
    memory = bytes_of(container["resources"]["limits"]["memory"])
    options += [f"--memory={memory}", f"--memory-swap={memory}"]

    environment: dict[str, str] = {}
    for source in container.get("envFrom", []):
        environment |= named(found, "ConfigMap", source["configMapRef"]["name"])["data"]
    for one in container["env"]:
        path = one.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath")
        environment[one["name"]] = name if path == "metadata.name" else one["value"]
    environment |= dict(variable.split("=", 1) for variable in variables)
    options += [f"--env={key}={value}" for key, value in environment.items()]

    volumes = {one["name"]: one for one in pod["volumes"]}
    for mount in container["volumeMounts"]:
        volume = volumes[mount["name"]]
        if "secret" in volume:
            place = Path(folder).absolute() / volume["secret"]["secretName"]
            data = named(found, "Secret", volume["secret"]["secretName"])["data"]
            values = {key: base64.b64decode(value) for key, value in data.items()}
            write_secret(values, place, volume["secret"]["defaultMode"], context["fsGroup"])
            options.append(f"--mount=type=bind,source={place},target={mount['mountPath']},readonly")
        else:
            size = bytes_of(volume["emptyDir"]["sizeLimit"])
            options.append(f"--mount=type=tmpfs,target={mount['mountPath']},tmpfs-size={size}")
    # What the kubelet calls `command` is Docker's entrypoint. The image's own health check is not used.
    program, *arguments = container["command"]
    docker("run", "--detach", "--no-healthcheck", *options, f"--entrypoint={program}", image, *arguments)


def secret(_: str, folder: str, key: str, value: str) -> None:
    (mounted,) = Path(folder).iterdir()
    files = {file.name: file for file in (mounted / "..data").iterdir()}
    status = files[key].stat()
    values = {name: file.read_bytes() for name, file in files.items()} | {key: value.encode()}
    write_secret(values, mounted, status.st_mode & 0o777, status.st_gid)


def probe(manifests: str, kind: str, which: str, name: str) -> int:
    (container,) = pod_of(objects(manifests), kind)["containers"]
    told = container[f"{which}Probe"]
    address = docker("inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", name)
    (port,) = [one["containerPort"] for one in container["ports"] if one["name"] == told["httpGet"]["port"]]
    url = f"http://{address}:{port}{told['httpGet']['path']}"
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    answer = ""
    for _ in range(told["failureThreshold"]):
        began = time.monotonic()
        try:
            with direct.open(url, timeout=told.get("timeoutSeconds", 1)):
                return 0
        except urllib.error.HTTPError as error:
            answer = f"{error.code} {error.read().decode()}"
        except OSError as error:
            answer = str(error)
        time.sleep(max(0.0, told["periodSeconds"] - (time.monotonic() - began)))
    print(answer)
    return 1


def stop(manifests: str, kind: str, name: str) -> None:
    """The pause of `preStop` counts against the time that the pod has."""
    pod = pod_of(objects(manifests), kind)
    (container,) = pod["containers"]
    began = time.monotonic()
    docker("exec", name, *container["lifecycle"]["preStop"]["exec"]["command"])
    left = pod["terminationGracePeriodSeconds"] - int(time.monotonic() - began)
    docker("stop", f"--time={left}", name)


if __name__ == "__main__":
    sys.exit({"start": start, "probe": probe, "secret": secret, "stop": stop}[sys.argv[1]](*sys.argv[2:]))  # type: ignore[operator]
