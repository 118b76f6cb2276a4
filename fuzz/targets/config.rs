//! A bundle's `config.json`: as a container of its own, and as one of a pod.

use std::path::Path;
use std::sync::LazyLock;

use barepod::bundle;
use barepod::kernel::cgroup::devices::Policy;
use barepod::manifest::{self, Manifest};
use barepod::plan::seccomp::Program;
use barepod::plan::{self, Rootfs, Step};
use oci_spec::runtime::Spec;

use super::{manifest::told_beforehand, told};

/// A pod whose containers each take another part from their bundle, and replace the rest.
static POD: LazyLock<Manifest> = LazyLock::new(|| {
    let text = "\
apiVersion: v1
kind: Pod
metadata: {name: pod}
spec:
  volumes: [{name: data}]
  containers:
  - {name: plain, image: x}
  - name: other
    image: x
    command: [sh, -c, 'echo $(A)']
    workingDir: /w
    env: [{name: A, value: b}]
    volumeMounts: [{name: data, mountPath: /data}]
    resources: {requests: {cpu: 100m}, limits: {memory: 64Mi}}
    securityContext:
      runAsUser: 1000
      readOnlyRootFilesystem: true
      allowPrivilegeEscalation: false
      capabilities: {drop: [ALL], add: [CHOWN]}
      seccompProfile: {type: RuntimeDefault}
  - name: privileged
    image: x
    securityContext: {privileged: true}
";
    manifest::load(text).unwrap_or_else(|problems| panic!("{problems:?}"))
});

/// It is refused with a problem that can be shown; or has a plan, or an error that names a field, on either version of
/// cgroups, as it stands and in a pod.
pub fn config(bytes: &[u8]) {
    // As the command line reads it.
    let text = String::from_utf8_lossy(bytes);
    let spec = match bundle::parse_config(&text) {
        Ok(spec) => spec,
        Err(problem) => return told(&problem, &text),
    };
    for v2 in [false, true] {
        let rootfs = Rootfs::Directory("/bundle/rootfs".into());
        let Ok(plan) = plan::plan(&spec, Path::new("/bundle"), rootfs, v2) else { continue };
        assert!(matches!(plan.steps.last(), Some(Step::Exec { args, .. }) if !args.is_empty()));
        plan.steps.iter().for_each(|step| {
            step.to_string();
        });
        assert!(serde_json::to_string(&plan).is_ok());
        let filters = plan.steps.iter().filter_map(|step| match step {
            Step::Seccomp(program) => Some(program),
            _ => None,
        });
        filters.for_each(is_a_program);
    }
    if let Some(process) = spec.process() {
        plan::exec_steps(process, plan::filter(&spec), &["sh".to_owned()]).ok(); // the same filter, or the same error
    }
    let resources = spec.linux().as_ref().and_then(|linux| linux.resources().clone());
    let devices = resources.and_then(|resources| resources.devices().clone()).unwrap_or_default();
    if let Ok(policy) = Policy::of(devices.iter()) {
        assert!(!policy.v1_writes().is_empty() && !policy.program().is_empty());
    }
    if bundle::check(&spec).is_ok() {
        told_beforehand(&POD, &spec);
    }
    reads_back(&spec);
}

/// What is written down of a container is what it was made from.
fn reads_back(spec: &Spec) {
    let text = serde_json::to_string(spec).expect("a specification is JSON");
    let again: Spec = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(&again, spec);
}

/// What the kernel asks of a program, bpf_check_classic() and seccomp_check_filter(): every jump stays inside, the last
/// instruction returns, every word that is loaded is one of the call's data.
fn is_a_program(program: &Program) {
    let all = &program.instructions;
    assert!(all.len() <= 4096, "{} instructions", all.len());
    for (at, one) in all.iter().enumerate() {
        let farthest = match one.code {
            0x05 => one.k as usize,
            0x15 | 0x25 | 0x35 => usize::from(one.yes.max(one.no)),
            0x20 => {
                assert!(one.k < 64 && one.k % 4 == 0, "load from {}", one.k);
                0
            }
            0x54 | 0x06 => 0,
            other => panic!("instruction {at} is {other:#x}"),
        };
        assert!(one.code == 0x06 || at + 1 + farthest < all.len(), "instruction {at} jumps out");
    }
    assert_eq!(all.last().map(|one| one.code), Some(0x06), "the end is no return");
}
