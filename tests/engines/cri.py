#!/usr/bin/python3
"""A client of the Container Runtime Interface, version 1, for tests: crictl is not in Debian 12.

cri.py SOCKET: each line of standard input is a method and its request as JSON; the answer is a line with {"answer": …} or
{"error": …}. Of the messages there is what the tests ask for, by the numbers of the interface's api.proto; that is too
little to need a compiler for it.
"""

import json
import sys

import grpc

# Per message its fields: name=number, of a string; with :int, :bool or the name of a message; * is a list.
FIELDS = {
    "RunPodSandboxRequest": "config=1:PodSandboxConfig runtime_handler=2",
    "RunPodSandboxResponse": "pod_sandbox_id=1",
    "PodSandboxStatusRequest": "pod_sandbox_id=1",
    "PodSandboxStatusResponse": "status=1:PodSandboxStatus",
    "StopPodSandboxRequest": "pod_sandbox_id=1",
    "StopPodSandboxResponse": "",
    "RemovePodSandboxRequest": "pod_sandbox_id=1",
    "RemovePodSandboxResponse": "",
    "CreateContainerRequest": "pod_sandbox_id=1 config=2:ContainerConfig sandbox_config=3:PodSandboxConfig",
    "CreateContainerResponse": "container_id=1",
    "StartContainerRequest": "container_id=1",
    "StartContainerResponse": "",
    "StopContainerRequest": "container_id=1 timeout=2:int",
    "StopContainerResponse": "",
    "RemoveContainerRequest": "container_id=1",
    "RemoveContainerResponse": "",
    "ContainerStatusRequest": "container_id=1",
    "ContainerStatusResponse": "status=1:ContainerStatus",
    "ExecSyncRequest": "container_id=1 cmd=2* timeout=3:int",
    "ExecSyncResponse": "stdout=1 stderr=2 exit_code=3:int",
    "ContainerStatsRequest": "container_id=1",
    "ContainerStatsResponse": "stats=1:ContainerStats",
    "UpdateContainerResourcesRequest": "container_id=1 linux=2:LinuxContainerResources",
    "UpdateContainerResourcesResponse": "",
    "ImageStatusRequest": "image=1:ImageSpec",
    "ImageStatusResponse": "image=1:Image",
    "PodSandboxConfig": "metadata=1:PodSandboxMetadata hostname=2 log_directory=3 dns_config=4:DNSConfig"
    " linux=8:LinuxPodSandboxConfig",
    "PodSandboxMetadata": "name=1 uid=2 namespace=3 attempt=4:int",
    "DNSConfig": "servers=1* searches=2* options=3*",
    "LinuxPodSandboxConfig": "cgroup_parent=1 security_context=2:LinuxSandboxSecurityContext",
    "LinuxSandboxSecurityContext": "namespace_options=1:NamespaceOption seccomp=9:SecurityProfile",
    "NamespaceOption": "network=1:int pid=2:int ipc=3:int target_id=4",
    "SecurityProfile": "profile_type=1:int localhost_ref=2",
    "PodSandboxStatus": "id=1 metadata=2:PodSandboxMetadata state=3:int runtime_handler=9",
    "ContainerConfig": "metadata=1:ContainerMetadata image=2:ImageSpec command=3* args=4* working_dir=5 envs=6:KeyValue*"
    " mounts=7:Mount* log_path=11 linux=15:LinuxContainerConfig",
    "ContainerMetadata": "name=1 attempt=2:int",
    "ImageSpec": "image=1",
    "Image": "id=1 repo_tags=2*",
    "KeyValue": "key=1 value=2",
    "Mount": "container_path=1 host_path=2 readonly=3:bool",
    "LinuxContainerConfig": "resources=1:LinuxContainerResources security_context=2:LinuxContainerSecurityContext",
    "LinuxContainerResources": "cpu_period=1:int cpu_quota=2:int cpu_shares=3:int memory_limit_in_bytes=4:int"
    " oom_score_adj=5:int",
    "LinuxContainerSecurityContext": "capabilities=1:Capability namespace_options=3:NamespaceOption"
    " run_as_user=5:Int64Value readonly_rootfs=7:bool no_new_privs=11:bool run_as_group=12:Int64Value masked_paths=13*"
    " readonly_paths=14* seccomp=15:SecurityProfile",
    "Capability": "add_capabilities=1* drop_capabilities=2*",
    "Int64Value": "value=1:int",
    "ContainerStatus": "id=1 metadata=2:ContainerMetadata state=3:int exit_code=7:int reason=10 message=11 log_path=15",
    "ContainerStats": "memory=3:MemoryUsage",
    "MemoryUsage": "timestamp=1:int working_set_bytes=2:Int64Value",
}


def fields(message):
    """(name, number, kind, whether it is a list) of each field."""
    for field in FIELDS[message].split():
        name, _, rest = field.partition("=")
        number, _, kind = rest.rstrip("*").partition(":")
        yield name, int(number), kind or "string", rest.endswith("*")


def varint(number):
    data = bytearray()
    number &= (1 << 64) - 1
    while number > 127:
        data.append(number & 127 | 128)
        number >>= 7
    data.append(number)
    return bytes(data)


def encode(message, value):
    data = b""
    unknown = set(value) - {name for name, *_ in fields(message)}
    if unknown:
        raise KeyError(f"{message} has no {unknown}")
    for name, number, kind, is_list in fields(message):
        for item in value.get(name, []) if is_list else [value[name]] if name in value else []:
            if kind in ("int", "bool"):
                data += varint(number << 3) + varint(int(item))
            else:
                body = item.encode() if kind == "string" else encode(kind, item)
                data += varint(number << 3 | 2) + varint(len(body)) + body
    return data


def decode(message, data):
    known = {number: (name, kind, is_list) for name, number, kind, is_list in fields(message)}
    value = {name: [] if is_list else {"string": "", "int": 0, "bool": False}.get(kind)
             for name, kind, is_list in known.values()}
    at = 0

    def take():
        nonlocal at
        number = shift = 0
        while True:
            byte = data[at]
            at += 1
            number |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return number

    while at < len(data):
        tag = take()
        name, kind, is_list = known.get(tag >> 3, (None, None, False))
        wire = tag & 7
        if wire == 0:
            item = take()
            item -= (item >> 63) << 64
        else:
            length = take() if wire == 2 else 8 if wire == 1 else 4
            item = data[at:at + length]
            at += length
            if name:
                item = item.decode(errors="replace") if kind == "string" else decode(kind, item)
        if name and is_list:
            value[name].append(item)
        elif name:
            value[name] = item
    return value


def main():
    channel = grpc.insecure_channel("unix:" + sys.argv[1])
    for line in sys.stdin:
        method, _, request = line.partition(" ")
        service = "ImageService" if "Image" in method else "RuntimeService"
        call = channel.unary_unary(
            f"/runtime.v1.{service}/{method}",
            request_serializer=lambda value: encode(method + "Request", value),
            response_deserializer=lambda data: decode(method + "Response", data),
        )
        try:
            answer = {"answer": call(json.loads(request), timeout=60)}
        except grpc.RpcError as error:
            answer = {"error": f"{error.code().name}: {error.details()}"}
        print(json.dumps(answer), flush=True)


main()
