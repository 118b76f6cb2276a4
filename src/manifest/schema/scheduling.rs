//! The tables of what only a scheduler reads; here they serve to find misspelt names.

use super::Shape::*;
use super::{ANY_INT, Table, ok, required};

pub(super) static AFFINITY: Table = Table {
    name: "Affinity",
    fields: &[
        ok("nodeAffinity", Object(&NODE_AFFINITY)),
        ok("podAffinity", Object(&POD_AFFINITY)),
        ok("podAntiAffinity", Object(&POD_AFFINITY)),
    ],
};

static NODE_AFFINITY: Table = Table {
    name: "NodeAffinity",
    fields: &[
        ok("requiredDuringSchedulingIgnoredDuringExecution", Object(&NODE_SELECTOR)),
        ok("preferredDuringSchedulingIgnoredDuringExecution", List(&PREFERRED_NODE)),
    ],
};

static NODE_SELECTOR: Table =
    Table { name: "NodeSelector", fields: &[required("nodeSelectorTerms", List(&NODE_SELECTOR_TERM))] };

static NODE_SELECTOR_TERM: Table = Table {
    name: "NodeSelectorTerm",
    fields: &[ok("matchExpressions", List(&REQUIREMENT)), ok("matchFields", List(&REQUIREMENT))],
};

static REQUIREMENT: Table = Table {
    name: "Requirement",
    fields: &[required("key", Text), required("operator", Text), ok("values", Texts)],
};

static PREFERRED_NODE: Table = Table {
    name: "PreferredSchedulingTerm",
    fields: &[required("weight", ANY_INT), required("preference", Object(&NODE_SELECTOR_TERM))],
};

static POD_AFFINITY: Table = Table {
    name: "PodAffinity",
    fields: &[
        ok("requiredDuringSchedulingIgnoredDuringExecution", List(&POD_AFFINITY_TERM)),
        ok("preferredDuringSchedulingIgnoredDuringExecution", List(&WEIGHTED_POD_AFFINITY_TERM)),
    ],
};

static WEIGHTED_POD_AFFINITY_TERM: Table = Table {
    name: "WeightedPodAffinityTerm",
    fields: &[required("weight", ANY_INT), required("podAffinityTerm", Object(&POD_AFFINITY_TERM))],
};

static POD_AFFINITY_TERM: Table = Table {
    name: "PodAffinityTerm",
    fields: &[
        required("topologyKey", Text),
        ok("labelSelector", Object(&LABEL_SELECTOR)),
        ok("namespaces", Texts),
        ok("namespaceSelector", Object(&LABEL_SELECTOR)),
        ok("matchLabelKeys", Texts),
        ok("mismatchLabelKeys", Texts),
    ],
};

static LABEL_SELECTOR: Table = Table {
    name: "LabelSelector",
    fields: &[ok("matchLabels", TextMap), ok("matchExpressions", List(&REQUIREMENT))],
};

pub(super) static TOLERATION: Table = Table {
    name: "Toleration",
    fields: &[
        ok("key", Text),
        ok("operator", Text),
        ok("value", Text),
        ok("effect", Text),
        ok("tolerationSeconds", ANY_INT),
    ],
};

pub(super) static TOPOLOGY_SPREAD: Table = Table {
    name: "TopologySpreadConstraint",
    fields: &[
        required("maxSkew", ANY_INT),
        required("topologyKey", Text),
        required("whenUnsatisfiable", Text),
        ok("labelSelector", Object(&LABEL_SELECTOR)),
        ok("minDomains", ANY_INT),
        ok("nodeAffinityPolicy", Text),
        ok("nodeTaintsPolicy", Text),
        ok("matchLabelKeys", Texts),
    ],
};
