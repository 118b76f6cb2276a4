//! Requests and limits of containers and pod, and the cgroup values that follow from them.

use anyhow::{Context, Result};
use oci_spec::runtime::{LinuxCpuBuilder, LinuxMemoryBuilder, LinuxResources, LinuxResourcesBuilder};

use super::node::Node;
use super::pod::{Container, Pod};
use super::problem::Problem;
use super::quantity::Quantity;
use crate::lifecycle::model::Kind;

/// Length of a cpu period in microseconds.
const PERIOD: u64 = 100_000;

/// Amounts of the resources that barepod knows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amounts {
    /// Thousandths of a core.
    pub cpu: Option<u64>,
    /// Bytes.
    pub memory: Option<u64>,
}

impl Amounts {
    fn or(self, other: Amounts) -> Amounts {
        Amounts { cpu: self.cpu.or(other.cpu), memory: self.memory.or(other.memory) }
    }

    /// By the names that a manifest has for them.
    fn named(self) -> [(&'static str, Option<Quantity>); 2] {
        [("cpu", self.cpu.map(Quantity::of_millis)), ("memory", self.memory.map(Quantity::of_units))]
    }

    /// Those of which there is more here than the other allows: name, amount here, amount there.
    fn beyond(self, other: Amounts) -> impl Iterator<Item = (&'static str, Quantity, Quantity)> {
        let both = self.named().into_iter().zip(other.named());
        both.filter_map(|((name, here), (_, there))| Some((name, here?, there?)))
            .filter(|(_, here, there)| here.exceeds(*there))
    }
}

/// What a container, or a pod, is promised and allowed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Resources {
    /// Promised; only cpu has an effect, as a share.
    pub requests: Amounts,
    /// Allowed.
    pub limits: Amounts,
}

impl Resources {
    /// The same with each request that is not given taken from the limit.
    pub fn with_default_requests(self) -> Resources {
        let Resources { requests, limits } = self;
        Resources { requests: requests.or(limits), limits }
    }

    /// The cgroup values: a cpu share from the request (2 without one, as the kubelet has it), a quota of a 100 ms period and
    /// a memory limit from the limits. Memory requests are not enforced.
    pub fn cgroup(&self) -> Result<LinuxResources> {
        let mut cpu = LinuxCpuBuilder::default().shares(shares(self.requests.cpu.unwrap_or(0)));
        if let Some(limit) = self.limits.cpu.filter(|limit| *limit > 0) {
            cpu = cpu.quota(quota(limit)).period(PERIOD);
        }
        let mut resources = LinuxResourcesBuilder::default().cpu(cpu.build().context("build cpu limits")?);
        if let Some(limit) = self.limits.memory.filter(|limit| *limit > 0) {
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            resources = resources
                .memory(LinuxMemoryBuilder::default().limit(limit).build().context("build memory limit")?);
        }
        resources.build().context("build limits")
    }
}

/// cgroup v1 `cpu.shares` of so many millicores; between 2 and 262144, the kernel's own bounds.
fn shares(millis: u64) -> u64 {
    millis.saturating_mul(1024).div_euclid(1000).clamp(2, 262_144)
}

/// Microseconds of each period; the kernel takes no less than one millisecond.
fn quota(millis: u64) -> i64 {
    i64::try_from(millis.saturating_mul(PERIOD) / 1000).unwrap_or(i64::MAX).max(1000)
}

/// The place of an amount below a `resources` node.
fn place<'a>(resources: Option<&'a Node>, list: &str, name: &str) -> Option<&'a Node> {
    resources?.get(list)?.get(name)
}

