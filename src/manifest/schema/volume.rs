//! The tables of a volume.

use super::Shape::*;
use super::Support::*;
use super::config::{CONFIG_MAP_VOLUME, DOWNWARD_VOLUME, PROJECTED_VOLUME, SECRET_VOLUME};
use super::{Shape, Support, Table, UNREAD, field, ok, required};

const NO_DRIVER: Support = Never("there is no storage driver here; mount it on the host and use hostPath");
const REMOVED: Support = Never("Kubernetes has removed it");

pub(super) static VOLUME: Table = Table {
    name: "Volume",
    fields: &[
        required("name", Text),
        ok("emptyDir", Object(&EMPTY_DIR)),
        ok("hostPath", Object(&HOST_PATH)),
        ok("configMap", Object(&CONFIG_MAP_VOLUME)),
        ok("secret", Object(&SECRET_VOLUME)),
        ok("downwardAPI", Object(&DOWNWARD_VOLUME)),
        ok("projected", Object(&PROJECTED_VOLUME)),
        field("image", Object(&UNREAD), NotYet("use hostPath to the rootfs of the bundle")),
        field(
            "persistentVolumeClaim",
            Object(&UNREAD),
            Never("there is no cluster to claim storage from; use hostPath for data that stays"),
        ),
        field("ephemeral", Object(&UNREAD), Never("there is no cluster to claim storage from; use emptyDir")),
        field("csi", Object(&UNREAD), NO_DRIVER),
        field("nfs", Object(&UNREAD), NO_DRIVER),
        field("iscsi", Object(&UNREAD), NO_DRIVER),
        field("fc", Object(&UNREAD), NO_DRIVER),
        field("flexVolume", Object(&UNREAD), NO_DRIVER),
        field("rbd", Object(&UNREAD), NO_DRIVER),
        field("cephfs", Object(&UNREAD), NO_DRIVER),
        field("cinder", Object(&UNREAD), NO_DRIVER),
        field("awsElasticBlockStore", Object(&UNREAD), NO_DRIVER),
        field("gcePersistentDisk", Object(&UNREAD), NO_DRIVER),
        field("azureDisk", Object(&UNREAD), NO_DRIVER),
        field("azureFile", Object(&UNREAD), NO_DRIVER),
        field("vsphereVolume", Object(&UNREAD), NO_DRIVER),
        field("portworxVolume", Object(&UNREAD), NO_DRIVER),
        field(
            "gitRepo",
            Object(&UNREAD),
            Never("Kubernetes has switched it off; clone from an init container into an emptyDir"),
        ),
        field("glusterfs", Object(&UNREAD), REMOVED),
        field("flocker", Object(&UNREAD), REMOVED),
        field("quobyte", Object(&UNREAD), REMOVED),
        field("photonPersistentDisk", Object(&UNREAD), REMOVED),
        field("scaleIO", Object(&UNREAD), REMOVED),
        field("storageos", Object(&UNREAD), REMOVED),
    ],
};

const MEDIUM: Shape = OneOf(&[
    ("", Honoured),
    ("Memory", Honoured),
    ("HugePages", NotYet("use Memory")),
    ("HugePages-2Mi", NotYet("use Memory")),
    ("HugePages-1Gi", NotYet("use Memory")),
]);

static EMPTY_DIR: Table =
    Table { name: "EmptyDirVolumeSource", fields: &[ok("medium", MEDIUM), ok("sizeLimit", Amount)] };

const HOST_PATH_TYPE: Shape = OneOf(&[
    ("", Honoured),
    ("DirectoryOrCreate", Honoured),
    ("Directory", Honoured),
    ("FileOrCreate", Honoured),
    ("File", Honoured),
    ("Socket", Honoured),
    ("CharDevice", Honoured),
    ("BlockDevice", Honoured),
]);

static HOST_PATH: Table =
    Table { name: "HostPathVolumeSource", fields: &[required("path", Text), ok("type", HOST_PATH_TYPE)] };