impl Pod {
    /// The API server's rules for `spec.resources` beside those of the containers (KEP-2837): it covers what they request
    /// together, and none of `containers` has a limit above it. To be asked before requests that are left out have their
    /// defaults.
    pub(super) fn compare_own_resources(&self, spec: &Node, problems: &mut Vec<Problem>) {
        let Resources { requests, limits } = self.resources;
        let own = spec.get("resources");
        // A request that is left out becomes what the containers ask for, and that may not exceed the limit.
        for (name, sum, _) in self.sum().requests.beyond(requests.or(limits)) {
            let list = if place(own, "requests", name).is_some() { "requests" } else { "limits" };
            let message = format!(
                "spec.resources.{list}[\"{name}\"]: must be greater than or equal to aggregate container requests of {sum}"
            );
            problems.extend(place(own, list, name).map(|node| node.error(message)));
        }
        let apps = self.containers.iter().filter(|container| container.kind == Kind::App);
        let nodes = spec.get("containers").map(Node::items).unwrap_or_default();
        for (index, (node, container)) in nodes.iter().zip(apps).enumerate() {
            for (name, _, limit) in container.resources.limits.beyond(limits) {
                let message = format!(
                    "spec.containers[{index}].resources.limits[\"{name}\"]: must be less than or equal to pod limits of {limit}"
                );
                problems.extend(place(node.get("resources"), "limits", name).map(|node| node.error(message)));
            }
        }
    }

    /// Requests and limits of the whole pod: `spec.resources` where it says something, else what the containers add up to.
    pub fn effective_resources(&self) -> Resources {
        let sum = self.sum();
        Resources {
            requests: self.resources.requests.or(sum.requests),
            limits: self.resources.limits.or(sum.limits),
        }
    }

    /// Where `spec.resources` leaves a request out, it is what the containers ask for together, else the limit.
    pub(super) fn default_own_requests(&mut self) {
        if self.resources != Resources::default() {
            self.resources.requests =
                self.resources.requests.or(self.sum().requests).or(self.resources.limits);
        }
    }

    fn sum(&self) -> Resources {
        let all = &self.containers;
        Resources {
            requests: Amounts {
                cpu: effective(all, |c| c.resources.requests.cpu, false),
                memory: effective(all, |c| c.resources.requests.memory, false),
            },
            limits: Amounts {
                cpu: effective(all, |c| c.resources.limits.cpu, true),
                memory: effective(all, |c| c.resources.limits.memory, true),
            },
        }
    }

    /// Bytes of memory that the pod may use; `None` without a limit.
    pub fn memory_limit(&self) -> Option<u64> {
        self.effective_resources().limits.memory.filter(|limit| *limit > 0)
    }

    /// The values of the pod's cgroup.
    pub fn cgroup_resources(&self) -> Result<LinuxResources> {
        self.effective_resources().cgroup()
    }

    /// `Guaranteed`, `Burstable` or `BestEffort`.
    pub fn qos_class(&self) -> &'static str {
        let own = [&self.resources];
        let each: Vec<&Resources> = match self.resources == Resources::default() {
            true => self.containers.iter().map(|container| &container.resources).collect(),
            false => own.to_vec(),
        };
        let given = |amount: Option<u64>| amount.filter(|amount| *amount > 0);
        let any = |r: &&Resources| {
            [r.requests.cpu, r.requests.memory, r.limits.cpu, r.limits.memory]
                .into_iter()
                .any(|a| given(a).is_some())
        };
        let full = |r: &&Resources| {
            let same = |request, limit| given(limit).is_some() && request == limit;
            same(r.requests.cpu, r.limits.cpu) && same(r.requests.memory, r.limits.memory)
        };
        if each.iter().all(full) {
            "Guaranteed"
        } else if each.iter().any(any) {
            "Burstable"
        } else {
            "BestEffort"
        }
    }
}

/// What one resource adds up to over a pod's life. An init runs beside the sidecars before it, so list order matters. With
/// `all`, one container without the amount leaves the pod without it: it may use any amount.
fn effective(containers: &[Container], of: impl Fn(&Container) -> Option<u64>, all: bool) -> Option<u64> {
    let amounts: Vec<(Kind, Option<u64>)> =
        containers.iter().map(|container| (container.kind, of(container))).collect();
    if amounts.iter().all(|(_, amount)| amount.is_none())
        || (all && amounts.iter().any(|(_, amount)| amount.is_none()))
    {
        return None;
    }
    let (mut sidecars, mut apps, mut peak) = (0_u64, 0_u64, 0_u64);
    for (kind, amount) in amounts {
        let amount = amount.unwrap_or(0);
        match kind {
            Kind::Init => peak = peak.max(sidecars.saturating_add(amount)),
            Kind::Sidecar => sidecars = sidecars.saturating_add(amount),
            Kind::App => apps = apps.saturating_add(amount),
        }
    }
    Some(peak.max(sidecars.saturating_add(apps)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::load;

    /// `I:500 S:100 C:300-`: kind and cpu request = limit in millicores; `-` for none.
    fn pod(text: &str) -> Pod {
        let (mut inits, mut apps) = (String::new(), String::new());
        for (index, part) in text.split_whitespace().enumerate() {
            let (kind, amount) = part.split_once(':').unwrap();
            let list = if kind == "C" { &mut apps } else { &mut inits };
            list.push_str(&format!("  - name: c{index}\n    image: x\n"));
            if kind == "S" {
                list.push_str("    restartPolicy: Always\n");
            }
            if amount != "-" {
                list.push_str(&format!(
                    "    resources: {{limits: {{cpu: {amount}m, memory: {amount}Mi}}}}\n"
                ));
            }
        }
        let text = format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: p}}\nspec:\n  initContainers:\n{inits}  containers:\n{apps}"
        );
        load(&text).unwrap_or_else(|problems| panic!("{problems:?}\n{text}")).pod
    }

    #[test]
    fn an_init_counts_with_the_sidecars_before_it() {
        for (containers, cpu) in [
            ("S:100 I:500 S:100 C:300", 600),
            ("I:500 S:100 S:100 C:300", 500),
            ("C:300 C:400", 700),
            ("I:100 C:300", 300),
            ("S:100 C:300", 400),
            ("S:100 S:200 I:700 I:50 C:1", 1000),
            ("C:300 C:-", 300),
        ] {
            assert_eq!(pod(containers).effective_resources().requests.cpu, Some(cpu), "{containers}");
        }
    }

    #[test]
    fn one_container_without_a_limit_leaves_the_pod_without_one() {
        for containers in ["C:300 C:-", "I:- C:300", "S:- C:300", "C:-"] {
            assert_eq!(pod(containers).memory_limit(), None, "{containers}");
        }
        assert_eq!(pod("I:5 S:1 C:3").memory_limit(), Some(5 << 20));
    }

    #[test]
    fn the_class_follows_from_all_containers() {
        assert_eq!(pod("I:5 S:1 C:3").qos_class(), "Guaranteed");
        assert_eq!(pod("I:- C:3").qos_class(), "Burstable");
        assert_eq!(pod("I:- C:-").qos_class(), "BestEffort");
        let mut burstable = pod("C:3");
        burstable.containers[0].resources.requests.cpu = Some(1);
        assert_eq!(burstable.qos_class(), "Burstable");
    }

    #[test]
    fn what_the_pod_itself_says_wins() {
        let mut pod = pod("C:300");
        pod.resources.limits.memory = Some(7);
        assert_eq!(pod.memory_limit(), Some(7));
        assert_eq!(pod.qos_class(), "Burstable");
    }

    #[test]
    fn cgroup_values_are_those_of_the_kubelet() {
        let resources = |request, limit, memory| {
            let limits = Amounts { cpu: limit, memory };
            Resources { requests: Amounts { cpu: request, memory: None }, limits }.cgroup().unwrap()
        };
        for (request, limit, shares, quota) in [
            (None, None, 2, None),
            (Some(1), None, 2, None),
            (Some(100), Some(200), 102, Some(20_000)),
            (Some(1000), Some(1500), 1024, Some(150_000)),
            (Some(1_000_000), None, 262_144, None),
            (None, Some(1), 2, Some(1000)),
            (None, Some(0), 2, None),
        ] {
            let found = resources(request, limit, None);
            let cpu = found.cpu().as_ref().unwrap();
            assert_eq!((cpu.shares(), cpu.quota()), (Some(shares), quota), "{request:?} {limit:?}");
            assert_eq!(cpu.period(), quota.map(|_| PERIOD));
            assert!(found.memory().is_none());
        }
        let memory = resources(None, None, Some(1 << 20));
        assert_eq!(memory.memory().as_ref().unwrap().limit(), Some(1 << 20));
        resources(Some(u64::MAX), Some(u64::MAX), Some(u64::MAX));
    }
}
